/**
 * The simulator's future: events by virtual time, ties by the order in which they were scheduled. A binary heap, so that
 * a run's cost grows with the number of events alone.
 */
export interface SimEvent {
  readonly atMs: number;
  readonly sequence: number;
  readonly label: string;
  readonly run: () => void;
}

export class EventQueue {
  private readonly heap: SimEvent[] = [];
  private nextSequence = 0;

  get length(): number {
    return this.heap.length;
  }

  push(atMs: number, label: string, run: () => void): void {
    this.heap.push({ atMs, sequence: this.nextSequence++, label, run });
    this.siftUp(this.heap.length - 1);
  }

  peekMs(): number | undefined {
    return this.heap[0]?.atMs;
  }

  pop(): SimEvent | undefined {
    const first = this.heap[0];
    const last = this.heap.pop();
    if (first === undefined || last === undefined) return undefined;
    if (this.heap.length > 0) {
      this.heap[0] = last;
      this.siftDown(0);
    }
    return first;
  }

  private siftUp(start: number): void {
    let child = start;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.swapIfEarlier(child, parent)) return;
      child = parent;
    }
  }

  private siftDown(start: number): void {
    let parent = start;
    for (;;) {
      const left = parent * 2 + 1;
      const right = left + 1;
      let earliest = parent;
      if (left < this.heap.length && this.earlier(left, earliest)) earliest = left;
      if (right < this.heap.length && this.earlier(right, earliest)) earliest = right;
      if (earliest === parent) return;
      this.swapIfEarlier(earliest, parent);
      parent = earliest;
    }
  }

  private earlier(a: number, b: number): boolean {
    const first = this.heap[a] as SimEvent;
    const second = this.heap[b] as SimEvent;
    return first.atMs < second.atMs || (first.atMs === second.atMs && first.sequence < second.sequence);
  }

  private swapIfEarlier(child: number, parent: number): boolean {
    if (!this.earlier(child, parent)) return false;
    const held = this.heap[child] as SimEvent;
    this.heap[child] = this.heap[parent] as SimEvent;
    this.heap[parent] = held;
    return true;
  }
}
