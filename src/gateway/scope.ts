import { assert } from '../base/assert';
import type { Prng } from '../base/prng';
import { type MonotonicMs, monotonicMs, type WallMs } from '../base/time';
import type { Address } from '../protocol/envelope';
import { lanes } from '../protocol/envelope';
import type { Message } from '../protocol/messages';
import type { ActorContext } from '../runtime/actor';
import { type Deadline, DeadlineHeap } from '../runtime/deadline-heap';

export type Timer = Deadline<() => void>;

/**
 * What the parts of one actor reach through it while one of its handlers runs: time, randomness, sending, and any number
 * of timers on the host's one. The actor wraps every handler in run().
 */
export class Scope {
  private readonly timers = new DeadlineHeap<() => void>();
  private context: ActorContext | null = null;
  private armed: MonotonicMs | null = null;

  run(context: ActorContext, handler: () => void): void {
    this.context = context;
    handler();
    this.arm(context);
    this.context = null;
  }

  /** To be run when the host's timer fires. Timers set meanwhile wait for the next turn. */
  fireDue(): void {
    this.armed = null;
    const before = this.timers.sequence;
    for (let due = this.timers.takeDue(this.now, before); due !== null; due = this.timers.takeDue(this.now, before)) {
      due();
    }
  }

  get now(): MonotonicMs {
    return this.here.now;
  }

  get wall(): WallMs {
    return this.here.wall;
  }

  get random(): Prng {
    return this.here.random;
  }

  send(to: Address, message: Message): void {
    this.here.send(to, message, lanes.data);
  }

  after(delayMs: number, run: () => void): Timer {
    return this.timers.add(monotonicMs(this.now + Math.max(0, delayMs)), run);
  }

  cancel(timer: Timer): void {
    this.timers.cancel(timer);
  }

  private get here(): ActorContext {
    assert(this.context !== null, 'scope used outside of a handler');
    return this.context;
  }

  private arm(context: ActorContext): void {
    const due = this.timers.nextDue();
    if (due === this.armed) return;
    this.armed = due;
    if (due === null) context.cancelTimer('due');
    else context.setTimer('due', Math.max(0, due - context.now), { signal: 'timer', key: 'due' });
  }
}
