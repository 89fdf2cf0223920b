import { assert } from '../base/assert';
import { VectronError } from '../base/errors';
import type { MonotonicMs } from '../base/time';
import { type Deadline, DeadlineHeap } from './deadline-heap';

export type AskOutcome<Reply> =
  | { readonly ok: true; readonly reply: Reply }
  | { readonly ok: false; readonly error: VectronError };
type OnOutcome<Reply> = (outcome: AskOutcome<Reply>) => void;

interface Ask<Reply> {
  readonly request: number;
  readonly onOutcome: OnOutcome<Reply>;
}

/**
 * Requests that wait for their replies. Owned by one actor; time is passed in.
 *
 *  1. Every ask that was opened gets exactly one outcome: its reply, DEADLINE_EXCEEDED, or what failAll() was given.
 *  2. A reply that comes late, twice or for a number never opened is ignored.
 *  3. At most `countMax` asks wait at a time.
 */
export class Asks<Reply> {
  private readonly waiting = new Map<number, Deadline<Ask<Reply>>>();
  private readonly deadlines = new DeadlineHeap<Ask<Reply>>();
  private lastRequest = 0;

  constructor(readonly countMax = 65_536) {}

  get size(): number {
    return this.waiting.size;
  }

  /** A number never given before by this table. */
  nextRequest(): number {
    return ++this.lastRequest;
  }

  /** Throws RESOURCE_EXHAUSTED when too many wait already. */
  open(request: number, deadline: MonotonicMs, onOutcome: OnOutcome<Reply>): void {
    assert(!this.waiting.has(request), () => `ask ${request} is open already`);
    if (this.waiting.size >= this.countMax) {
      throw new VectronError('RESOURCE_EXHAUSTED', `${this.countMax} requests wait for a reply already`);
    }
    this.waiting.set(request, this.deadlines.add(deadline, { request, onOutcome }));
  }

  /** Hands the reply to whoever waits for it. False: nobody does. */
  settle(request: number, reply: Reply): boolean {
    const entry = this.waiting.get(request);
    if (entry === undefined) return false;
    this.waiting.delete(request);
    this.deadlines.cancel(entry);
    entry.item.onOutcome({ ok: true, reply });
    return true;
  }

  /** The caller does not want the reply any more: no outcome follows. */
  forget(request: number): void {
    const entry = this.waiting.get(request);
    if (entry === undefined) return;
    this.waiting.delete(request);
    this.deadlines.cancel(entry);
  }

  /** Ends every ask whose deadline is not after `now`, in the order of their deadlines. Returns how many. */
  expire(now: MonotonicMs): number {
    const before = this.deadlines.sequence;
    let count = 0;
    for (let ask = this.deadlines.takeDue(now, before); ask !== null; ask = this.deadlines.takeDue(now, before)) {
      this.waiting.delete(ask.request);
      count++;
      ask.onOutcome({ ok: false, error: new VectronError('DEADLINE_EXCEEDED', 'no reply before the deadline') });
    }
    return count;
  }

  /** When expire() next has something to do. */
  nextDeadline(): MonotonicMs | null {
    return this.deadlines.nextDue();
  }

  /** Ends everything that waits with one error, oldest first. */
  failAll(error: VectronError): void {
    const entries = [...this.waiting.values()];
    this.waiting.clear();
    for (const entry of entries) this.deadlines.cancel(entry);
    for (const entry of entries) entry.item.onOutcome({ ok: false, error });
  }
}
