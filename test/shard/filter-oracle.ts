import { assert } from '../../src/base/assert';
import { floatsOf } from '../../src/base/bytes';
import { Prng } from '../../src/base/prng';
import type { Filter } from '../../src/protocol/filters';
import type { PayloadIndex, Schema } from '../../src/protocol/schemas';
import { parsedPayload, valuesAt } from '../../src/vector/filter-match';
import { similarity } from '../../src/vector/metrics';
import { orderedTypes, type Place } from '../../src/vector/order';
import { randomFilter } from '../vector/random-filter';
import { nearest, Pair, page } from './selecting-pair';
import { vectorOf } from './shard-helpers';

const indexes: readonly PayloadIndex[] = [
  { key: 'at', type: 'datetime' },
  { key: 'kind', type: 'keyword' },
  { key: 'maybe', type: 'bool' },
  { key: 'n', type: 'integer' },
  { key: 'parts.n', type: 'float' },
  { key: 'tags', type: 'keyword' },
];

export interface OracleReport {
  readonly operations: number;
  readonly checks: number;
  /** How the searches were answered. */
  readonly strategies: ReadonlyMap<string, number>;
  readonly restarts: number;
  readonly snapshots: number;
}

/**
 * Random upserts, updates, deletes and re-inserts on one shard, schemas that come and go, restarts, snapshots, and between
 * them filters of every kind: each answer is compared with that of a plain list beside it. Throws at the first difference.
 */
export function runFilterOracle(seed: number, operations: number): OracleReport {
  const random = new Prng(seed);
  const pair = new Pair(random, 400, true);
  const strategies = new Map<string, number>();
  let [revision, checks, restarts, snapshots] = [0, 0, 0, 0];
  pair.write(200);
  for (let done = 0; done < operations; done++) {
    const draw = random.between(0, 999);
    if (draw < 700) pair.write(random.between(1, 3));
    else if (draw < 760) checks += checkOrder(pair, random.chance(0.5) ? null : randomFilter(random));
    else if (draw < 950) checks += check(pair, randomFilter(random), strategies);
    else if (draw < 975) pair.settle();
    else if (draw < 985) pair.setSchema(schemaOf(random, ++revision));
    else if (draw < 995) restarts += again(() => pair.restart());
    else snapshots += again(() => pair.replaceBySnapshot());
  }
  return { operations, checks, strategies, restarts, snapshots };
}

/** Half of them give points an end that their writes do not name. */
const schemaOf = (random: Prng, revision: number): Schema => ({
  revision,
  indexes: indexes.filter(() => random.chance(0.7)),
  ttlMs: random.chance(0.5) ? 0 : random.between(1, 15_000),
});

function again(act: () => void): number {
  act();
  return 1;
}

function check(pair: Pair, filter: Filter, strategies: Map<string, number>): number {
  const { random } = pair;
  const query = vectorOf(random);
  const k = random.pick([1, 10, 100]);
  const tuning = {
    ...{ ef: random.pick([0, 5, 300]), exact: random.chance(0.2), quantised: random.chance(0.7) },
    ...{ oversampling: random.pick([1, 1, 2.5, 100]), rerank: random.pick([0, 0, k, 10_000]) },
  };
  const { hits, count, strategy } = pair.select(filter, { ...nearest(query, k), ...tuning }, 3);
  strategies.set(strategy, (strategies.get(strategy) ?? 0) + 1);
  const wanted = pair
    .matching(filter)
    .map(({ id, vector }) => ({ id, score: Math.fround(similarity('euclidean', floatsOf(query), floatsOf(vector))) }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
  same(count, wanted.length, filter);
  same(
    hits.map(({ id, score }) => ({ id, score })),
    wanted.slice(0, k),
    filter,
  );
  same(pair.select(filter, { kind: 'count' }, 3).count, pair.matching(filter).length, filter);
  const { points, done } = pair.select(filter, page({ countMax: 1_000 }), 1);
  same(done, true, filter);
  same(
    points.map(({ id }) => id).sort(),
    pair
      .matching(filter)
      .map(({ id }) => id)
      .sort(),
    filter,
  );
  return 1;
}

/** All pages of one order, each held against the list as it is when the page is made. */
function checkOrder(pair: Pair, filter: Filter | null): number {
  const { random } = pair;
  const indexed = pair.machine.schema.indexes.filter(({ type }) => orderedTypes.some((one) => one === type));
  if (indexed.length === 0) return 0;
  const { key, type } = random.pick(indexed);
  const descending = random.chance(0.5);
  const countMax = random.pick([1, 20, 300]);
  for (let [after, pages]: [Place | null, number] = [null, 0]; pages < 6; pages++) {
    const { points, hits, done } = pair.select(filter, { kind: 'ordered', key, descending, after, countMax }, 2);
    const all: Place[] = pair.matching(filter).flatMap(({ id, payload }) => {
      const value = plainValue(valuesAt(parsedPayload(payload), key), type, descending);
      return value === null ? [] : [{ value, id }];
    });
    all.sort((a, b) => (descending ? b.value - a.value : a.value - b.value) || (a.id < b.id ? -1 : 1));
    const behind = all.filter((place) => after === null || isBehind(place, after, descending));
    const wanted = behind
      .slice(0, countMax)
      .map((place) => ({ ...place, payload: pair.live.get(place.id)?.payload.length }));
    same(
      points.map(({ id, payload }, i) => ({ value: hits[i]?.score, id, payload: payload.length })),
      wanted,
      filter,
    );
    same(done, wanted.length === behind.length, filter);
    if (done) break;
    after = wanted[wanted.length - 1] ?? null;
  }
  return 1;
}

function plainValue(values: readonly unknown[], type: string, descending: boolean): number | null {
  const kept = values.flatMap((value) => {
    if (type === 'datetime') return typeof value === 'string' && value.startsWith('20') ? [Date.parse(value)] : [];
    return typeof value === 'number' && (type === 'float' || Number.isInteger(value)) ? [value] : [];
  });
  if (kept.length === 0) return null;
  return descending ? Math.max(...kept) : Math.min(...kept);
}

const isBehind = (place: Place, after: Place, descending: boolean): boolean =>
  place.value === after.value ? place.id > after.id : place.value > after.value !== descending;

function same(found: unknown, wanted: unknown, filter: Filter | null): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  assert(a === b, () => `${JSON.stringify(filter)}: ${a.slice(0, 500)} is not ${b.slice(0, 500)}`);
}
