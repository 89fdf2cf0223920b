import { assert } from '../base/assert';
import { BoundedQueue } from '../base/bounded-queue';
import { mailboxConsensusMax, mailboxDataMax } from '../base/limits';
import type { Prng } from '../base/prng';
import { type MonotonicMs, monotonicMs, type WallMs, wallMs } from '../base/time';
import { type Address, type Lane, lanes } from '../protocol/envelope';
import type { Message } from '../protocol/messages';
import type { Actor, ActorContext, Signal } from './actor';
import type { Deadline } from './deadline-heap';

/** Runs as a handler of the actor, with its context: how the edge of a thread (a socket, a store) hands results in. */
export type Task = (context: ActorContext) => void;

export type Item =
  | { readonly item: 'message'; readonly message: Message; readonly from: Address }
  /** Decoded when its turn comes, so that a burst costs the thread no more than its place in the queue. */
  | { readonly item: 'encoded'; readonly payload: Uint8Array; readonly from: Address }
  | { readonly item: 'signal'; readonly signal: Signal }
  | { readonly item: 'task'; readonly task: Task };

export interface Outgoing {
  readonly to: Address;
  readonly message: Message;
  readonly lane: Lane;
}

export interface TimerEntry {
  readonly cell: Cell;
  readonly key: string;
  readonly signal: Signal;
}

/** What a context may do to its host. */
export interface CellHost {
  addTimer(entry: TimerEntry, delayMs: number): Deadline<TimerEntry>;
  cancelTimer(entry: Deadline<TimerEntry>): void;
  enqueueWork(cell: Cell, signal: Signal): void;
  watch(cell: Cell, target: Address): void;
}

const unlimited = Number.MAX_SAFE_INTEGER;

/** One actor with its mailbox, timers and context. A cell is never reused: a restarted actor gets a new one. */
export class Cell {
  readonly context: CellContext;
  readonly timers = new Map<string, Deadline<TimerEntry>>();
  readonly watched = new Set<string>();
  /** By lane. Signals and tasks are never refused, so limits are applied to messages by accepts(). */
  readonly queues: readonly [BoundedQueue<Item>, BoundedQueue<Item>, BoundedQueue<Item>];
  /** By lane: whether the cell stands in the host's line for that lane. */
  readonly lined: [boolean, boolean, boolean] = [false, false, false];
  /** Hears of the end of an actor it watches. */
  onDown: (target: Address, reason: string) => void = () => undefined;
  ended = false;
  stopReason: string | null = null;

  constructor(
    readonly address: Address,
    readonly actor: Actor,
    random: Prng,
    host: CellHost,
  ) {
    this.queues = [new BoundedQueue(unlimited), new BoundedQueue(unlimited), new BoundedQueue(unlimited)];
    this.context = new CellContext(this, random, host);
  }

  /** Whether a message may still enter the lane's queue. */
  accepts(lane: Lane): boolean {
    if (lane === lanes.consensus) return this.queues[lane].length < mailboxConsensusMax;
    return lane === lanes.completion || this.queues[lane].length < mailboxDataMax;
  }
}

/** Usable only while a handler of its actor runs; the host opens and closes it around each call. */
export class CellContext implements ActorContext {
  readonly self: Address;
  now: MonotonicMs = monotonicMs(0);
  wall: WallMs = wallMs(0);
  outbox: Outgoing[] = [];
  private open = false;

  constructor(
    private readonly cell: Cell,
    readonly random: Prng,
    private readonly host: CellHost,
  ) {
    this.self = cell.address;
  }

  enter(now: MonotonicMs, wall: WallMs): void {
    this.now = now;
    this.wall = wall;
    this.open = true;
  }

  /** What the handler sent; nothing of it if it threw. */
  leave(completed: boolean): readonly Outgoing[] {
    this.open = false;
    const sent = this.outbox;
    if (sent.length === 0) return sent;
    this.outbox = [];
    return completed ? sent : [];
  }

  send(to: Address, message: Message, lane: Lane): void {
    this.expectOpen();
    this.outbox.push({ to, message, lane });
  }

  setTimer(key: string, delayMs: number, signal: Signal): void {
    this.expectOpen();
    assert(delayMs >= 0 && Number.isFinite(delayMs), () => `timer ${key}: delay ${delayMs} ms`);
    this.cancelTimer(key);
    this.cell.timers.set(key, this.host.addTimer({ cell: this.cell, key, signal }, delayMs));
  }

  cancelTimer(key: string): void {
    this.expectOpen();
    const pending = this.cell.timers.get(key);
    if (pending === undefined) return;
    this.cell.timers.delete(key);
    this.host.cancelTimer(pending);
  }

  later(signal: Signal): void {
    this.expectOpen();
    this.host.enqueueWork(this.cell, signal);
  }

  stop(): void {
    this.expectOpen();
    this.cell.stopReason ??= 'stopped itself';
  }

  watch(target: Address): void {
    this.expectOpen();
    this.host.watch(this.cell, target);
  }

  private expectOpen(): void {
    assert(this.open, () => `${this.self.actor}: context used outside of a handler`);
  }
}
