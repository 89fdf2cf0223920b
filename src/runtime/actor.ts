import type { Prng } from '../base/prng';
import type { MonotonicMs, WallMs } from '../base/time';
import type { Address, Lane } from '../protocol/envelope';
import type { Message } from '../protocol/messages';

/**
 * What a handler may reach (DESIGN D1). A handler runs to completion and never awaits; time, randomness, disk and
 * network are here, as messages. The host owns every context: system threads in production, virtual time in simulation.
 *
 *  1. `now` and `wall` do not change during one call of receive.
 *  2. send() never blocks and never fails: a message may be lost, and between two actors is never reordered unless the
 *     link that carries it is faulty. Messages sent during a handler leave when it returns.
 *  3. A handler that throws ends its actor; its supervisor decides what follows.
 */
export interface ActorContext {
  readonly self: Address;
  readonly now: MonotonicMs;
  readonly wall: WallMs;
  readonly random: Prng;
  send(to: Address, message: Message, lane: Lane): void;
  /** Delivers `signal` to this actor after `delayMs`; setting a key again replaces its timer. */
  setTimer(key: string, delayMs: number, signal: Signal): void;
  cancelTimer(key: string): void;
  /** Runs `signal` in the data lane as soon as other work allows: for long work in slices. */
  later(signal: Signal): void;
  /** Ends this actor after the handler returns. Watchers hear of it. */
  stop(): void;
  /** This actor hears a `down` signal when the other ends, or at once if it does not exist. Same node only. */
  watch(target: Address): void;
}

/** What an actor tells itself, or hears from its host. Never crosses a thread. */
export type Signal =
  | { readonly signal: 'timer'; readonly key: string }
  | { readonly signal: 'work'; readonly key: string }
  | { readonly signal: 'down'; readonly target: Address; readonly reason: string };

/** Behaviour without threads. The host calls one method at a time. */
export interface Actor {
  /** Once, before anything else. */
  started(context: ActorContext): void;
  receive(message: Message, from: Address, context: ActorContext): void;
  signalled(signal: Signal, context: ActorContext): void;
  /** Once, at the end; the context can no longer send. For giving native memory back. */
  stopped(): void;
}
