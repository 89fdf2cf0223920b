import { floatsOf } from '../base/bytes';
import type { Space } from '../base/ids';
import { efMax } from '../base/limits';
import type { Hit, SearchStats, StoredPoint } from '../protocol/data-messages';
import type { KeyHash } from '../protocol/key-hash';
import { pointRange } from '../storage/keys';
import type { KeyValueStore } from '../storage/ports';
import type { SearchResult, VectorIndex } from '../vector/ports';
import { keyOf, pointIdOf, successor } from './point-keys';
import { decodeRecord, type PointRecord } from './point-record';
import { type Digest, digestWith, emptyDigest, recordHash } from './record-digest';

/** Where a shard's points are now. */
export interface PointView {
  readonly store: KeyValueStore;
  readonly space: Space;
  readonly keyHash: KeyHash;
}

export interface SearchRequest {
  readonly vector: Uint8Array;
  readonly k: number;
  /** 0: chosen from k. */
  readonly ef: number;
  readonly exact: boolean;
  readonly includeVector: boolean;
  readonly includePayload: boolean;
}

const scanBytesMax = 1024 * 1024;
const scanRecordsMax = 256;
const efFloor = 64;
const noBytes = new Uint8Array(0);

/** Twice k leaves the walk room to be wrong about half of what it keeps. */
export const efFor = (k: number, ef: number): number =>
  Math.min(efMax, ef === 0 ? Math.max(efFloor, 2 * k) : Math.max(ef, k));

/** Live points among `ids`, in their order. Throws CORRUPT. */
export function getPoints(view: PointView, ids: readonly string[]): StoredPoint[] {
  const found: StoredPoint[] = [];
  readRecords(view, ids).forEach((record, at) => {
    if (record !== undefined && !record.deleted) found.push(stored(ids[at] as string, record));
  });
  return found;
}

/** Live points after `afterId` in key order ('' begins), at most `countMax` and about a megabyte. Throws CORRUPT. */
export function scanPoints(
  view: PointView,
  afterId: string,
  countMax: number,
): { readonly points: readonly StoredPoint[]; readonly done: boolean } {
  const { start, end } = pointRange(view.space);
  const points: StoredPoint[] = [];
  let cursor = afterId === '' ? start : successor(keyOf(view.space, { id: afterId, hash: view.keyHash(afterId) }));
  for (let bytes = 0; points.length < countMax && bytes < scanBytesMax; ) {
    const countWanted = Math.min(scanRecordsMax, countMax - points.length);
    const found = view.store.range({ start: cursor, end, countMax: countWanted, bytesMax: scanBytesMax });
    for (const { key, value } of found) {
      const record = decodeRecord(pointIdOf(key), value);
      if (record.deleted) continue;
      points.push(stored(pointIdOf(key), record));
      bytes += value.length;
    }
    const last = found[found.length - 1];
    if (last === undefined) return { points, done: true };
    cursor = successor(last.key);
  }
  return { points, done: false };
}

/** The query vector must have been checked. Throws CORRUPT. */
export function searchPoints(
  view: PointView,
  index: VectorIndex,
  request: SearchRequest,
): { readonly hits: readonly Hit[]; readonly stats: SearchStats } {
  const query = floatsOf(request.vector);
  const { k, ef } = request;
  const result = request.exact ? index.exact(query, k) : index.search(query, k, efFor(k, ef));
  const stats = { strategy: result.strategy, distances: result.distances, points: index.size };
  return { hits: hitsOf(view, result, request), stats };
}

function hitsOf(view: PointView, result: SearchResult, request: SearchRequest): Hit[] {
  const { includePayload, includeVector } = request;
  const score = (at: number): number => result.scores[at] as number;
  if (!includePayload && !includeVector) {
    return result.ids.map((id, at) => ({ id, score: score(at), payload: noBytes, vector: noBytes }));
  }
  const hits: Hit[] = [];
  readRecords(view, result.ids).forEach((record, at) => {
    // The graph may be ahead of a store that lost its newest writes in a power cut; the log is about to bring them back.
    if (record === undefined || record.deleted) return;
    const payload = includePayload ? record.payload : noBytes;
    const vector = includeVector ? record.vector : noBytes;
    hits.push({ id: result.ids[at] as string, score: score(at), payload, vector });
  });
  return hits;
}

function readRecords(view: PointView, ids: readonly string[]): (PointRecord | undefined)[] {
  const keys = ids.map((id) => keyOf(view.space, { id, hash: view.keyHash(id) }));
  return view.store
    .getMany(keys)
    .map((value, at) => (value === undefined ? undefined : decodeRecord(ids[at] as string, value)));
}

const stored = (id: string, record: PointRecord): StoredPoint => ({
  id,
  version: record.version,
  vector: record.vector,
  payload: record.payload,
});

/** What the descriptor keeps up to date, counted anew from every record: for checking one against the other. */
export interface Recount {
  readonly points: number;
  readonly records: number;
  readonly digest: Digest;
}

export function recountPoints(view: PointView): Recount {
  const { start, end } = pointRange(view.space);
  let points = 0;
  let records = 0;
  let digest = emptyDigest;
  for (let cursor = start; ; ) {
    const found = view.store.range({ start: cursor, end, countMax: scanRecordsMax, bytesMax: scanBytesMax });
    for (const { key, value } of found) {
      const id = pointIdOf(key);
      points += decodeRecord(id, value).deleted ? 0 : 1;
      records++;
      digest = digestWith(digest, recordHash(id, value));
    }
    const last = found[found.length - 1];
    if (last === undefined) return { points, records, digest };
    cursor = successor(last.key);
  }
}
