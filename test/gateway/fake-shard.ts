import { bytesOfFloats, floatsOf, utf8 } from '../../src/base/bytes';
import { type KeyHash64, keyHash64, logIndex } from '../../src/base/ids';
import type { Point } from '../../src/protocol/commands';
import type { MessageOf } from '../../src/protocol/messages';
import type { ShardRecord } from '../../src/protocol/records';
import type { Ordered } from '../../src/shard/ordered';
import { matches, parsedPayload } from '../../src/vector/filter-match';
import { comparePlaces, orderValueOf } from '../../src/vector/order';

/** FNV-1a of 64 bits, spread: any even hash serves, as the gateway is handed its own. */
export function testHash(id: string): KeyHash64 {
  let hash = 0xcbf29ce484222325n;
  for (const byte of utf8(id)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return keyHash64(BigInt.asUintN(64, hash * 0x9e3779b97f4a7c15n));
}

export interface FakeShard {
  record: ShardRecord;
  /** Position in `record.members`, or null: nobody leads. */
  leader: number | null;
  readonly points: Map<string, Point>;
  /** It has all points in its graph so long after a question. */
  linksAfterMs: number;
  retired: boolean;
}

export function selected(shard: FakeShard, { filter, selection }: MessageOf<'data.select'>) {
  const all = [...shard.points.values()].sort((a, b) => (testHash(a.id) < testHash(b.id) ? -1 : 1));
  const found = all.filter(({ id, payload }) => filter === null || matches(filter, id, parsedPayload(payload)));
  const figures = { count: found.length, visited: all.length, stored: all.length };
  const answer = { kind: 'data.selected' as const, ...figures, appliedIndex: logIndex(1), ageMs: null };
  if (selection.kind === 'nearest') {
    return { ...answer, hits: rank(found, selection.vector, selection.k), points: [], done: true };
  }
  if (selection.kind === 'count') return { ...answer, hits: [], points: [], done: true };
  if (selection.kind === 'ordered') return { ...answer, ...ordered(found, selection) };
  const { afterId, countMax, slice, slices } = selection;
  const edge = (n: number): bigint => (BigInt(n) << 64n) / BigInt(slices);
  const here = found.filter(({ id }) => {
    const hash = testHash(id);
    return hash >= edge(slice) && hash < edge(slice + 1) && (afterId === '' || hash > testHash(afterId));
  });
  const points = here.slice(0, countMax).map((point) => ({ ...point, version: 1 }));
  return { ...answer, hits: [], points, done: points.length === here.length };
}

/** As a shard with an index of floats would. */
function ordered(found: readonly Point[], { key, descending, after, countMax }: Ordered) {
  const placed = found.flatMap((point) => {
    const value = orderValueOf(parsedPayload(point.payload), key, 'float', descending);
    return value === null ? [] : [{ place: { value, id: point.id }, point: { ...point, version: 1 } }];
  });
  const behind = placed.filter(({ place }) => after === null || comparePlaces(place, after, descending) > 0);
  behind.sort((a, b) => comparePlaces(a.place, b.place, descending));
  const page = behind.slice(0, countMax);
  const none = new Uint8Array(0);
  const hits = page.map(({ place }) => ({ id: place.id, score: place.value, payload: none, vector: none }));
  return { hits, points: page.map(({ point }) => point), done: page.length === behind.length };
}

export function queried(shard: FakeShard, message: MessageOf<'data.query' | 'data.tunedQuery'>) {
  const all = [...shard.points.values()];
  const results = message.queries.map(({ filter, vector: query, k }) => {
    const found = all.filter(({ id, payload }) => filter === null || matches(filter, id, parsedPayload(payload)));
    const counts = { distances: found.length, visited: all.length, matches: found.length, points: all.length };
    return { hits: rank(found, query, k), stats: { strategy: 'scan', ...counts, estimate: null, micros: 0 } };
  });
  const answer = { results, appliedIndex: logIndex(1), ageMs: null };
  if (message.kind === 'data.query') return { kind: 'data.queried' as const, ...answer };
  return { kind: 'data.tunedQueried' as const, ...answer, indexed: message.waitIndexedMs >= shard.linksAfterMs };
}

export function write(shard: FakeShard, { operation }: MessageOf<'data.write'>): number {
  if (operation.kind === 'delete') return operation.ids.filter((id) => shard.points.delete(id)).length;
  for (const point of operation.points) shard.points.set(point.id, point);
  return operation.points.length;
}

/** The oracle as well: every point, by dot product, ties by id. */
export function rank(points: readonly Point[], query: Uint8Array, k: number) {
  const q = floatsOf(query);
  const scored = points.map(({ id, vector, payload }) => {
    const score = floatsOf(vector).reduce((sum, value, i) => sum + value * (q[i] ?? 0), 0);
    return { id, score, payload, vector };
  });
  scored.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
  return scored.slice(0, k);
}

export const vector = (...numbers: number[]): Uint8Array => bytesOfFloats(Float32Array.from(numbers));
export const pointsOf = (...ids: string[]): Point[] =>
  ids.map((id, i) => ({ id, vector: vector(i, 1), payload: new Uint8Array(0) }));
