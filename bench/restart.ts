/**
 * How long a cluster that was killed takes to serve its data again, with more data than a demonstration has.
 *
 *     npm run bench:restart -- [--points N] [--dimension D] [--settle]
 *
 * Starts `vectron dev`, writes N vectors into two shards of three replicas, kills the process with signal 9, starts it
 * again, and measures until a search finds what was written last. With --settle the graph files are complete before the
 * kill; without it they are as old as the kill finds them. Fails when the second start takes more than 10 s.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { waitUntilLinked } from '../examples/support/collections';
import { ProgressBar } from '../examples/support/progress';
import { runExample } from '../examples/support/run-example';
import { Prng } from '../src/base/prng';
import { connect, type PointInput, type VectronClient } from '../src/client/node';
import type { ClusterFile } from '../src/server/dev-cluster-types';

const collection = 'restart';
const restartMsMax = 10_000;
const startMsMax = 120_000;
const linkMsMax = 1_200_000;
const saveMsMax = 180_000;
const replicas = 6;

interface Options {
  readonly points: number;
  readonly dimension: number;
  readonly settle: boolean;
}

function optionsOf(argv: readonly string[]): Options {
  const text = { type: 'string' } as const;
  const options = { points: text, dimension: text, settle: { type: 'boolean', default: false } } as const;
  const { values } = parseArgs({ args: [...argv], options });
  return { points: Number(values.points ?? 60_000), dimension: Number(values.dimension ?? 784), settle: values.settle };
}

/** Vectors about a hundred centres: a graph of pure noise would be slower to build than any real one. */
class Vectors {
  private readonly centres: readonly Float32Array[];

  constructor(
    private readonly dimension: number,
    random = new Prng(7),
  ) {
    this.centres = Array.from({ length: 100 }, () => this.drawn(random, 1));
  }

  at(i: number): Float32Array {
    const centre = this.centres[i % this.centres.length] as Float32Array;
    return this.drawn(new Prng(i + 1000), 0.3).map((value, d) => value + (centre[d] as number));
  }

  private drawn(random: Prng, spread: number): Float32Array {
    return Float32Array.from({ length: this.dimension }, () => (random.float() - 0.5) * spread);
  }
}

class Cluster {
  private constructor(
    private readonly child: ChildProcess,
    readonly client: VectronClient,
  ) {}

  /** Resolves when it says that it is ready. */
  static async start(folder: string): Promise<Cluster> {
    const env = { PATH: process.env['PATH'] ?? '', VECTRON_GRPC_PORT: '0', VECTRON_HTTP_PORT: '0' };
    const main = join(__dirname, '../src/server/main.js');
    const child = spawn(process.execPath, [main, 'dev'], { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] });
    const file = join(folder, 'data', 'cluster.json');
    await until('cluster.json of this start', startMsMax, () => fileOf(file)?.pid === child.pid);
    const { grpc, apiKeyFile } = fileOf(file) as ClusterFile;
    const [apiKey = ''] = readFileSync(resolve(folder, 'data', apiKeyFile), 'utf8').split('\n');
    return new Cluster(child, connect({ url: grpc, apiKey, timeoutMs: 60_000 }));
  }

  async kill(): Promise<void> {
    this.client.close();
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

/** Written whole or not at all. Null: not there yet. */
const fileOf = (path: string): ClusterFile | null =>
  existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as ClusterFile) : null;

async function until(what: string, timeoutMs: number, isSo: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!isSo()) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(20);
  }
}

async function fill(client: VectronClient, options: Options, vectors: Vectors): Promise<void> {
  const { points, dimension } = options;
  await client.createCollection({ name: collection, dimension, distance: 'euclidean', shardCount: 2 });
  const progress = new ProgressBar('writing', points);
  const all = function* (): Iterable<PointInput> {
    for (let i = 0; i < points; i++) yield { id: `p${i}`, vector: vectors.at(i) };
  };
  await client.upsertBatch(collection, all(), { timeoutMs: 60_000, onProgress: (done) => progress.show(done) });
}

const graphFiles = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.graph'));

async function bench(options: Options): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'vectron-restart-'));
  const vectors = new Vectors(options.dimension);
  let cluster: Cluster | null = null;
  try {
    cluster = await Cluster.start(folder);
    await fill(cluster.client, options, vectors);
    if (options.settle) {
      await waitUntilLinked(cluster.client, collection, linkMsMax);
      await until('all graph files', saveMsMax, () => graphFiles(folder).length === replicas);
    }
    await cluster.kill();
    const startedMs = performance.now();
    cluster = await Cluster.start(folder);
    const readyMs = performance.now() - startedMs;
    const last = options.points - 1;
    const found = await cluster.client.search(collection, { vector: vectors.at(last), topK: 1, timeoutMs: 60_000 });
    const searchMs = performance.now() - startedMs;
    const isRight = found.results[0]?.id === `p${last}`;
    const megabytes = Math.round((options.points * options.dimension * 4) / 1e6);
    console.log(
      `restart: ${options.points} x ${options.dimension} (${megabytes} MB a replica) killed ${options.settle ? 'at rest' : 'at work'}: ready in ` +
        `${(readyMs / 1000).toFixed(1)} s, first ${isRight ? 'right' : 'WRONG'} search after ${(searchMs / 1000).toFixed(1)} s (at most ${restartMsMax / 1000} s)`,
    );
    return isRight && searchMs <= restartMsMax;
  } finally {
    await cluster?.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

runExample(() => bench(optionsOf(process.argv.slice(2))));
