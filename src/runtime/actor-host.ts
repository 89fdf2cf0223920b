import { EventEmitter } from 'eventemitter3';
import { assert } from '../base/assert';
import { BoundedQueue } from '../base/bounded-queue';
import { asVectronError } from '../base/errors';
import type { NodeName } from '../base/ids';
import type { Prng } from '../base/prng';
import { type MonotonicMs, monotonicMs, type WallMs } from '../base/time';
import { decode } from '../protocol/codec';
import type { Failure } from '../protocol/data-messages';
import { type Address, addressText, at, type Lane, lanes } from '../protocol/envelope';
import { type Message, messageCodec } from '../protocol/messages';
import type { Actor, Signal } from './actor';
import { Cell, type CellHost, type Item, type Task, type TimerEntry } from './cell';
import { type Deadline, DeadlineHeap } from './deadline-heap';
import { failure, refusalOf } from './refusal';

export interface Clock {
  now(): MonotonicMs;
  wall(): WallMs;
}

export interface ActorHostOptions {
  readonly node: NodeName;
  readonly clock: Clock;
  readonly random: Prng;
  /** Carries a message for an actor that is not hosted here. Must not throw; may lose the message. */
  readonly outbound: (to: Address, from: Address, message: Message, lane: Lane) => void;
  /** Every end of an actor, planned or not; `error` is null unless a handler threw it. */
  readonly onEnded: (address: Address, reason: string, error: unknown) => void;
  /** Whether another thread of this node hosts the actor, so that it can be watched. Default: none does. */
  readonly elsewhere?: (name: string) => boolean;
  /** Called when something was queued outside of run(), so that a sleeping thread loop wakes up. */
  readonly onWork?: () => void;
}

/** `started`: the actor takes messages from now on. `ended`: it does not any more. */
interface LifecycleEvents {
  started: (address: Address) => void;
  ended: (address: Address, reason: string, error: unknown) => void;
}

type OpenItem = Extract<Item, { readonly item: 'message' }>;
type EncodedItem = Extract<Item, { readonly item: 'encoded' }>;

const retryAfterMs = 50;

/**
 * All actors of one thread: mailboxes, timers, death watch and the run loop's single turn (DESIGN D1). It owns no thread
 * and no clock; the thread loop drives it in production, the event queue in simulation. Called from one thread only.
 *
 *  1. One handler runs at a time, to completion. What it sent leaves when it returns; if it throws nothing leaves and
 *     the actor ends.
 *  2. Between two actors messages of one lane keep their order.
 *  3. Lanes are served in their order; within a lane actors take turns, one item each.
 *  4. Consensus and data mailboxes are bounded. A data request that is refused is answered RESOURCE_EXHAUSTED, a dropped
 *     consensus message is counted. Completions, signals and tasks are never refused.
 *  5. A turn handles at most what was queued or due when its lane was reached, so every turn ends.
 *  6. Equal inputs give equal runs: nothing here depends on time, object identity or hash order.
 */
export class ActorHost {
  readonly events = new EventEmitter<LifecycleEvents>();
  refusedDataCount = 0;
  droppedConsensusCount = 0;
  malformedCount = 0;
  /** Handlers run so far: a measure of load, and in shared memory a sign of life. */
  handledCount = 0;
  private readonly cells = new Map<string, Cell>();
  private readonly deaths = new EventEmitter<Record<string, (target: Address, reason: string) => void>>();
  private readonly timers = new DeadlineHeap<TimerEntry>();
  private readonly starting: Cell[] = [];
  private readonly lines = [newLine(), newLine(), newLine()] as const;
  private readonly queued: [number, number, number] = [0, 0, 0];
  private readonly cellHost: CellHost;
  private running: Cell | null = null;
  private inTurn = false;

  constructor(private readonly options: ActorHostOptions) {
    this.cellHost = {
      addTimer: (entry, delayMs) => this.timers.add(monotonicMs(entry.cell.context.now + delayMs), entry),
      cancelTimer: (entry: Deadline<TimerEntry>) => this.timers.cancel(entry),
      enqueueWork: (cell, signal) => this.enqueue(cell, lanes.data, { item: 'signal', signal }),
      watch: (cell, target) => this.watch(cell, target),
    };
  }

  get node(): NodeName {
    return this.options.node;
  }

  /** Hosts the actor from now on; its started() runs in the next turn, before anything else of it. */
  spawn(name: string, actor: Actor): Address {
    assert(!this.cells.has(name), () => `actor ${name} exists already`);
    const cell = new Cell(at(this.options.node, name), actor, this.options.random.fork(), this.cellHost);
    cell.onDown = (target, reason) => {
      cell.watched.delete(target.actor);
      this.enqueue(cell, lanes.completion, { item: 'signal', signal: { signal: 'down', target, reason } });
    };
    this.cells.set(name, cell);
    this.starting.push(cell);
    this.events.emit('started', cell.address);
    this.wake();
    return cell.address;
  }

