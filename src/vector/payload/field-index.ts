import type { FilterTest } from '../../protocol/filters';
import type { IndexedType } from '../../protocol/schemas';
import type { Bits } from './bits';

/** What a filter's truth lies between: every point of `lower` passes, and none that is not in `upper`. */
export interface Between {
  readonly lower: Bits;
  readonly upper: Bits;
}

export type KeyTest = Exclude<FilterTest, { readonly kind: 'hasId' }>;

/**
 * What one payload index knows of the values at its key, by slot. Derived state; each answer is a superset and a subset of
 * the truth, so that a value it does not keep makes a filter slower and never wrong.
 *
 *  1. set() replaces all that was known of a slot, remove() forgets it.
 *  2. Of a value that is not of its type it knows only that there is one (`others`).
 */
export interface FieldIndex {
  readonly type: IndexedType;
  /** About what it takes in memory. */
  readonly bytes: number;
  /** `values`: those at its key, nulls included, arrays replaced by their elements. */
  set(slot: number, values: readonly unknown[]): void;
  remove(slot: number): void;
  /** Null: it cannot tell. The sets are the caller's. `all`: the slots of all points. */
  between(test: KeyTest, all: Bits): Between | null;
  /** About how many slots pass, without finding them; null: it cannot tell. */
  estimate(test: KeyTest): number | null;
}
