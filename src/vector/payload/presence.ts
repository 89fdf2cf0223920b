import { Bits } from './bits';
import type { Between, KeyTest } from './field-index';

/** What every payload index knows of a slot beside the values it keeps. */
export class Presence {
  /** Slots with a value that is not null. */
  private readonly present = new Bits();
  private readonly nulls = new Bits();
  /** Slots with a value, not null, that the index does not keep. */
  private readonly others = new Bits();
  /** Those of them where it passes tests for which the index is there: a text too long, a number that is not whole, one too many. */
  private readonly left = new Bits();

  get bytes(): number {
    return this.present.bytes + this.nulls.bytes + this.others.bytes + this.left.bytes;
  }

  /** `kept`: how many of the values the index keeps. `hasLeft`: whether one is among the rest that it should. */
  set(slot: number, values: readonly unknown[], kept: number, hasLeft: boolean): void {
    const nulls = values.reduce((sum: number, value) => sum + Number(value === null), 0);
    mark(this.present, slot, values.length > nulls);
    mark(this.nulls, slot, nulls > 0);
    mark(this.others, slot, values.length > nulls + kept || hasLeft);
    mark(this.left, slot, hasLeft);
  }

  remove(slot: number): void {
    for (const set of [this.present, this.nulls, this.others, this.left]) set.remove(slot);
  }

  /** Of tests that look at no value; null: it is another one. */
  between(test: KeyTest, all: Bits): Between | null {
    if (test.kind === 'isEmpty') return exactly(all.clone().andNot(this.present));
    if (test.kind === 'isNull') return exactly(this.nulls.clone());
    return null;
  }

  /** For slots that pass by what the index keeps, if values of another type cannot pass. */
  withLeft(passing: Bits): Between {
    return between(passing, this.left);
  }

  /** For slots that pass by what the index keeps, if values of any type may pass. */
  withOthers(passing: Bits): Between {
    return between(passing, this.others);
  }
}

const between = (passing: Bits, perhaps: Bits): Between =>
  perhaps.isEmpty() ? exactly(passing) : { lower: passing, upper: passing.clone().or(perhaps) };

/** One set for both: whoever changes what it is given makes a copy of its own. */
export const exactly = (bits: Bits): Between => ({ lower: bits, upper: bits });

function mark(set: Bits, slot: number, isIn: boolean): void {
  if (isIn) set.add(slot);
  else set.remove(slot);
}
