/**
 * How long a cluster that was killed takes to serve its data again, with more data than a demonstration has.
 *
 *     npm run bench:restart -- [--points N] [--dimension D] [--replication R] [--shards S] [--settle] [--tail N] [--data DIR]
 *
 * Starts `vectron dev`, writes N vectors into S shards (2) of R replicas (3), kills the process with signal 9, starts it
 * again, and measures until a search finds what was written last. With --settle the graph files are complete before the
 * kill but for a tail of vectors written after them; without it they are as old as the kill finds them. Fails when the second
 * start takes more than 10 s. --data names a folder that is kept, and used again when it was filled before: the next call then
 * writes another tail and kills. The page cache is dropped before the start where this process may do that.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { waitUntilLinked } from '../examples/support/collections';
import { ProgressBar } from '../examples/support/progress';
import { runExample } from '../examples/support/run-example';
import type { PointInput, VectronClient } from '../src/client/node';
import { Cluster, until } from './support/cluster';
import { optionsOf } from './support/options';
import { Vectors } from './support/vectors';

const collection = 'restart';
const restartMsMax = 10_000;
const linkMsMax = 1_200_000;
const saveMsMax = 180_000;

const defaults = {
  points: 60_000,
  dimension: 784,
  replication: 3,
  shards: 2,
  settle: false,
  tail: 500,
  /** Empty: a folder of its own, removed at the end. */
  data: '',
} as const;
type Options = ReturnType<typeof optionsOf<typeof defaults>>;

async function write(client: VectronClient, vectors: Vectors, from: number, to: number): Promise<void> {
  const progress = new ProgressBar('writing', to - from);
  const all = function* (): Iterable<PointInput> {
    for (let i = from; i < to; i++) yield { id: `p${i}`, vector: vectors.at(i) };
  };
  await client.upsertBatch(collection, all(), { timeoutMs: 60_000, onProgress: (done) => progress.show(done) });
}

const graphFiles = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.graph'));

/** Writes what is not there yet; returns how many points there are. */
async function fill(cluster: Cluster, folder: string, options: Options, vectors: Vectors): Promise<number> {
  const { points, dimension, replication, shards, settle, tail } = options;
  const marker = join(folder, 'filled');
  const found = existsSync(marker) ? Number(readFileSync(marker, 'utf8')) : 0;
  if (found === 0) {
    const shape = { name: collection, dimension, distance: 'euclidean', shardCount: shards } as const;
    await cluster.client.createCollection({ ...shape, replicationFactor: replication });
    await write(cluster.client, vectors, 0, points);
    if (!settle) return points;
    await waitUntilLinked(cluster.client, collection, linkMsMax);
    await until('all graph files', saveMsMax, () => graphFiles(folder).length === replication * shards);
  }
  const all = Math.max(found, points) + tail;
  await write(cluster.client, vectors, all - tail, all);
  writeFileSync(marker, String(all));
  return all;
}

/** True if it could be done: the kernel lets only some do it. */
function dropPageCache(): boolean {
  try {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

async function bench(options: Options): Promise<boolean> {
  const folder = options.data === '' ? mkdtempSync(join(tmpdir(), 'vectron-restart-')) : resolve(options.data);
  mkdirSync(folder, { recursive: true });
  const vectors = new Vectors(options.dimension);
  let cluster: Cluster | null = null;
  try {
    cluster = await Cluster.start(folder);
    const points = await fill(cluster, folder, options, vectors);
    await cluster.kill();
    const isCold = dropPageCache();
    const startedMs = performance.now();
    cluster = await Cluster.start(folder);
    const readyMs = performance.now() - startedMs;
    const query = { vector: vectors.at(points - 1), topK: 1, timeoutMs: 60_000 };
    const isRight = (await cluster.client.search(collection, query)).results[0]?.id === `p${points - 1}`;
    const searchMs = performance.now() - startedMs;
    const megabytes = Math.round((points * options.dimension * 4) / 1e6);
    console.log(
      `restart: ${points} x ${options.dimension} (${megabytes} MB of vectors, ${options.replication} replicas) killed ` +
        `${options.settle ? `at rest and ${options.tail} writes` : 'at work'}, page cache ${isCold ? 'dropped' : 'warm'}: ready in ` +
        `${(readyMs / 1000).toFixed(1)} s, first ${isRight ? 'right' : 'WRONG'} search after ${(searchMs / 1000).toFixed(1)} s (at most ${restartMsMax / 1000} s)`,
    );
    return isRight && searchMs <= restartMsMax;
  } finally {
    await cluster?.kill();
    if (options.data === '') rmSync(folder, { recursive: true, force: true });
  }
}

runExample(() => bench(optionsOf(process.argv.slice(2), defaults)));
