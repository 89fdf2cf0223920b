import { indexedValuesMax } from '../../base/limits';
import type { Bounds, Scalar } from '../../protocol/filters';
import { parseDatetime } from '../filter-match';
import { Bits } from './bits';
import type { Between, FieldIndex, KeyTest } from './field-index';
import { Presence } from './presence';
import { SortedPairs } from './sorted-pairs';

const unbounded: Bounds = { gt: null, gte: null, lt: null, lte: null };
const equalTo = (value: number): Bounds => ({ ...unbounded, gte: value, lte: value });

/**
 * Payload index of numbers (`integer`: whole ones only, `float`) or of times (`datetime`, as milliseconds since 1970): pairs
 * of value and slot in order, for ranges and for ordering.
 */
export class NumberIndex implements FieldIndex {
  private readonly pairs = new SortedPairs();
  private readonly presence = new Presence();
  /** Slots that have any value here. */
  private readonly valued = new Bits();
  /** A slot's first value; NaN: none. Any further ones are in `more`. */
  private first = new Float64Array(64).fill(Number.NaN);
  private readonly more = new Map<number, readonly number[]>();

  constructor(readonly type: 'integer' | 'float' | 'datetime') {}

  get bytes(): number {
    const { presence, pairs, valued, first, more } = this;
    return presence.bytes + pairs.bytes + valued.bytes + first.byteLength + more.size * 96;
  }

  set(slot: number, values: readonly unknown[]): void {
    this.forget(slot);
    const kept = values.flatMap((value) => this.numberOf(value) ?? []);
    const different = [...new Set(kept)];
    const numbers = different.slice(0, indexedValuesMax);
    for (const number of numbers) this.pairs.add(number, slot);
    if (numbers[0] !== undefined) this.remember(slot, numbers);
    const hasLeft = numbers.length < different.length || (this.type === 'integer' && values.some(isFraction));
    this.presence.set(slot, values, kept.length, hasLeft);
  }

  remove(slot: number): void {
    this.forget(slot);
    this.presence.remove(slot);
  }

  between(test: KeyTest, all: Bits): Between | null {
    const isTime = this.type === 'datetime';
    switch (test.kind) {
      case 'range':
      case 'datetime':
        return isTime === (test.kind === 'datetime') ? this.presence.withLeft(this.within(test.bounds)) : null;
      case 'any':
        return isTime ? this.maybe(test.values) : this.ofNumbers(test.values);
      case 'except':
        return isTime ? null : this.presence.withOthers(this.outside(test.values));
      default:
        return this.presence.between(test, all);
    }
  }

  estimate(test: KeyTest): number | null {
    if (test.kind === 'range' || test.kind === 'datetime') return this.pairs.countWithin(test.bounds);
    if (test.kind !== 'any') return null;
    const numbers = test.values.flatMap((value) => this.numberOf(value) ?? []);
    return numbers.reduce((sum, number) => sum + this.pairs.countWithin(equalTo(number)), 0);
  }

  /** Slots and values within the bounds, in order; a slot comes with each of its values. */
  inOrder(bounds: Bounds, descending: boolean, visit: (slot: number, value: number) => unknown): void {
    if (descending) this.pairs.forEachDown(bounds, visit);
    else this.pairs.forEachWithin(bounds, visit);
  }

  /** The value a slot is ordered by: its least, or going down its greatest. Null: it has none. */
  orderValue(slot: number, descending: boolean): number | null {
    const first = this.first[slot];
    if (first === undefined || Number.isNaN(first)) return null;
    const all = [first, ...(this.more.get(slot) ?? [])];
    return descending ? Math.max(...all) : Math.min(...all);
  }

  private numberOf(value: unknown): number | null {
    if (this.type === 'datetime') return typeof value === 'string' ? parseDatetime(value) : null;
    if (typeof value !== 'number' || (this.type === 'integer' && !Number.isInteger(value))) return null;
    // The two zeros are one number, to filters and here.
    return value === 0 ? 0 : value;
  }

  /** What is outside is looked for where that is less. */
  private within(bounds: Bounds): Bits {
    const count = this.pairs.countWithin(bounds);
    if (this.more.size > 0 || count <= this.pairs.count / 2) return this.filled(bounds);
    const { gt, gte, lt, lte } = bounds;
    const found = this.valued.clone();
    const drop = (slot: number): void => found.remove(slot);
    if (gt !== null) this.pairs.forEachWithin({ ...unbounded, lte: gt }, drop);
    if (gte !== null) this.pairs.forEachWithin({ ...unbounded, lt: gte }, drop);
    if (lt !== null) this.pairs.forEachWithin({ ...unbounded, gte: lt }, drop);
    if (lte !== null) this.pairs.forEachWithin({ ...unbounded, gt: lte }, drop);
    return found;
  }

  private filled(bounds: Bounds): Bits {
    const found = new Bits(this.first.length);
    this.pairs.forEachWithin(bounds, (slot) => found.add(slot));
    return found;
  }

  private ofNumbers(values: readonly Scalar[]): Between {
    const found = new Bits();
    for (const value of values) {
      const number = this.numberOf(value);
      if (number !== null) this.pairs.forEachWithin(equalTo(number), (slot) => found.add(slot));
    }
    const isOwn = values.every((value) => typeof value === 'number');
    return isOwn ? this.presence.withLeft(found) : this.presence.withOthers(found);
  }

  /** Two texts may be one time, so that only payloads tell which it is. */
  private maybe(values: readonly Scalar[]): Between {
    return { lower: new Bits(), upper: this.ofNumbers(values).upper };
  }

  /** Slots with a value that is none of these. */
  private outside(values: readonly Scalar[]): Bits {
    const found = this.valued.clone();
    const hidden = new Set(values);
    for (const value of values) {
      const number = this.numberOf(value);
      if (number === null) continue;
      this.pairs.forEachWithin(equalTo(number), (slot) => {
        if (this.valuesOf(slot).every((one) => hidden.has(one))) found.remove(slot);
      });
    }
    return found;
  }

  private valuesOf(slot: number): readonly number[] {
    return [this.first[slot] as number, ...(this.more.get(slot) ?? [])];
  }

  private remember(slot: number, numbers: readonly number[]): void {
    if (slot >= this.first.length) {
      const grown = new Float64Array(Math.ceil((slot + 1) * 1.5)).fill(Number.NaN);
      grown.set(this.first);
      this.first = grown;
    }
    this.first[slot] = numbers[0] as number;
    this.valued.add(slot);
    if (numbers.length > 1) this.more.set(slot, numbers.slice(1));
  }

  private forget(slot: number): void {
    const first = this.first[slot];
    if (first === undefined || Number.isNaN(first)) return;
    for (const number of this.valuesOf(slot)) this.pairs.remove(number, slot);
    this.first[slot] = Number.NaN;
    this.valued.remove(slot);
    this.more.delete(slot);
  }
}

const isFraction = (value: unknown): boolean => typeof value === 'number' && !Number.isInteger(value);
