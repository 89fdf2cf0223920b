/**
 * 60,000 pictures of clothes, 784 dimensions: ingest rate, and recall against speed for several ef.
 *
 *     npm run example:fashion-mnist -- [--data DIR] [--limit POINTS] [--queries N]
 *
 * DIR holds train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz; default ../shared/data/fashion-mnist. The originals
 * are public: the repository fashion-mnist of Zalando Research on GitHub, folder data/fashion, MIT licence. MNIST's files
 * have the same form and work too.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { VectronClient } from '../src/client/node';
import { openCluster } from './support/cluster';
import { recreateCollection, waitUntilLinked } from './support/collections';
import { nearestByHand, recall } from './support/exact-search';
import { type Images, readImages } from './support/idx';
import { type Measured, measure, shownLatency } from './support/latency';
import { ProgressBar } from './support/progress';
import { projectRoot } from './support/project-root';
import { runExample } from './support/run-example';
import { PlanSummary } from './support/search-plan';

const collection = 'fashion-mnist';
const k = 10;
const efs = [16, 32, 48, 64, 96];
const clients = 4;
/** What must be reached, at an ef of at most efMax, through the graph, with fewer distances than this share of the points. */
const goal = { recall: 0.99, ef: 64, distanceShare: 0.1 };
/** Answers of the server's exact search that are checked against one of our own. */
const checkedByHand = 3;

interface Options {
  readonly directory: string;
  readonly limit: number;
  readonly queries: number;
}

interface Result {
  readonly ef: number;
  readonly recall: number;
  readonly measured: Measured;
  readonly plan: ReturnType<PlanSummary['rows']>;
}

async function main(): Promise<boolean> {
  const { directory, limit, queries } = optionsOf(process.argv.slice(2));
  const train = readImages(directory, 'train-images-idx3-ubyte');
  const test = readImages(directory, 't10k-images-idx3-ubyte');
  const count = Math.min(limit, train.count);
  const cluster = await openCluster();
  try {
    console.log(cluster.described);
    const perSecond = await ingest(cluster.client, train, count);
    const results = await searchAll(cluster.client, train, count, test, Math.min(queries, test.count));
    return report(count, perSecond, results);
  } finally {
    await cluster.close();
  }
}

function optionsOf(args: string[]): Options {
  const strings = { data: { type: 'string' }, limit: { type: 'string' }, queries: { type: 'string' } } as const;
  const { values } = parseArgs({ args, options: strings });
  const directory = resolve(values.data ?? join(projectRoot, '..', 'shared', 'data', 'fashion-mnist'));
  if (!existsSync(directory)) {
    throw new Error(
      `${directory} does not exist: give --data DIR; the files are in zalandoresearch/fashion-mnist on GitHub`,
    );
  }
  return {
    directory,
    limit: wholeNumber('limit', values.limit, 60_000),
    queries: wholeNumber('queries', values.queries, 1_000),
  };
}

function wholeNumber(name: string, value: string | undefined, standard: number): number {
  const number = Number(value ?? standard);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} must be a whole number above 0`);
  return number;
}

async function ingest(client: VectronClient, images: Images, count: number): Promise<number> {
  const { dimension } = images;
  const hnsw = { m: 16, efConstruction: 200 };
  await recreateCollection(client, {
    name: collection,
    dimension,
    distance: 'euclidean',
    shardCount: 2,
    replicationFactor: 3,
    hnsw,
  });
  console.log(
    `created collection ${collection}: euclidean, ${dimension} dimensions, 2 shards of 3 replicas, M 16, efConstruction 200`,
  );
  const progress = new ProgressBar('ingesting', count);
  const points = function* (): Generator<{ id: string; vector: Float32Array }> {
    for (let index = 0; index < count; index++) yield { id: String(index), vector: images.vector(index) };
  };
  await client.upsertBatch(collection, points(), { timeoutMs: 60_000, onProgress: (done) => progress.show(done) });
  const acknowledged = progress.rate(count);
  await waitUntilLinked(client, collection, 600_000);
  console.log(
    `ingest: ${Math.round(acknowledged)} vectors/s acknowledged by a majority of 3 replicas, ` +
      `${Math.round(progress.rate(count))} vectors/s until every replica's graph had them`,
  );
  return acknowledged;
}

async function searchAll(
  client: VectronClient,
  train: Images,
  count: number,
  test: Images,
  queries: number,
): Promise<Result[]> {
  const truth: string[][] = [];
  const exact = await measure(queries, clients, async (index) => {
    const found = await client.search(collection, {
      vector: test.vector(index),
      topK: k,
      exact: true,
      includeMetadata: false,
    });
    truth[index] = found.results.map(({ id }) => id);
  });
  console.log(`exact:  ${shownLatency(exact)}`);
  checkByHand(train, count, test, truth);
  const results: Result[] = [];
  for (const ef of efs) results.push(await searchWith(client, ef, test, truth));
  return results;
}

/** The truth comes from the server's exact search; some of it is compared with a search of our own. */
function checkByHand(train: Images, count: number, test: Images, truth: readonly string[][]): void {
  for (let index = 0; index < Math.min(checkedByHand, truth.length); index++) {
    const mine = nearestByHand(train, count, test.vector(index), k).map(String);
    const same = recall(truth[index] ?? [], mine);
    if (same < 1)
      throw new Error(`exact search of query ${index} found ${truth[index]?.join(' ')}, not ${mine.join(' ')}`);
  }
  console.log(`exact search agrees with a comparison by hand of ${Math.min(checkedByHand, truth.length)} queries`);
}

async function searchWith(
  client: VectronClient,
  ef: number,
  test: Images,
  truth: readonly string[][],
): Promise<Result> {
  const plan = new PlanSummary();
  let sum = 0;
  const measured = await measure(truth.length, clients, async (index) => {
    const vector = test.vector(index);
    const found = await client.search(collection, { vector, topK: k, ef, explain: true, includeMetadata: false });
    plan.add(found.shards);
    sum += recall(
      found.results.map(({ id }) => id),
      truth[index] ?? [],
    );
  });
  const result = { ef, recall: sum / truth.length, measured, plan: plan.rows() };
  console.log(`ef ${String(ef).padStart(2)}:  recall@10 ${result.recall.toFixed(4)}, ${shownLatency(measured)}`);
  for (const { shard, strategy, distances, points } of result.plan) {
    console.log(
      `        shard ${shard} by ${strategy}: ${distances} distances a query, ${percent(distances / points)} of ${points} points`,
    );
  }
  return result;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** The last line, and whether the goal is met. */
function report(count: number, perSecond: number, results: readonly Result[]): boolean {
  const throughGraph = ({ plan }: Result): boolean =>
    plan.every(({ strategy, distances, points }) => strategy === 'graph' && distances < goal.distanceShare * points);
  const met = results.find((result) => result.ef <= goal.ef && result.recall >= goal.recall && throughGraph(result));
  const shown = met ?? results.find(({ ef }) => ef === goal.ef) ?? results[0];
  if (shown === undefined) return false;
  if (met === undefined) {
    console.error(
      `missed: recall@10 of ${goal.recall} at ef <= ${goal.ef} by graph with under ${percent(goal.distanceShare)} of the points`,
    );
  }
  console.log(
    `fashion-mnist: ${count} vectors at ${Math.round(perSecond)}/s, recall@10 ${shown.recall.toFixed(4)} at ef ${shown.ef} ` +
      `by ${shown.plan.map(({ strategy }) => strategy).join(', ')}, ${shownLatency(shown.measured)}`,
  );
  return met !== undefined;
}

runExample(main);
