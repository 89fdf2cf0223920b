import { filterTextBytesMax } from '../../base/limits';
import type { Filter } from '../../protocol/filters';
import type { PayloadIndex } from '../../protocol/schemas';
import { parsedPayload, valuesAt } from '../filter-match';
import { Bits } from './bits';
import { CodedIndex } from './coded-index';
import type { Between, FieldIndex } from './field-index';
import { estimateShare, filterBetween, type Indexed } from './filter-bounds';
import { NumberIndex } from './number-index';

/**
 * The payload indexes of one replica, by slot: a slot is the label that the vector index gives a live point
 * (src/vector/ports.ts). Derived state, owned by the shard machine; everything here could be thrown away at any time.
 *
 *  1. Once every live point was put, and with every later change put or removed, a filter lies between() what it says.
 *  2. A slot that was freed is removed before it is put for another point.
 *  3. Indexes whose memory is beyond `bytesMax` are dropped, the largest first, and are as if they had never been asked for.
 */
export class PayloadIndexes {
  private readonly fields = new Map<string, FieldIndex>();
  private readonly gaveUp = new Set<string>();
  private readonly all = new Bits();
  private size = 0;
  private untilLook = lookEvery;

  constructor(
    readonly wanted: readonly PayloadIndex[],
    private readonly bytesMax: number,
  ) {
    for (const { key, type } of wanted) this.fields.set(key, newField(type));
  }

  /** Points that were put. */
  get count(): number {
    return this.size;
  }

  get bytes(): number {
    let sum = this.all.bytes;
    for (const field of this.fields.values()) sum += field.bytes;
    return sum;
  }

  /** Keys whose index took too much. */
  get dropped(): readonly string[] {
    return [...this.gaveUp];
  }

  put(slot: number, payload: Uint8Array): void {
    if (!this.all.has(slot)) this.size++;
    this.all.add(slot);
    const parsed = payloadOf(payload);
    for (const [key, field] of this.fields) field.set(slot, valuesAt(parsed, key));
    if (--this.untilLook === 0) this.look();
  }

  remove(slot: number): void {
    if (!this.all.has(slot)) return;
    this.size--;
    this.all.remove(slot);
    for (const field of this.fields.values()) field.remove(slot);
  }

  /** `slotOf`: -1 for a point that does not exist. What it gives must not be changed. */
  between(filter: Filter, slotOf: (id: string) => number): Between {
    return filterBetween(this.indexed(slotOf), filter);
  }

  /** The share of the points that is likely to pass. */
  estimate(filter: Filter): number {
    return estimateShare(
      this.indexed(() => -1),
      filter,
      this.size,
    );
  }

  /** The index to order by; null: there is none for this key, or not of numbers or times. */
  order(key: string): NumberIndex | null {
    const field = this.fields.get(key);
    return field instanceof NumberIndex ? field : null;
  }

  private indexed(slotOf: (id: string) => number): Indexed {
    return { all: this.all, field: (key) => this.fields.get(key), slotOf };
  }

  private look(): void {
    this.untilLook = lookEvery;
    while (this.bytes > this.bytesMax && this.fields.size > 0) {
      const [largest] = [...this.fields].sort(([, a], [, b]) => b.bytes - a.bytes);
      if (largest === undefined) return;
      this.fields.delete(largest[0]);
      this.gaveUp.add(largest[0]);
    }
  }
}

const lookEvery = 1_024;

const newField = (type: PayloadIndex['type']): FieldIndex =>
  type === 'keyword' || type === 'bool' ? new CodedIndex(type, filterTextBytesMax) : new NumberIndex(type);

/** What is no JSON has no values; filters that read it say so (it cannot come in through a gateway). */
function payloadOf(bytes: Uint8Array): unknown {
  try {
    return parsedPayload(bytes);
  } catch (thrown) {
    // By name: the decoder may be of another realm than this code, as under jest.
    const { name } = thrown as Error;
    if (name === 'SyntaxError' || name === 'TypeError') return {};
    throw thrown;
  }
}
