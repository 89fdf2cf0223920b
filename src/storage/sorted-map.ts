import { compareBytes } from '../base/bytes';

interface Block {
  readonly keys: Uint8Array[];
  readonly values: Uint8Array[];
}

const blockCountMax = 256;

/**
 * Byte strings in order, in blocks of at most 256 keys: a binary search over the blocks and one inside. A point
 * operation moves at most one block's worth of references; a scan walks arrays.
 */
export class SortedMap {
  private readonly blocks: Block[] = [];
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** Takes all entries of the other, which shares no array with it afterwards. For an empty map. */
  fill(other: SortedMap): void {
    for (const { keys, values } of other.blocks) this.blocks.push({ keys: [...keys], values: [...values] });
    this.count = other.count;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const block = this.blocks[this.blockOf(key)];
    if (block === undefined) return undefined;
    const at = lowerBound(block.keys, key);
    return matches(block, at, key) ? block.values[at] : undefined;
  }

  /** Puts the value and returns the one it replaced. Keeps both arrays as they are: they must not change any more. */
  set(key: Uint8Array, value: Uint8Array): Uint8Array | undefined {
    const index = this.blockOf(key);
    const block = this.blocks[index];
    if (block === undefined) {
      this.blocks.push({ keys: [key], values: [value] });
      this.count++;
      return undefined;
    }
    const at = lowerBound(block.keys, key);
    if (matches(block, at, key)) {
      const previous = block.values[at];
      block.values[at] = value;
      return previous;
    }
    block.keys.splice(at, 0, key);
    block.values.splice(at, 0, value);
    this.count++;
    if (block.keys.length > blockCountMax) this.split(index, block);
    return undefined;
  }

  /** Removes the key and returns the value it had. */
  delete(key: Uint8Array): Uint8Array | undefined {
    const index = this.blockOf(key);
    const block = this.blocks[index];
    if (block === undefined) return undefined;
    const at = lowerBound(block.keys, key);
    if (!matches(block, at, key)) return undefined;
    const previous = block.values[at];
    block.keys.splice(at, 1);
    block.values.splice(at, 1);
    this.count--;
    if (block.keys.length === 0) this.blocks.splice(index, 1);
    return previous;
  }

  /** Visits start <= key < end in order until `visit` returns false. The map must not change meanwhile. */
  ascend(start: Uint8Array, end: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    for (let index = this.blockOf(start), first = true; index < this.blocks.length; index++, first = false) {
      const { keys, values } = this.blocks[index] as Block;
      for (let at = first ? lowerBound(keys, start) : 0; at < keys.length; at++) {
        const key = keys[at] as Uint8Array;
        if (compareBytes(key, end) >= 0 || !visit(key, values[at] as Uint8Array)) return;
      }
    }
  }

  /** The same from the end backwards. */
  descend(start: Uint8Array, end: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    for (let index = this.blockOf(end), first = true; index >= 0; index--, first = false) {
      const block = this.blocks[index];
      if (block === undefined) return;
      const { keys, values } = block;
      for (let at = (first ? lowerBound(keys, end) : keys.length) - 1; at >= 0; at--) {
        const key = keys[at] as Uint8Array;
        if (compareBytes(key, start) < 0 || !visit(key, values[at] as Uint8Array)) return;
      }
    }
  }

  /** The block that holds the key if any does: the last that begins at or before it, or the first. */
  private blockOf(key: Uint8Array): number {
    let low = 0;
    let high = this.blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const { keys } = this.blocks[middle] as Block;
      if (compareBytes(keys[0] as Uint8Array, key) <= 0) low = middle;
      else high = middle;
    }
    return low;
  }

  private split(index: number, block: Block): void {
    const half = block.keys.length >>> 1;
    this.blocks.splice(index + 1, 0, { keys: block.keys.splice(half), values: block.values.splice(half) });
  }
}

function matches(block: Block, at: number, key: Uint8Array): boolean {
  const found = block.keys[at];
  return found !== undefined && compareBytes(found, key) === 0;
}

/** The first position whose key is not before `key`. */
function lowerBound(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(keys[middle] as Uint8Array, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
