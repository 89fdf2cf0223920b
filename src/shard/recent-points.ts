import type { KeyHash64 } from '../base/ids';
import type { EarlierPoint } from './write-part';

/** What is kept of a stored record. */
export interface Earlier extends EarlierPoint {
  readonly touched: number;
  /** Its part of the digest. */
  readonly recordHash: bigint;
}

export interface RecentPoint {
  readonly hash: KeyHash64;
  readonly earlier: Earlier;
}

/** About what one takes, and each write that it remembers. */
const overheadBytes = 384;
const keyBytes = 192;

const weightOf = (id: string, { earlier }: RecentPoint): number =>
  overheadBytes + 2 * id.length + keyBytes * earlier.dedupe.count;

/**
 * What the latest writes left in the store, so that whoever writes the same point again need not read, verify and digest
 * its record. Owned by the shard machine, which alone writes its space; always what the store would answer. No bytes are
 * kept, only numbers: buffers that outlive a few collections are dear.
 *
 * Two generations, each of at most half of `bytesMax`: the older one goes when the younger is full, and what is met in it
 * moves over. That keeps whatever was used lately without an order to maintain.
 */
export class RecentPoints {
  private young = new Map<string, RecentPoint>();
  private old = new Map<string, RecentPoint>();
  private youngBytes = 0;

  constructor(private readonly bytesMax: number) {}

  find(id: string): RecentPoint | undefined {
    const found = this.young.get(id);
    if (found !== undefined) return found;
    const older = this.old.get(id);
    if (older !== undefined) this.keep(id, older);
    return older;
  }

  keep(id: string, point: RecentPoint): void {
    const before = this.young.get(id);
    if (2 * weightOf(id, point) > this.bytesMax) {
      this.young.delete(id);
      this.old.delete(id);
      return;
    }
    this.young.set(id, point);
    this.youngBytes += weightOf(id, point) - (before === undefined ? 0 : weightOf(id, before));
    if (this.youngBytes * 2 <= this.bytesMax) return;
    this.old = this.young;
    this.young = new Map();
    this.youngBytes = 0;
  }

  clear(): void {
    this.young = new Map();
    this.old = new Map();
    this.youngBytes = 0;
  }
}
