import { assert } from './assert';

/** First in, first out, with a limit; a refused item is counted and left to the caller. O(1) amortised. */
export class BoundedQueue<T> {
  private items: (T | undefined)[] = [];
  private head = 0;
  refusedCount = 0;

  constructor(readonly countMax: number) {
    assert(countMax > 0, 'BoundedQueue: countMax must be positive');
  }

  get length(): number {
    return this.items.length - this.head;
  }

  /** False when full: the item was not taken. */
  push(item: T): boolean {
    if (this.length >= this.countMax) {
      this.refusedCount++;
      return false;
    }
    this.items.push(item);
    return true;
  }

  shift(): T | undefined {
    if (this.head === this.items.length) return undefined;
    const item = this.items[this.head];
    this.items[this.head++] = undefined;
    if (this.head > 1024 && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}
