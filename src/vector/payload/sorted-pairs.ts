import { assert } from '../../base/assert';
import type { Bounds } from '../../protocol/filters';

const blockPairs = 512;

interface Block {
  readonly values: Float64Array;
  readonly slots: Uint32Array;
  count: number;
}

const newBlock = (): Block => ({
  values: new Float64Array(blockPairs),
  slots: new Uint32Array(blockPairs),
  count: 0,
});

/** A place between two pairs: `at` may be a block's count, which is before the next block's first. */
interface Place {
  readonly block: number;
  readonly at: number;
}

/**
 * Pairs of a number and a slot in order, by number and then slot: ranges, counts of ranges, and order. Sorted blocks of at
 * most 512 pairs, split in half when full, so that a change moves a few kilobytes at most; 12 bytes a pair and at most
 * twice that.
 */
export class SortedPairs {
  private readonly blocks: Block[] = [];
  private size = 0;

  get count(): number {
    return this.size;
  }
  get bytes(): number {
    return this.blocks.length * blockPairs * 12;
  }

  add(value: number, slot: number): void {
    if (this.blocks.length === 0) this.blocks.push(newBlock());
    let place = this.placeOf(value, slot);
    if ((this.blocks[place.block] as Block).count === blockPairs) {
      this.split(place.block);
      place = this.placeOf(value, slot);
    }
    const block = this.blocks[place.block] as Block;
    block.values.copyWithin(place.at + 1, place.at, block.count);
    block.slots.copyWithin(place.at + 1, place.at, block.count);
    block.values[place.at] = value;
    block.slots[place.at] = slot;
    block.count++;
    this.size++;
  }

  /** The pair must be there. */
  remove(value: number, slot: number): void {
    const { block: number, at } = this.placeOf(value, slot);
    const block = this.blocks[number];
    assert(block !== undefined && block.slots[at] === slot, 'SortedPairs: a pair that is not there');
    block.values.copyWithin(at, at + 1, block.count);
    block.slots.copyWithin(at, at + 1, block.count);
    this.size--;
    if (--block.count === 0) this.blocks.splice(number, 1);
  }

  /** Pairs whose number is within the bounds. */
  countWithin(bounds: Bounds): number {
    const from = this.lowest(bounds);
    const to = this.highest(bounds);
    if (to.block < from.block || (to.block === from.block && to.at <= from.at)) return 0;
    let sum = to.at - from.at;
    for (let i = from.block; i < to.block; i++) sum += (this.blocks[i] as Block).count;
    return sum;
  }

  /** Ascending, as long as `visit` does not say false. */
  forEachWithin(bounds: Bounds, visit: (slot: number, value: number) => unknown): void {
    const to = this.highest(bounds);
    let { block, at } = this.lowest(bounds);
    for (; block <= to.block && block < this.blocks.length; block++, at = 0) {
      const { values, slots, count } = this.blocks[block] as Block;
      const end = block === to.block ? to.at : count;
      for (; at < end; at++) if (visit(slots[at] as number, values[at] as number) === false) return;
    }
  }

  /** As forEachWithin(), from the highest down; slots of equal numbers also downwards. */
  forEachDown(bounds: Bounds, visit: (slot: number, value: number) => unknown): void {
    const from = this.lowest(bounds);
    let { block, at } = this.highest(bounds);
    while (block > from.block || (block === from.block && at > from.at)) {
      if (at === 0) {
        block--;
        at = this.blocks[block]?.count ?? 0;
        continue;
      }
      at--;
      const { values, slots } = this.blocks[block] as Block;
      if (visit(slots[at] as number, values[at] as number) === false) return;
    }
  }

  /** Before the first pair within. */
  private lowest({ gt, gte }: Bounds): Place {
    const above = gt !== null && (gte === null || gt >= gte);
    if (above) return this.placeOf(gt, Number.POSITIVE_INFINITY);
    return this.placeOf(gte ?? Number.NEGATIVE_INFINITY, -1);
  }

  /** After the last pair within. */
  private highest({ lt, lte }: Bounds): Place {
    const below = lt !== null && (lte === null || lt <= lte);
    if (below) return this.placeOf(lt, -1);
    return this.placeOf(lte ?? Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  }

  /** Before the first pair that is not less. */
  private placeOf(value: number, slot: number): Place {
    const block = this.blockOf(value, slot);
    const { values, slots, count } = this.blocks[block] ?? noBlock;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const one = values[middle] as number;
      if (one < value || (one === value && (slots[middle] as number) < slot)) low = middle + 1;
      else high = middle;
    }
    return { block, at: low };
  }

  /** The first whose last pair is not less; the last one if there is none. */
  private blockOf(value: number, slot: number): number {
    let low = 0;
    let high = Math.max(0, this.blocks.length - 1);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { values, slots, count } = this.blocks[middle] as Block;
      const last = values[count - 1] as number;
      if (last < value || (last === value && (slots[count - 1] as number) < slot)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private split(number: number): void {
    const block = this.blocks[number] as Block;
    const upper = newBlock();
    const half = block.count >> 1;
    upper.values.set(block.values.subarray(half, block.count));
    upper.slots.set(block.slots.subarray(half, block.count));
    upper.count = block.count - half;
    block.count = half;
    this.blocks.splice(number + 1, 0, upper);
  }
}

const noBlock: Block = { values: new Float64Array(0), slots: new Uint32Array(0), count: 0 };
