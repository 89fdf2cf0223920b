import { floatsOf } from '../base/bytes';
import type { Filter } from '../protocol/filters';
import { efFor, wantedHits } from '../vector/breadth';
import { matches, parsedPayload } from '../vector/filter-match';
import type { OrderedType } from '../vector/order';
import { Bits } from '../vector/payload/bits';
import { isExact } from '../vector/payload/filter-bounds';
import type { PayloadIndexes } from '../vector/payload/payload-indexes';
import { planSearch } from '../vector/planner';
import type { SearchResult, VectorIndex } from '../vector/ports';
import { type Ordered, pageAt, placesByIndex } from './ordered';
import type { Nearest, ReadSelection, Selected, SelectingPlan } from './selecting';
import { bestOf, hitsOf, isThere, type PointView, readRecords } from './shard-query';

export interface FilteredView {
  readonly view: PointView;
  readonly index: VectorIndex;
  readonly indexes: PayloadIndexes;
  readonly stored: number;
}

/** Records that are read in one turn to make a set exact. */
const residualMax = 256;
/** A page or a residue is read point by point up to this share of all points; beyond it, reading all in order is faster. */
const listShareMax = 0.25;

/** How a selection is found with the help of payload indexes, for the state as it is now. */
export function planFiltered(
  filtered: FilteredView,
  filter: Filter,
  selection: Exclude<ReadSelection, Ordered>,
): SelectingPlan {
  const passing = passingSlots(filtered, filter);
  if (passing.exact && selection.kind !== 'page')
    return { kind: 'answered', answer: answered(filtered, passing, filter, selection) };
  if (passing.count > filtered.stored * listShareMax) return { kind: 'all' };
  return { kind: 'some', ids: idsOf(filtered.index, passing.slots) };
}

/**
 * In the order of an index that is there, of what a filter lets pass; null: of all. While an index of another type is built
 * the one before still serves filters, and knows other values: no order follows it.
 */
export function planOrdered(
  filtered: FilteredView,
  filter: Filter | null,
  selection: Ordered,
  type: OrderedType | null,
): SelectingPlan {
  const { view, index, indexes, stored } = filtered;
  const order = indexes.order(selection.key);
  const passing = filter === null ? null : passingSlots(filtered, filter);
  if (order?.type !== type || passing?.exact === false) return { kind: 'all' };
  const places = placesByIndex(order, index, passing?.slots ?? null, selection);
  if (places === null) return { kind: 'all' };
  const figures = { visited: places.length, stored, strategy: 'index', distances: 0, estimate: null, micros: 0 };
  const page = pageAt(view, places, selection.countMax);
  return { kind: 'answered', answer: { ...page, count: places.length, ...figures } };
}

interface Passing {
  /** Exactly those that pass, or more. */
  readonly slots: Bits;
  readonly exact: boolean;
  readonly count: number;
}

/** What the indexes say; and where they leave few points open, what those say themselves. */
function passingSlots({ view, index, indexes }: FilteredView, filter: Filter): Passing {
  const { lower, upper } = indexes.between(filter, (id) => index.labelOf(id));
  if (isExact({ lower, upper })) return { slots: upper, exact: true, count: upper.count() };
  const open = upper.clone().andNot(lower);
  const count = upper.count();
  if (open.count() > residualMax) return { slots: upper, exact: false, count };
  const slots = lower.clone();
  for (const [id, record] of readRecords(view, idsOf(index, open))) {
    if (isThere(view, record) && matches(filter, id, parsedPayload(record.payload))) {
      slots.add(index.labelOf(id));
    }
  }
  return { slots, exact: true, count: slots.count() };
}

function idsOf(index: VectorIndex, slots: Bits): string[] {
  const ids: string[] = [];
  slots.forEach((slot) => {
    const id = index.idOf(slot);
    if (id !== null) ids.push(id);
  });
  return ids;
}

function answered(
  filtered: FilteredView,
  { slots, count }: Passing,
  filter: Filter,
  selection: Exclude<ReadSelection, Ordered | { kind: 'page' }>,
): Selected {
  const { view, indexes, stored } = filtered;
  const estimate = indexes.estimate(filter);
  const figures = { done: true, count, stored, points: [], estimate };
  if (selection.kind === 'count')
    return { hits: [], visited: 0, strategy: 'index', distances: 0, micros: 0, ...figures };
  const found = searchWithin(filtered, slots, count, selection);
  const { strategy, visited, distances, micros } = found;
  return {
    hits: hitsOf(view, bestOf(found, selection.k), selection),
    visited,
    strategy,
    distances,
    micros,
    ...figures,
  };
}

function searchWithin(
  { index }: FilteredView,
  slots: Bits,
  count: number,
  { vector, ef = 0, exact = false, quantised = true, ...asked }: Nearest,
): SearchResult {
  const query = floatsOf(vector);
  const k = wantedHits(asked);
  const allowed = { words: slots.view };
  if (exact) return index.exact(query, k, allowed);
  const plan = planSearch({ matches: count, points: index.size, k, ef: efFor(k, ef) });
  return index.search(query, k, { ...plan, allowed, quantised });
}