  /** Ends the actor at once, or after its handler if that is running. False: there is none. */
  stop(name: string, reason: string): boolean {
    const cell = this.cells.get(name);
    if (cell === undefined) return false;
    if (cell === this.running) cell.stopReason ??= reason;
    else this.end(cell, reason, null);
    return true;
  }

  has(name: string): boolean {
    return this.cells.has(name);
  }

  /** In the order they were spawned. */
  names(): readonly string[] {
    return [...this.cells.keys()];
  }

  /** Messages and signals that wait, by lane. */
  queuedCounts(): readonly [number, number, number] {
    return [...this.queued];
  }

  /**
   * Puts a message into a local mailbox. False: it was not taken, because the mailbox is full or there is no such actor;
   * if somebody waits for an answer, a refusal was sent.
   */
  deliver(to: Address, from: Address, message: Message, lane: Lane): boolean {
    return this.accept(to, lane, { item: 'message', message, from });
  }

  /** The same for an encoded message, which is decoded in its turn. Malformed ones are dropped and counted. */
  deliverEncoded(to: Address, from: Address, payload: Uint8Array, lane: Lane): boolean {
    return this.accept(to, lane, { item: 'encoded', payload, from });
  }

  /** Never refused; false: there is no such actor. */
  signal(name: string, signal: Signal): boolean {
    return this.complete(name, { item: 'signal', signal });
  }

  /** Runs `task` as a handler of the actor, in the completion lane. Never refused; false: there is no such actor. */
  perform(name: string, task: Task): boolean {
    return this.complete(name, { item: 'task', task });
  }

  /** Tells watchers here that an actor of another thread of this node has ended. */
  endedElsewhere(name: string, reason: string): void {
    if (!this.cells.has(name)) this.deaths.emit(name, at(this.options.node, name), reason);
  }

  /**
   * One turn: new actors start, all due timers, consensus, completions, then data work until `budgetMs` of clock time
   * are used up (at least one item). Returns whether work is left.
   */
  run(budgetMs: number): boolean {
    assert(!this.inTurn, 'run() is not reentrant');
    this.inTurn = true;
    try {
      this.startNew();
      this.fireTimers();
      this.serve(lanes.consensus);
      this.serve(lanes.completion);
      this.serve(lanes.data, budgetMs);
    } finally {
      this.inTurn = false;
    }
    return this.starting.length + this.queued[0] + this.queued[1] + this.queued[2] > 0;
  }

  /** When the next timer is due; null: none is set. */
  nextDue(): MonotonicMs | null {
    return this.timers.nextDue();
  }

  private startNew(): void {
    if (this.starting.length === 0) return;
    for (const cell of this.starting.splice(0)) {
      if (!cell.ended) this.invoke(cell, () => cell.actor.started(cell.context));
    }
  }

  private fireTimers(): void {
    const now = this.options.clock.now();
    const before = this.timers.sequence;
    for (let due = this.timers.takeDue(now, before); due !== null; due = this.timers.takeDue(now, before)) {
      const { cell, key, signal } = due;
      cell.timers.delete(key);
      this.invoke(cell, () => cell.actor.signalled(signal, cell.context));
    }
  }

  private serve(lane: Lane, budgetMs = Number.POSITIVE_INFINITY): void {
    const until = this.options.clock.now() + budgetMs;
    const line = this.lines[lane];
    for (let left = this.queued[lane]; left > 0; left--) {
      let cell = line.shift();
      while (cell?.ended === true) cell = line.shift();
      if (cell === undefined) return;
      this.serveOne(cell, lane);
      if (lane === lanes.data && this.options.clock.now() >= until) return;
    }
  }

  private serveOne(cell: Cell, lane: Lane): void {
    cell.lined[lane] = false;
    const item = cell.queues[lane].shift();
    if (item === undefined) return;
    this.queued[lane]--;
    if (cell.queues[lane].length > 0) this.line(cell, lane);
    const opened = this.opened(item);
    if (opened !== null) this.invoke(cell, () => handle(cell, opened));
  }

  /** Runs one handler; whatever it throws ends its actor and nothing else. */
  private invoke(cell: Cell, handler: () => void): void {
    const { context } = cell;
    this.running = cell;
    this.handledCount++;
    context.enter(this.options.clock.now(), this.options.clock.wall());
    let thrown = attempt(handler);
    this.running = null;
    const sent = context.leave(thrown === null);
    // A message that cannot be encoded is its sender's fault.
    if (thrown === null && sent.length > 0) {
      thrown = attempt(() => {
        for (const { to, message, lane } of sent) this.route(to, context.self, message, lane);
      });
    }
    if (thrown !== null) this.end(cell, reasonOf(thrown.error), thrown.error);
    else if (cell.stopReason !== null) this.end(cell, cell.stopReason, null);
  }

