import { floatsOf } from '../base/bytes';
import { VectronError } from '../base/errors';
import type { Space } from '../base/ids';
import { requestBytesMax } from '../base/limits';
import type { Hit, SearchStats, StoredPoint } from '../protocol/data-messages';
import type { KeyHash } from '../protocol/key-hash';
import { pointRange } from '../storage/keys';
import type { KeyValueStore } from '../storage/ports';
import { efFor, wantedHits } from '../vector/breadth';
import type { SearchResult, VectorIndex } from '../vector/ports';
import { keyOf, pointIdOf, successor } from './point-keys';
import { decodeRecord, isEnded, type PointRecord } from './point-record';
import { type Digest, digestWith, emptyDigest, recordHash } from './record-digest';

/** Where a shard's points are now. */
export interface PointView {
  readonly store: KeyValueStore;
  readonly space: Space;
  readonly keyHash: KeyHash;
  /** Log time, as it is now. */
  timeMs(): number;
}

/** Whether a record is that of a point which is there, to whoever reads now. */
export const isThere = (view: PointView, record: PointRecord | undefined): record is PointRecord =>
  record !== undefined && !record.deleted && !isEnded(record, view.timeMs());

export interface SearchRequest {
  readonly vector: Uint8Array;
  readonly k: number;
  /** 0: chosen from k. */
  readonly ef: number;
  readonly exact: boolean;
  readonly includeVector: boolean;
  readonly includePayload: boolean;
  /** Default 1. */
  readonly oversampling?: number;
  /** As in Query. */
  readonly quantised?: boolean;
  readonly rerank?: number;
}

const scanBytesMax = 1024 * 1024;
const scanRecordsMax = 256;
/** Keys of one read (DESIGN D1): what bounds the memory of reading points with large payloads. */
const readCountMax = 32;
const noBytes = new Uint8Array(0);

/** Live points among `ids`, in their order. Throws CORRUPT, and RESOURCE_EXHAUSTED for more than an answer may hold. */
export function getPoints(view: PointView, ids: readonly string[]): StoredPoint[] {
  const found: StoredPoint[] = [];
  const answer = new AnswerSize('ids');
  for (const [id, record] of readRecords(view, ids)) {
    if (!isThere(view, record)) continue;
    answer.add(record.vector, record.payload);
    found.push(stored(id, record));
  }
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
      if (!isThere(view, record)) continue;
      points.push(stored(pointIdOf(key), record));
      bytes += value.length;
    }
    const last = found[found.length - 1];
    if (last === undefined) return { points, done: true };
    cursor = successor(last.key);
  }
  return { points, done: false };
}

/** The query vector must have been checked. Throws CORRUPT, and RESOURCE_EXHAUSTED for more than an answer may hold. */
export function searchPoints(
  view: PointView,
  index: VectorIndex,
  request: SearchRequest,
): { readonly hits: readonly Hit[]; readonly stats: SearchStats & Pick<SearchResult, 'visited' | 'micros'> } {
  const query = floatsOf(request.vector);
  const { k, quantised = true } = request;
  const wanted = wantedHits(request);
  const ef = efFor(wanted, request.ef);
  const result = request.exact ? index.exact(query, wanted) : index.search(query, wanted, { ef, quantised });
  const strategy = result.strategy === 'scan' ? ('scan' as const) : ('graph' as const);
  const { distances, visited, micros } = result;
  const stats = { strategy, distances, points: index.size, visited, micros };
  return { hits: hitsOf(view, bestOf(result, k), request), stats };
}

export const bestOf = ({ ids, scores }: SearchResult, k: number): Ranked => ({
  ids: ids.slice(0, k),
  scoreAt: (at) => scores[at] as number,
});

/** Best first. */
interface Ranked {
  readonly ids: readonly string[];
  scoreAt(position: number): number;
}

/** Throws CORRUPT, and RESOURCE_EXHAUSTED for more than an answer may hold. */
export function hitsOf(
  view: PointView,
  result: Ranked,
  { includePayload, includeVector }: Pick<SearchRequest, 'includePayload' | 'includeVector'>,
): Hit[] {
  if (!includePayload && !includeVector) {
    return result.ids.map((id, at) => ({ id, score: result.scoreAt(at), payload: noBytes, vector: noBytes }));
  }
  const hits: Hit[] = [];
  const answer = new AnswerSize('top_k');
  let at = -1;
  for (const [id, record] of readRecords(view, result.ids)) {
    at++;
    // The graph may be ahead of a store that lost its newest writes in a power cut; the log is about to bring them back.
    if (!isThere(view, record)) continue;
    const payload = includePayload ? record.payload : noBytes;
    const vector = includeVector ? record.vector : noBytes;
    answer.add(payload, vector);
    hits.push({ id, score: result.scoreAt(at), payload, vector });
  }
  return hits;
}

/** No answer may outgrow what a link carries; counted while it is read, so that too much is never held. */
class AnswerSize {
  private bytes = 0;

  /** `field`: of the request, which asks for too many. */
  constructor(private readonly field: string) {}

  add(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.bytes += part.length;
    if (this.bytes <= requestBytesMax) return;
    const { field } = this;
    const message = `${field}: the answer would have more than ${requestBytesMax} bytes; ask for fewer points`;
    throw new VectronError('RESOURCE_EXHAUSTED', message, { field });
  }
}

/** In the order of `ids`, a few at a time. */
export function* readRecords(view: PointView, ids: readonly string[]): Generator<[string, PointRecord | undefined]> {
  for (let first = 0; first < ids.length; first += readCountMax) {
    const some = ids.slice(first, first + readCountMax);
    const values = view.store.getMany(some.map((id) => keyOf(view.space, { id, hash: view.keyHash(id) })));
    for (const [at, value] of values.entries()) {
      const id = some[at] as string;
      yield [id, value === undefined ? undefined : decodeRecord(id, value)];
    }
  }
}

export const stored = (id: string, record: PointRecord): StoredPoint => ({
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
      points += isThere(view, decodeRecord(id, value)) ? 1 : 0;
      records++;
      digest = digestWith(digest, recordHash(id, value));
    }
    const last = found[found.length - 1];
    if (last === undefined) return { points, records, digest };
    cursor = successor(last.key);
  }
}
