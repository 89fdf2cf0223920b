import { present } from '../base/assert';
import { compareBytes, floatsOf } from '../base/bytes';
import { VectronError } from '../base/errors';
import type { Hit, Query, Selection, StoredPoint } from '../protocol/data-messages';
import type { Filter } from '../protocol/filters';
import type { Metric } from '../protocol/records';
import type { KeyRange } from '../storage/keys';
import { matches, parsedPayload } from '../vector/filter-match';
import { similarity } from '../vector/metrics';
import { comparePlaces, type OrderedType, orderValueOf } from '../vector/order';
import { type Scored, TopK } from '../vector/top-k';
import type { SeenChange } from './index-feed';
import { type Ordered, type OrderedPage, pageAt } from './ordered';
import { keyOf, spacePart, successor } from './point-keys';
import type { PointRecord } from './point-record';
import { ListSource, RangeSource, type RecordSource } from './record-source';
import { hitsOf, isThere, type PointView, stored } from './shard-query';

/** How a selection is found: by reading every record, by reading some of them, or at once. */
export type SelectingPlan =
  | { readonly kind: 'all' }
  | { readonly kind: 'some'; readonly ids: readonly string[] }
  | { readonly kind: 'answered'; readonly answer: Selected };

export interface SelectingOptions {
  readonly view: PointView;
  /** Null: every point. */
  readonly filter: Filter | null;
  readonly selection: ReadSelection;
  readonly metric: Metric;
  /** Live points of the shard. */
  readonly stored: () => number;
  /** Asked once, at the first slice: what it says holds for the state as it is then. */
  readonly plan: () => SelectingPlan;
  /** Of `ordered`: what of the values at its key counts. */
  readonly order?: OrderedType;
  readonly closed: (work: Selecting) => void;
}

export interface Selected {
  readonly hits: readonly Hit[];
  readonly points: readonly StoredPoint[];
  readonly done: boolean;
  readonly count: number;
  readonly visited: number;
  readonly stored: number;
  /** Of `nearest`: how it was found, as in QueryStats. */
  readonly strategy: string;
  readonly distances: number;
  readonly estimate: number | null;
  readonly micros: number;
}

/** `ef` 0: chosen. */
export type Nearest = Extract<Selection, { readonly kind: 'nearest' }> &
  Partial<Pick<Query, 'ef' | 'exact' | 'oversampling' | 'quantised' | 'rerank'>>;
export type ReadSelection = Exclude<Selection, { readonly kind: 'nearest' }> | Nearest;

/** Of one page, about. */
const pageBytesMax = 4 * 1024 * 1024;

/** A matching point: its score for `nearest`, its value for `ordered`, itself for `page`. */
interface Kept {
  readonly score: number;
  readonly point: StoredPoint | null;
}

/**
 * Finds the points that match a filter by reading records in key order, a slice at a time, while the shard goes on
 * applying: every record, or those that payload indexes have not ruled out. Made by the shard machine, driven by the
 * replica's reads.
 *
 *  1. When advance() has said true and nothing was applied since, result() is exact for the state as it is then: what changes ahead of
 *     what was read is read there, what changes behind it is taken from the apply.
 *  2. Nothing is found twice or missed, so `nearest` gives min(k, matches) and `count` all of them.
 */
export class Selecting {
  private readonly found = new Map<string, Kept>();
  private readonly query: Float32Array;
  private source: RecordSource | null = null;
  private answer: Selected | null = null;
  private visited = 0;
  private pageBytes = 0;
  private exhausted = false;
  private failure: string | null = null;

  constructor(private readonly options: SelectingOptions) {
    const { selection } = options;
    this.query = selection.kind === 'nearest' ? floatsOf(selection.vector) : new Float32Array(0);
  }

  /** One slice; true once all has been read that is wanted. Throws CORRUPT, and UNAVAILABLE if the state was replaced. */
  advance(): boolean {
    if (this.failure !== null) throw new VectronError('UNAVAILABLE', this.failure);
    const source = this.source ?? this.begin();
    if (source === null) return true;
    const slice = source.next();
    for (const found of slice) {
      this.take(found.id, found.record);
      source.took(found);
      if (this.isFull()) return true;
    }
    this.exhausted = slice.length === 0;
    return this.exhausted;
  }

