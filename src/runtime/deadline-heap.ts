import type { MonotonicMs } from '../base/time';

/** One pending deadline. Opaque to all but its heap. */
export interface Deadline<T> {
  readonly due: MonotonicMs;
  readonly sequence: number;
  readonly item: T;
  cancelled: boolean;
}

/**
 * Pending deadlines in the order (due, insertion): equal times keep the order in which they were set, so that a run is
 * reproducible. Cancelling is O(1); cancelled entries are swept out once they are the majority.
 */
export class DeadlineHeap<T> {
  private heap: Deadline<T>[] = [];
  private cancelledCount = 0;
  private nextSequence = 0;

  /** The sequence the next insertion will get: what is below it exists already. */
  get sequence(): number {
    return this.nextSequence;
  }

  get size(): number {
    return this.heap.length - this.cancelledCount;
  }

  add(due: MonotonicMs, item: T): Deadline<T> {
    const entry: Deadline<T> = { due, sequence: this.nextSequence++, item, cancelled: false };
    this.heap.push(entry);
    this.siftUp(this.heap.length - 1);
    return entry;
  }

  cancel(entry: Deadline<T>): void {
    if (entry.cancelled) return;
    entry.cancelled = true;
    this.cancelledCount++;
    if (this.cancelledCount > 64 && this.cancelledCount * 2 > this.heap.length) this.sweep();
  }

  /** The earliest time at which something is due; null when nothing is pending. */
  nextDue(): MonotonicMs | null {
    this.dropCancelledTop();
    return this.heap[0]?.due ?? null;
  }

  /** Removes and returns the first entry due at `now` and inserted before `beforeSequence`, or null. */
  takeDue(now: MonotonicMs, beforeSequence = Number.POSITIVE_INFINITY): T | null {
    this.dropCancelledTop();
    const top = this.heap[0];
    if (top === undefined || top.due > now || top.sequence >= beforeSequence) return null;
    this.removeTop();
    top.cancelled = true;
    return top.item;
  }

  private dropCancelledTop(): void {
    while (this.heap[0]?.cancelled === true) {
      this.removeTop();
      this.cancelledCount--;
    }
  }

  private sweep(): void {
    // A sorted array is a heap.
    this.heap = this.heap.filter((entry) => !entry.cancelled).sort((a, b) => (before(a, b) ? -1 : 1));
    this.cancelledCount = 0;
  }

  private removeTop(): void {
    const last = this.heap.pop();
    if (last === undefined || this.heap.length === 0) return;
    this.heap[0] = last;
    this.siftDown();
  }

  private siftUp(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  private siftDown(): void {
    for (let at = 0; ; ) {
      const child = this.firstChild(at);
      if (child === null || !this.swapIfBefore(child, at)) return;
      at = child;
    }
  }

  /** The child of `at` that comes first. */
  private firstChild(at: number): number | null {
    const left = this.heap[2 * at + 1];
    const right = this.heap[2 * at + 2];
    if (left === undefined) return null;
    return right !== undefined && before(right, left) ? 2 * at + 2 : 2 * at + 1;
  }

  private swapIfBefore(low: number, high: number): boolean {
    const a = this.heap[low] as Deadline<T>;
    const b = this.heap[high] as Deadline<T>;
    if (!before(a, b)) return false;
    this.heap[low] = b;
    this.heap[high] = a;
    return true;
  }
}

const before = <T>(a: Deadline<T>, b: Deadline<T>): boolean =>
  a.due < b.due || (a.due === b.due && a.sequence < b.sequence);
