import { compareBytes, floatsOf } from '../base/bytes';
import { VectronError } from '../base/errors';
import type { Hit, Selection, StoredPoint } from '../protocol/data-messages';
import type { Filter } from '../protocol/filters';
import type { Metric } from '../protocol/records';
import type { KeyRange } from '../storage/keys';
import { matches, parsedPayload } from '../vector/filter-match';
import { similarity } from '../vector/metrics';
import { type Scored, TopK } from '../vector/top-k';
import { keyOf, pointIdOf, spacePart, successor } from './point-keys';
import { decodeRecord, type PointRecord } from './point-record';
import type { Change } from './shard-apply';
import { hitsOf, type PointView, stored } from './shard-query';

export interface SelectingOptions {
  readonly view: PointView;
  /** Null: every point. */
  readonly filter: Filter | null;
  readonly selection: Selection;
  readonly metric: Metric;
  /** Live points of the shard. */
  readonly stored: () => number;
  readonly closed: (work: Selecting) => void;
}

export interface Selected {
  readonly hits: readonly Hit[];
  readonly points: readonly StoredPoint[];
  readonly done: boolean;
  readonly count: number;
  readonly visited: number;
  readonly stored: number;
}

const sliceRecordsMax = 256;
const sliceBytesMax = 512 * 1024;
/** Of one page, about. */
const pageBytesMax = 4 * 1024 * 1024;

/** A matching point: its score for `nearest`, itself for `page`. */
interface Kept {
  readonly score: number;
  readonly point: StoredPoint | null;
}

/**
 * Finds the points that match a filter by reading every record in key order, a slice at a time, while the shard goes on
 * applying. Made by the shard machine, driven by the replica's reads.
 *
 *  1. When advance() has said true and nothing was applied since, result() is exact for the state as it is then: what changes ahead of the
 *     cursor is read there, what changes behind it is taken from the apply.
 *  2. Nothing is found twice or missed, so `nearest` gives min(k, matches) and `count` all of them.
 */
export class Selecting {
  private readonly found = new Map<string, Kept>();
  private readonly range: KeyRange;
  private readonly query: Float32Array;
  private cursor: Uint8Array;
  private visited = 0;
  private pageBytes = 0;
  private exhausted = false;
  private failure: string | null = null;

  constructor(private readonly options: SelectingOptions) {
    const { view, selection } = options;
    const isPage = selection.kind === 'page';
    this.range = isPage ? spacePart(view.space, selection.slice, selection.slices) : spacePart(view.space, 0, 1);
    this.query = selection.kind === 'nearest' ? floatsOf(selection.vector) : new Float32Array(0);
    this.cursor = this.range.start;
    if (!isPage || selection.afterId === '') return;
    const after = successor(keyOf(view.space, { id: selection.afterId, hash: view.keyHash(selection.afterId) }));
    if (compareBytes(after, this.cursor) > 0) this.cursor = after;
    this.range = { start: this.cursor, end: this.range.end };
  }

  /** One slice; true once all has been read that is wanted. Throws CORRUPT, and UNAVAILABLE if the state was replaced. */
  advance(): boolean {
    if (this.failure !== null) throw new VectronError('UNAVAILABLE', this.failure);
    if (this.isWhole()) return true;
    const { store } = this.options.view;
    const slice = { start: this.cursor, end: this.range.end, countMax: sliceRecordsMax, bytesMax: sliceBytesMax };
    const records = compareBytes(slice.start, slice.end) < 0 ? store.range(slice) : [];
    for (const { key, value } of records) {
      const id = pointIdOf(key);
      this.take(id, decodeRecord(id, value));
      this.cursor = successor(key);
      if (this.isFull()) return true;
    }
    this.exhausted = records.length === 0;
    return this.exhausted;
  }

  /** What was applied since the last slice. */
  changed(changes: readonly Change[]): void {
    const { start } = this.range;
    for (const change of changes) {
      const key = keyOf(this.options.view.space, change);
      const isBehind = compareBytes(key, this.cursor) < 0 && compareBytes(key, start) >= 0;
      if (!isBehind) continue;
      this.found.delete(change.id);
      this.take(change.id, change.record);
    }
  }

  fail(why: string): void {
    this.failure = why;
  }

  close(): void {
    this.options.closed(this);
  }

  result(): Selected {
    const { selection, view, stored } = this.options;
    const count = this.isWhole() ? stored() : this.found.size;
    const figures = { count, visited: this.visited, stored: stored() };
    if (selection.kind === 'count') return { hits: [], points: [], done: true, ...figures };
    if (selection.kind === 'page') return { hits: [], ...this.page(selection.countMax), ...figures };
    const best = new TopK<Scored>(selection.k);
    for (const [id, { score }] of this.found) best.offer({ id, score });
    const sorted = best.sorted();
    const hits = hitsOf(view, { ids: sorted.map(({ id }) => id), scoreAt: (at) => scoreOf(sorted[at]) }, selection);
    return { hits, points: [], done: true, ...figures };
  }

  /** Points written behind the cursor while it moved may make it too many: the last ones are left to the next page. */
  private page(countMax: number): { readonly points: readonly StoredPoint[]; readonly done: boolean } {
    const { space, keyHash } = this.options.view;
    const keyed = [...this.found.values()].flatMap(({ point }) =>
      point === null ? [] : [{ point, key: keyOf(space, { id: point.id, hash: keyHash(point.id) }) }],
    );
    keyed.sort((a, b) => compareBytes(a.key, b.key));
    const points = keyed.slice(0, countMax).map(({ point }) => point);
    return { points, done: this.exhausted && points.length === keyed.length };
  }

  /** How many there are of all points is known without reading them. */
  private isWhole(): boolean {
    return this.options.selection.kind === 'count' && this.options.filter === null;
  }

  private isFull(): boolean {
    const { selection } = this.options;
    return selection.kind === 'page' && (this.found.size >= selection.countMax || this.pageBytes >= pageBytesMax);
  }

  private take(id: string, record: PointRecord): void {
    if (record.deleted) return;
    this.visited++;
    const { filter, selection, metric } = this.options;
    if (filter !== null && !matches(filter, id, parsedPayload(record.payload))) return;
    const isPage = selection.kind === 'page';
    const isNearest = selection.kind === 'nearest';
    const score = isNearest ? Math.fround(similarity(metric, this.query, floatsOf(record.vector))) : 0;
    if (isPage) this.pageBytes += record.payload.length + record.vector.length;
    this.found.set(id, { score, point: isPage ? stored(id, record) : null });
  }
}

const scoreOf = (hit: Scored | undefined): number => hit?.score ?? 0;
