import { type MonotonicMs, monotonicMs } from '../base/time';
import type { ActorContext, Signal } from '../runtime/actor';
import type { VectorIndex } from '../vector/ports';

const timerKey = 'replica.linking';
const pollMs = 20;

interface Waiting<T> {
  readonly item: T;
  readonly until: MonotonicMs;
  /** Rows that must be linked, of so many tombstones as there were then. */
  rows: number;
  tombstones: number;
}

/**
 * What waits until all points that a replica's index holds at a moment are linked into its graph, or its time is up.
 *
 *  1. Points are linked in the order in which they were put: what is put later keeps nobody waiting.
 *  2. A graph that was rebuilt has other rows: then everything that is there by then is waited for.
 */
export class ReplicaLinking<T> {
  private waiting: Waiting<T>[] = [];

  constructor(
    private readonly index: VectorIndex,
    private readonly countMax: number,
    /** `linked`: all of it is. */
    private readonly done: (item: T, linked: boolean, context: ActorContext) => void,
  ) {}

  get count(): number {
    return this.waiting.length;
  }

  /** False when full. The index is not loading. May be done before this returns. */
  add(item: T, waitMs: number, context: ActorContext): boolean {
    const { index } = this;
    if (index.unlinked === 0 || waitMs === 0) {
      this.done(item, index.unlinked === 0, context);
      return true;
    }
    if (this.waiting.length >= this.countMax) return false;
    const until = monotonicMs(context.now + waitMs);
    this.waiting.push({ item, until, rows: rowsOf(index), tombstones: index.tombstones });
    if (this.waiting.length === 1) this.arm(context);
    return true;
  }

  takeAll(): T[] {
    return this.waiting.splice(0).map(({ item }) => item);
  }

  /** True if the signal was its own. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if (signal.signal !== 'timer' || signal.key !== timerKey) return false;
    const all = this.waiting;
    this.waiting = [];
    for (const one of all) {
      if (this.isLinked(one)) this.done(one.item, true, context);
      else if (context.now >= one.until) this.done(one.item, false, context);
      else this.waiting.push(one);
    }
    if (this.waiting.length > 0) this.arm(context);
    return true;
  }

  private isLinked(one: Waiting<T>): boolean {
    const { index } = this;
    const { tombstones, unlinked } = index;
    if (tombstones < one.tombstones) one.rows = rowsOf(index);
    one.tombstones = tombstones;
    return unlinked === 0 || rowsOf(index) - unlinked >= one.rows;
  }

  private arm(context: ActorContext): void {
    context.setTimer(timerKey, pollMs, { signal: 'timer', key: timerKey });
  }
}

const rowsOf = ({ size, tombstones }: VectorIndex): number => size + tombstones;