  private route(to: Address, from: Address, message: Message, lane: Lane): void {
    if (to.node === this.options.node && (this.cells.has(to.actor) || !this.isElsewhere(to.actor)))
      this.deliver(to, from, message, lane);
    else this.options.outbound(to, from, message, lane);
  }

  private isElsewhere(name: string): boolean {
    return this.options.elsewhere?.(name) === true;
  }

  private end(cell: Cell, reason: string, error: unknown): void {
    if (cell.ended) return;
    cell.ended = true;
    this.cells.delete(cell.address.actor);
    for (const timer of cell.timers.values()) this.timers.cancel(timer);
    for (const name of cell.watched) this.deaths.off(name, cell.onDown);
    const stopError = stopActor(cell.actor);
    this.discardMailbox(cell);
    this.deaths.emit(cell.address.actor, cell.address, reason);
    this.events.emit('ended', cell.address, reason, error ?? stopError);
    this.options.onEnded(cell.address, reason, error ?? stopError);
  }

  private accept(to: Address, lane: Lane, item: OpenItem | EncodedItem): boolean {
    const cell = this.cells.get(to.actor);
    if (cell?.accepts(lane) === true) {
      this.enqueue(cell, lane, item);
      return true;
    }
    if (cell === undefined) this.refuse(to, item, failure('UNAVAILABLE', `no actor ${addressText(to)}`, retryAfterMs));
    else this.overflow(to, item, lane);
    return false;
  }

  /** An item that can be handled; null: malformed. */
  private opened<I extends Item>(item: I): Exclude<I, EncodedItem> | OpenItem | null {
    if (item.item !== 'encoded') return item as Exclude<I, EncodedItem>;
    try {
      return { item: 'message', message: decode(messageCodec, item.payload), from: item.from };
    } catch (error) {
      if (asVectronError(error).code !== 'CORRUPT') throw error;
      this.malformedCount++;
      return null;
    }
  }

  /** Requests that the actor never saw are answered, so that nobody waits for their deadline. */
  private discardMailbox(cell: Cell): void {
    for (const lane of Object.values(lanes)) {
      const queue = cell.queues[lane];
      this.queued[lane] -= queue.length;
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
        if (item.item === 'signal' || item.item === 'task') continue;
        const failed = failure('UNAVAILABLE', `${addressText(cell.address)} has ended`, retryAfterMs);
        this.refuse(cell.address, item, failed);
      }
    }
  }

  private watch(cell: Cell, target: Address): void {
    assert(
      target.node === this.options.node,
      () => `${cell.address.actor} watches ${addressText(target)} of another node`,
    );
    if (cell.watched.has(target.actor)) return;
    if (!this.cells.has(target.actor) && !this.isElsewhere(target.actor)) {
      cell.onDown(target, 'does not exist');
      return;
    }
    cell.watched.add(target.actor);
    this.deaths.once(target.actor, cell.onDown);
  }

  private overflow(to: Address, item: OpenItem | EncodedItem, lane: Lane): void {
    if (lane === lanes.consensus) {
      this.droppedConsensusCount++;
      return;
    }
    this.refusedDataCount++;
    this.refuse(to, item, failure('RESOURCE_EXHAUSTED', `${addressText(to)} is overloaded`, retryAfterMs));
  }

  private refuse(to: Address, item: OpenItem | EncodedItem, failed: Failure): void {
    const opened = this.opened(item);
    const reply = opened === null ? null : refusalOf(opened.message, failed);
    if (reply !== null) this.route(item.from, to, reply, lanes.completion);
  }

  private complete(name: string, item: Item): boolean {
    const cell = this.cells.get(name);
    if (cell === undefined) return false;
    this.enqueue(cell, lanes.completion, item);
    return true;
  }

  private enqueue(cell: Cell, lane: Lane, item: Item): void {
    if (cell.ended) return;
    cell.queues[lane].push(item);
    this.queued[lane]++;
    if (!cell.lined[lane]) this.line(cell, lane);
    this.wake();
  }

  private line(cell: Cell, lane: Lane): void {
    cell.lined[lane] = true;
    this.lines[lane].push(cell);
  }

  private wake(): void {
    if (!this.inTurn) this.options.onWork?.();
  }
}

function newLine(): BoundedQueue<Cell> {
  return new BoundedQueue<Cell>(Number.MAX_SAFE_INTEGER);
}

function attempt(action: () => void): { readonly error: unknown } | null {
  try {
    action();
    return null;
  } catch (error) {
    return { error };
  }
}

function handle(cell: Cell, item: Exclude<Item, EncodedItem>): void {
  if (item.item === 'message') cell.actor.receive(item.message, item.from, cell.context);
  else if (item.item === 'signal') cell.actor.signalled(item.signal, cell.context);
  else item.task(cell.context);
}

function stopActor(actor: Actor): unknown {
  try {
    actor.stopped();
    return null;
  } catch (error) {
    return error;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
