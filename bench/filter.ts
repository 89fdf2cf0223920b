import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { utf8 } from '../src/base/bytes';
import { Prng } from '../src/base/prng';
import type { Filter } from '../src/protocol/filters';
import { similarity } from '../src/vector/metrics';
import { createNativeEngine, loadAddon } from '../src/vector/node/native-engine';
import { isExact } from '../src/vector/payload/filter-bounds';
import { PayloadIndexes } from '../src/vector/payload/payload-indexes';
import { planSearch } from '../src/vector/planner';
import type { AllowedStrategy, SearchResult, VectorIndex } from '../src/vector/ports';
import { type Dataset, loadDataset } from './ann/data';

/**
 * Filtered search in this process: recall@10 and latency over selectivity x correlation x strategy, with payload indexes and
 * the planner as a shard uses them. The claim: the planned search returns min(k, matches) points in every cell and has a recall of at
 * least .95 in every one; otherwise the exit code is not 0. What the planner's constants come from is printed as well.
 */
const k = 10;
const ef = 64;
const recallMin = 0.95;
const shares = [0.001, 0.01, 0.05, 0.1, 0.5, 0.99];
const correlations = ['random', 'correlated', 'anti'] as const;
type Correlation = (typeof correlations)[number];
const strategies: readonly AllowedStrategy[] = ['scan', 'walk', 'twoHop'];

interface World {
  readonly index: VectorIndex;
  readonly indexes: PayloadIndexes;
  readonly data: Dataset;
  readonly count: number;
  /** Near the point that `near` ranks the others by. */
  readonly queries: readonly Float32Array[];
}

/** `chance`: any number; `near`: the share of the points that are nearer to one point of the set. */
function payloadsOf(data: Dataset, count: number, pivot: Float32Array): { chance: number; near: number }[] {
  const random = new Prng(7);
  const row = (i: number): Float32Array => data.base.subarray(i * data.dimension, (i + 1) * data.dimension);
  const ranked = Array.from({ length: count }, (_, i) => ({ i, score: similarity('euclidean', row(i), pivot) }));
  ranked.sort((a, b) => b.score - a.score);
  const payloads = Array.from({ length: count }, () => ({ chance: random.between(0, 999_999) / 1e6, near: 0 }));
  ranked.forEach(({ i }, rank) => {
    payloads[i] = { chance: payloads[i]?.chance ?? 0, near: rank / count };
  });
  return payloads;
}

function build(data: Dataset, count: number, queryCount: number): World {
  const { dimension, base } = data;
  const pivot = data.queries.subarray(0, dimension);
  const options = {
    key: 'bench',
    dimension,
    metric: 'euclidean',
    m: 16,
    efConstruction: 200,
    capacity: count,
  } as const;
  const index = createNativeEngine().open(options, null);
  const fields = [
    { key: 'chance', type: 'float' },
    { key: 'near', type: 'float' },
  ] as const;
  const indexes = new PayloadIndexes(fields, Number.POSITIVE_INFINITY);
  const payloads = payloadsOf(data, count, pivot);
  for (let i = 0; i < count; i++) {
    const label = index.put(String(i), 1, base.subarray(i * dimension, (i + 1) * dimension));
    indexes.put(label, utf8(JSON.stringify(payloads[i])));
  }
  while (index.link(50_000) > 0);
  const all = Array.from({ length: data.queries.length / dimension }, (_, q) =>
    data.queries.subarray(q * dimension, (q + 1) * dimension),
  );
  const nearness = (query: Float32Array): number => similarity('euclidean', query, pivot);
  const queries = all.sort((a, b) => nearness(b) - nearness(a)).slice(1, queryCount + 1);
  return { index, indexes, data, count, queries };
}

/** Matches anywhere, around the queries, or as far from them as there are any. */
function filterOf(correlation: Correlation, share: number): Filter {
  const none = { gt: null, gte: null, lt: null, lte: null };
  if (correlation === 'random') return { kind: 'range', key: 'chance', bounds: { ...none, lt: share } };
  if (correlation === 'correlated') return { kind: 'range', key: 'near', bounds: { ...none, lt: share } };
  return { kind: 'range', key: 'near', bounds: { ...none, gte: 1 - share } };
}

