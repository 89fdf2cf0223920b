/**
 * What a bulk load does to searches: the bar that p95 stays within three times its steady value, while the load keeps at
 * least three fifths of the speed it has alone.
 *
 *     npm run bench:ingest-latency -- [--points N] [--load N] [--dimension D] [--shards S] [--rate R] [--seconds T]
 *
 * Three machines of one process on whatever cores there are, RF 3, through the gateway by gRPC. Searches are sent on a
 * schedule (open loop) at an ef chosen for recall@10 >= .99, and their time counts from when they were due. First the load alone (its
 * unhindered rate), then searches alone (steady), then both; the load is the same number of new points each time.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntilLinked } from '../examples/support/collections';
import { runExample } from '../examples/support/run-example';
import type { PointInput, VectronClient } from '../src/client/node';
import { Cluster } from './support/cluster';
import { OpenSearches } from './support/open-searches';
import { optionsOf } from './support/options';
import { Vectors } from './support/vectors';

const collection = 'ingest';
const linkMsMax = 600_000;
const slowerMax = 3;
const rateShareMin = 0.6;
const recallWanted = 0.99;
const queryCount = 200;
/** Calls under way at once, and points a call: what a loader does. */
const callsAtOnce = 4;
const pointsPerCall = 100;

const defaults = { points: 20_000, load: 15_000, dimension: 128, shards: 2, rate: 100, seconds: 15 } as const;
type Options = ReturnType<typeof optionsOf<typeof defaults>>;

class Bench {
  private written = 0;

  constructor(
    private readonly client: VectronClient,
    private readonly options: Options,
    private readonly vectors = new Vectors(options.dimension),
  ) {}

  async prepare(): Promise<number> {
    const { dimension, shards } = this.options;
    await this.client.createCollection({ name: collection, dimension, distance: 'euclidean', shardCount: shards });
    await this.load(this.options.points);
    await waitUntilLinked(this.client, collection, linkMsMax);
    return this.efFor(recallWanted);
  }

  /** Vectors a second, acknowledged by majorities. */
  async load(count: number): Promise<number> {
    const points = Array.from({ length: count }, (_, i) => ({
      id: `p${this.written + i}`,
      vector: this.vectors.at(this.written + i),
    }));
    this.written += count;
    const startedMs = performance.now();
    const senders = Array.from({ length: callsAtOnce }, (_, at) => this.send(points, at));
    await Promise.all(senders);
    return count / ((performance.now() - startedMs) / 1_000);
  }

  private async send(points: readonly PointInput[], at: number): Promise<void> {
    for (let from = at * pointsPerCall; from < points.length; from += callsAtOnce * pointsPerCall) {
      await this.client.upsert(collection, points.slice(from, from + pointsPerCall), { timeoutMs: 60_000 });
    }
  }

  /** Searches while `work` runs, or for the time that is asked for. */
  async searching(ef: number, work?: () => Promise<number>): Promise<{ searches: OpenSearches; rate: number }> {
    const queries = this.queries();
    const searches = new OpenSearches(this.client, collection, queries, ef, this.options.rate);
    searches.start();
    let rate = 0;
    if (work === undefined) await sleep(this.options.seconds * 1_000);
    else rate = await work();
    await searches.stop();
    return { searches, rate };
  }

  linked(): Promise<void> {
    return waitUntilLinked(this.client, collection, linkMsMax);
  }

  private queries(): readonly Float32Array[] {
    return Array.from({ length: queryCount }, (_, i) => this.vectors.at(10_000_000 + i));
  }

  private async efFor(wanted: number): Promise<number> {
    for (const ef of [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]) {
      const recall = await this.recallAt(ef);
      if (recall >= wanted) {
        console.log(`ef ${ef}: recall@10 ${recall.toFixed(4)}`);
        return ef;
      }
    }
    throw new Error(`no ef up to 512 reaches recall ${wanted}`);
  }

  private async recallAt(ef: number): Promise<number> {
    let found = 0;
    const queries = this.queries();
    for (const vector of queries) {
      const exact = await this.client.search(collection, { vector, topK: 10, exact: true });
      const nearest = new Set(exact.results.map(({ id }) => id));
      const { results } = await this.client.search(collection, { vector, topK: 10, ef });
      found += results.filter(({ id }) => nearest.has(id)).length;
    }
    return found / (queries.length * 10);
  }
}

async function bench(options: Options): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'vectron-ingest-'));
  let cluster: Cluster | null = null;
  try {
    cluster = await Cluster.start(folder);
    const work = new Bench(cluster.client, options);
    const ef = await work.prepare();
    const alone = await work.load(options.load);
    await work.linked();
    const steady = await work.searching(ef);
    const during = await work.searching(ef, () => work.load(options.load));
    const slower = during.searches.percentile(95) / steady.searches.percentile(95);
    const share = during.rate / alone;
    console.log(
      `load alone: ${alone.toFixed(0)} vectors/s; beside searches: ${during.rate.toFixed(0)} (${share.toFixed(2)})`,
    );
    console.log(`searches steady: ${steady.searches.summary()}`);
    console.log(`searches during the load: ${during.searches.summary()}`);
    console.log(
      `p95 is ${slower.toFixed(2)} times its steady value (at most ${slowerMax}), load keeps ${share.toFixed(2)} (at least ${rateShareMin})`,
    );
    return slower <= slowerMax && share >= rateShareMin;
  } finally {
    await cluster?.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

runExample(() => bench(optionsOf(process.argv.slice(2), defaults)));