  /** Null: it is answered. */
  private begin(): RecordSource | null {
    const plan = this.isWhole() ? this.whole() : this.options.plan();
    if (plan.kind === 'answered') {
      this.answer = plan.answer;
      return null;
    }
    const { view } = this.options;
    const range = this.range();
    this.source = plan.kind === 'all' ? new RangeSource(view, range) : new ListSource(view, range, plan.ids);
    return this.source;
  }

  private range(): KeyRange {
    const { view, selection } = this.options;
    if (selection.kind !== 'page') return spacePart(view.space, 0, 1);
    const { start, end } = spacePart(view.space, selection.slice, selection.slices);
    if (selection.afterId === '') return { start, end };
    const after = successor(keyOf(view.space, { id: selection.afterId, hash: view.keyHash(selection.afterId) }));
    return { start: compareBytes(after, start) > 0 ? after : start, end };
  }

  /** What was applied since the last slice. An answer is for now: what was answered before is answered anew. */
  changed(changes: readonly SeenChange[]): void {
    if (changes.length > 0) this.answer = null;
    for (const change of changes) {
      if (this.source?.changed(change.id) !== 'behind') continue;
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
    if (this.answer !== null) return this.answer;
    const { selection, view, stored } = this.options;
    const { visited } = this;
    const figures = {
      ...{ count: this.found.size, visited, stored: stored(), estimate: null },
      ...{ strategy: 'records', distances: selection.kind === 'nearest' ? this.found.size : 0, micros: 0 },
    };
    if (selection.kind === 'count') return { hits: [], points: [], done: true, ...figures };
    if (selection.kind === 'ordered') return { ...this.ordered(selection), ...figures };
    if (selection.kind === 'page') return { hits: [], ...this.page(selection.countMax), ...figures };
    const best = new TopK<Scored>(selection.k);
    for (const [id, { score }] of this.found) best.offer({ id, score });
    const sorted = best.sorted();
    const hits = hitsOf(view, { ids: sorted.map(({ id }) => id), scoreAt: (at) => scoreOf(sorted[at]) }, selection);
    return { hits, points: [], done: true, ...figures };
  }

  private ordered({ descending, after, countMax }: Ordered): OrderedPage {
    const all = [...this.found].map(([id, { score }]) => ({ id, value: score }));
    const behind = after === null ? all : all.filter((place) => comparePlaces(place, after, descending) > 0);
    behind.sort((a, b) => comparePlaces(a, b, descending));
    return pageAt(this.options.view, behind, countMax);
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

  private whole(): SelectingPlan {
    const stored = this.options.stored();
    const figures = { visited: 0, stored, strategy: 'records', distances: 0, estimate: null, micros: 0 };
    const answer = { hits: [], points: [], done: true, count: stored, ...figures };
    return { kind: 'answered', answer };
  }

  private isFull(): boolean {
    const { selection } = this.options;
    return selection.kind === 'page' && (this.found.size >= selection.countMax || this.pageBytes >= pageBytesMax);
  }

  private take(id: string, record: PointRecord): void {
    if (!isThere(this.options.view, record)) return;
    this.visited++;
    const { filter, selection, metric } = this.options;
    const payload = filter === null && selection.kind !== 'ordered' ? null : parsedPayload(record.payload);
    if (filter !== null && !matches(filter, id, payload)) return;
    const isPage = selection.kind === 'page';
    if (isPage) this.pageBytes += record.payload.length + record.vector.length;
    if (selection.kind === 'ordered') return this.place(id, payload, selection);
    const isNearest = selection.kind === 'nearest';
    const score = isNearest ? Math.fround(similarity(metric, this.query, floatsOf(record.vector))) : 0;
    this.found.set(id, { score, point: isPage ? stored(id, record) : null });
  }

  private place(id: string, payload: unknown, { key, descending }: Ordered): void {
    const type = present(this.options.order, 'the type of the index that an order follows');
    const value = orderValueOf(payload, key, type, descending);
    if (value !== null) this.found.set(id, { score: value, point: null });
  }
}

const scoreOf = (hit: Scored | undefined): number => hit?.score ?? 0;
