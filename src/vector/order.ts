import { indexedValuesMax } from '../base/limits';
import { parseDatetime, valuesAt } from './filter-match';

/** Payload indexes that a scroll may follow. */
export const orderedTypes = ['integer', 'float', 'datetime'] as const;
export type OrderedType = (typeof orderedTypes)[number];

/** Where a point stands in an order: by its value, and by its id among those of one value. */
export interface Place {
  readonly value: number;
  readonly id: string;
}

/** Ids go up whichever way the values go, so that a cursor means one place. */
export function comparePlaces(a: Place, b: Place, descending: boolean): number {
  if (a.value !== b.value) return descending ? b.value - a.value : a.value - b.value;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/**
 * The value a point is ordered by at a key: its least of the index's type, or going down its greatest. Null: it has none, and
 * is left out of the order. The plain definition of what NumberIndex.orderValue() keeps; times are milliseconds since 1970.
 */
export function orderValueOf(payload: unknown, key: string, type: OrderedType, descending: boolean): number | null {
  const kept = valuesAt(payload, key).flatMap((value) => numberOf(value, type) ?? []);
  const values = [...new Set(kept)].slice(0, indexedValuesMax);
  if (values.length === 0) return null;
  return values.reduce((best, value) => (descending ? Math.max(best, value) : Math.min(best, value)));
}

function numberOf(value: unknown, type: OrderedType): number | null {
  if (type === 'datetime') return typeof value === 'string' ? parseDatetime(value) : null;
  if (typeof value !== 'number' || (type === 'integer' && !Number.isInteger(value))) return null;
  // The two zeros are one place.
  return value === 0 ? 0 : value;
}