interface Cell {
  readonly recall: number;
  /** Median of a query's microseconds, the filter's evaluation included. */
  readonly micros: number;
  readonly distances: number;
  readonly short: number;
  readonly used: string;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

type Search = (query: Float32Array, words: Uint32Array, matches: number) => SearchResult;

function measure({ index, indexes, queries }: World, filter: Filter, search: Search): Cell {
  const micros: number[] = [];
  const used = new Map<string, number>();
  let [hits, wanted, distances, short] = [0, 0, 0, 0];
  for (const query of queries) {
    const start = performance.now();
    const between = indexes.between(filter, (id) => index.labelOf(id));
    if (!isExact(between)) throw new Error('the payload indexes leave something open');
    const matches = between.upper.count();
    const found = search(query, between.upper.view, matches);
    micros.push((performance.now() - start) * 1_000);
    const truth = new Set(index.exact(query, k, { words: between.upper.view }).ids);
    wanted += truth.size;
    for (const id of found.ids) if (truth.has(id)) hits++;
    distances += found.distances;
    if (found.ids.length < Math.min(k, matches)) short++;
    const name = found.fellBack ? `${found.strategy}*` : found.strategy;
    used.set(name, (used.get(name) ?? 0) + 1);
  }
  const [most] = [...used].sort((a, b) => b[1] - a[1]);
  const recall = wanted === 0 ? 1 : hits / wanted;
  return { recall, micros: median(micros), distances: distances / queries.length, short, used: most?.[0] ?? '' };
}

const forced =
  ({ index }: World, strategy: AllowedStrategy): Search =>
  (query, words) =>
    index.search(query, k, { ef, allowed: { words }, strategy, distancesMax: 10 * index.size });

const planned =
  ({ index }: World): Search =>
  (query, words, matches) =>
    index.search(query, k, { ...planSearch({ matches, points: index.size, k, ef }), allowed: { words } });

const shown = ({ recall, micros, distances }: Cell): string =>
  `${recall.toFixed(3)} ${micros.toFixed(0).padStart(6)} ${distances.toFixed(0).padStart(6)}`;

/** The truth of the comparison was found by our exact search: some of it is checked by float64 sums over plain lists. */
function checkTruth({ index, indexes, data, count, queries }: World): void {
  const filter = filterOf('random', 0.05);
  const { upper } = indexes.between(filter, () => -1);
  for (const query of queries.slice(0, 3)) {
    const scored: { id: string; score: number }[] = [];
    for (let i = 0; i < count; i++) {
      if (!upper.has(index.labelOf(String(i)))) continue;
      const row = data.base.subarray(i * data.dimension, (i + 1) * data.dimension);
      scored.push({ id: String(i), score: similarity('euclidean', query, row) });
    }
    const wanted = new Set(
      scored
        .sort((a, b) => b.score - a.score)
        .slice(0, k)
        .map(({ id }) => id),
    );
    const same = index.exact(query, k, { words: upper.view }).ids.filter((id) => wanted.has(id)).length;
    if (same < k - 1) throw new Error(`exact search is wrong: ${same} of ${k}`);
  }
}

function matrix(world: World): boolean {
  console.log('selectivity correlation | each: recall, median µs, distances | scan | walk | twoHop | planned, by');
  let [worst, short, slowest] = [1, 0, 0];
  for (const correlation of correlations) {
    for (const share of shares) {
      const filter = filterOf(correlation, share);
      const cells = strategies.map((strategy) => measure(world, filter, forced(world, strategy)));
      const plan = measure(world, filter, planned(world));
      const best = Math.min(...cells.filter(({ recall }) => recall >= recallMin).map(({ micros }) => micros));
      slowest = Math.max(slowest, plan.micros / best);
      worst = Math.min(worst, plan.recall);
      short += plan.short;
      const name = `${(share * 100).toFixed(1)} %`.padStart(7);
      console.log(`${name} ${correlation.padEnd(10)} | ${cells.map(shown).join(' | ')} | ${shown(plan)} ${plan.used}`);
    }
  }
  const verdict = `worst recall ${worst.toFixed(3)} (at least ${recallMin}), ${short} short answers`;
  console.log(
    `bench:filter: ${world.count} x ${world.data.dimension}, planned: ${verdict}, at most ${slowest.toFixed(2)}x the best strategy`,
  );
  return worst >= recallMin && short === 0;
}

function projectRoot(): string {
  for (let folder = __dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  throw new Error('no package.json above this file');
}

function main(): void {
  const { values } = parseArgs({
    options: {
      dataset: { type: 'string', default: 'fashion-mnist' },
      data: { type: 'string' },
      points: { type: 'string', default: '60000' },
      queries: { type: 'string', default: '100' },
    },
  });
  const folder = values.data ?? join(projectRoot(), '../shared/data');
  const data = loadDataset(values.dataset, folder, 2_000);
  const count = Math.min(Number(values.points), data.base.length / data.dimension);
  const start = performance.now();
  const world = build(data, count, Number(values.queries));
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  console.log(
    `${values.dataset}: ${count} x ${data.dimension}, ef ${ef}, k ${k}, ${loadAddon().kernel}; built in ${seconds} s`,
  );
  checkTruth(world);
  if (!matrix(world)) process.exitCode = 1;
}

main();
