import { VectronError } from '../../src/base/errors';
import type { NodeName } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { decode, encode } from '../../src/protocol/codec';
import { type Address, addressText, type Lane } from '../../src/protocol/envelope';
import { type Message, messageCodec } from '../../src/protocol/messages';
import { hashOf } from './consensus-checker';
import { Echoes } from './echoes';
import { EventQueue } from './event-queue';
import { logUniform } from './log-uniform';
import { SimNetwork } from './network';
import type { SimOptions } from './options';
import { SimThread } from './sim-thread';
import { type FaultKind, Tally } from './tally';
import { Violation } from './violation';

/** A clock that stood still during a turn would never use up a turn's budget. */
const clockStepMs = 0.001;
const skewMsMax = 500;
const clockSpread = { exact: 1, normal: 1.1, hostile: 2 } as const;

export interface WorldHooks {
  /** Every message that leaves a node, before its fate is decided. */
  readonly onSent: (to: Address, from: Address, message: Message) => void;
  /** After every event that ran something of the node: a turn of one thread, or, with null, anything else. */
  readonly onEvent: (node: SimNode, thread: SimThread | null) => void;
  /** A handler threw: the hook decides what dies. */
  readonly onThrown: (node: SimNode, thread: SimThread, actor: string, error: unknown) => void;
}

/** Virtual time, the network, and everything that runs on them. One seed decides everything. */
export class SimWorld {
  readonly random: Prng;
  readonly network: SimNetwork;
  /** The faults that were injected. */
  readonly tally = new Tally<FaultKind>();
  readonly nodes = new Map<NodeName, SimNode>();
  private readonly queue = new EventQueue();
  private readonly echoes: Echoes;
  private nowMs = 0;
  eventCount = 0;
  /** Whose thread has its turn; null: nobody's. */
  turning: SimNode | null = null;
  private digest = 0;
  private failure: Error | null = null;

  constructor(
    private readonly options: Pick<SimOptions, 'seed' | 'network' | 'time'>,
    readonly hooks: WorldHooks,
    private readonly trace: ((line: string) => void) | null,
  ) {
    this.random = new Prng(options.seed ^ 0x5eed);
    this.network = new SimNetwork(options.network, this.random.fork(), this.tally);
    this.echoes = new Echoes(options.seed, options.network);
  }

  get now(): number {
    return this.nowMs;
  }

  /** By how much a clock may be too slow: what it takes for a second lasts at most this many. */
  get clockSpread(): number {
    return clockSpread[this.options.time.clocks];
  }

  get turnMs(): number {
    return this.options.time.turnMs;
  }

  /** How fast a node's clock runs. */
  drawClockRate(): number {
    const { clockSpread: spread } = this;
    if (spread === 1) return 1;
    this.tally.add('clockRate');
    return logUniform(this.random, 1 / spread, spread);
  }

  /** A run's fingerprint: equal seeds must give equal ones. Draws once more, so that drifted randomness shows too. */
  traceHash(): string {
    return ((this.digest ^ this.random.uint32()) >>> 0).toString(16).padStart(8, '0');
  }

  /** The run is red: the event that is under way is the last. For whoever may not throw, as it is called by an actor. */
  fail(why: Error): void {
    this.failure ??= why;
  }

  note(line: string): void {
    this.trace?.(`${this.nowMs.toFixed(3).padStart(12)} ${line}`);
  }

  /** Text is made only for a trace that somebody reads. */
  noteMessage({ kind }: Message, from: Address, to: Address, fate = ''): void {
    if (this.trace !== null) this.note(`${fate}${kind} ${addressText(from)} > ${addressText(to)}`);
  }

  /** `node` null: what runs is nobody's, or only hands something over that a later turn will take up. */
  schedule(delayMs: number, label: string, node: SimNode | null, run: () => void): void {
    const { hooks } = this;
    const then =
      node === null
        ? run
        : () => {
            run();
            hooks.onEvent(node, null);
          };
    this.queue.push(this.nowMs + delayMs, label, then);
  }

  /** A thread's next turn, which says itself whether anything ran. */
  scheduleTurn(atMs: number, turn: () => void): void {
    this.queue.push(atMs, 'turn', turn);
  }

  /** Runs events until virtual time reaches `untilMs` or `done` says so; false when time ran out first. */
  runUntil(untilMs: number, done: () => boolean = () => false): boolean {
    for (;;) {
      if (done()) return true;
      const next = this.queue.peekMs();
      if (next === undefined || next > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs);
        return false;
      }
      const event = this.queue.pop();
      if (event === undefined) return false;
      this.nowMs = Math.max(this.nowMs, event.atMs);
      this.eventCount++;
      this.digest = (Math.imul(this.digest, 31) + Math.floor(event.atMs * 1000) + event.label.length) | 0;
      event.run();
      if (this.failure !== null) throw this.failure;
    }
  }

  tickClock(): number {
    this.nowMs += clockStepMs;
    return this.nowMs;
  }

  private arriveCutShort(
    delayMs: number,
    to: Address,
    from: Address,
    message: Message,
    bytes: Uint8Array,
    lane: Lane,
  ): void {
    const start = cutShort(bytes, this.random);
    this.schedule(delayMs, message.kind, null, () => {
      this.noteMessage(message, from, to, 'cut short: ');
      this.nodes.get(to.node)?.arriveEncoded(to, from, start, lane);
    });
  }

  private echo(from: Address, message: Message): void {
    for (const { delayMs, arrive } of this.echoes.provokedBy(from, message, this.nowMs)) {
      this.tally.add('echo');
      this.schedule(delayMs, 'echo', null, arrive);
    }
  }

  /** Between nodes: encoded, so that what arrives shares no memory with what was sent. */
  transmit(to: Address, from: Address, message: Message, lane: Lane): void {
    this.hooks.onSent(to, from, message);
    if (this.network.isLossy) this.echo(from, message);
    const delays = this.network.fate(from.node, to.node, this.nowMs);
    if (delays.length === 0) return this.noteMessage(message, from, to, 'lost ');
    const bytes = encode(messageCodec, message);
    this.digest = (Math.imul(this.digest, 31) + hashOf(bytes.subarray(0, 64))) | 0;
    const target = this.nodes.get(to.node);
    this.echoes.keep(to, message, this.nowMs, () => {
      this.noteMessage(message, from, to, 'again: ');
      this.nodes.get(to.node)?.arrive(to, from, decode(messageCodec, bytes), lane);
    });
    for (const delayMs of delays) {
      if (this.network.truncates()) this.arriveCutShort(delayMs, to, from, message, bytes, lane);
      else {
        this.schedule(delayMs, message.kind, null, () => {
          this.noteMessage(message, from, to);
          target?.arrive(to, from, decode(messageCodec, bytes), lane);
        });
      }
    }
  }
}

/** The text of a message without its end: never one that can be understood. */
function cutShort(bytes: Uint8Array, random: Prng): Uint8Array {
  const start = bytes.subarray(0, random.between(0, bytes.length - 1));
  try {
    decode(messageCodec, start);
  } catch (thrown) {
    if (thrown instanceof VectronError && thrown.code === 'CORRUPT') return start;
    throw thrown;
  }
  throw new Violation(`${start.length} of ${bytes.length} bytes of a message were taken for a whole one`);
}

/** A process or machine: some threads, and a directory that says which of them hosts an actor. */
export class SimNode {
  readonly threads = new Map<string, SimThread>();
  /** Called once, when the log thread is told to remove a log. */
  whenItRemoves: (() => void) | null = null;
  /** Where actors were found last. */
  private readonly homes = new Map<string, SimThread>();
  up = true;
  /** How far its wall clock is off; the same after a restart. */
  skewMs: number;
  /** How fast its monotonic clock runs; the same after a restart. */
  readonly clockRate: number;

  constructor(
    readonly world: SimWorld,
    readonly name: NodeName,
  ) {
    this.skewMs = world.nodes.get(name)?.skewMs ?? world.random.between(-skewMsMax, skewMsMax);
    this.clockRate = world.nodes.get(name)?.clockRate ?? world.drawClockRate();
    world.nodes.set(name, this);
  }

  addThread(name: string, completionDelayMs = 0.02): SimThread {
    const thread = new SimThread(this, name, completionDelayMs);
    this.threads.set(name, thread);
    return thread;
  }

  threadOf(actor: string): SimThread | undefined {
    const known = this.homes.get(actor);
    if (known?.host.has(actor) === true && this.threads.get(known.name) === known) return known;
    for (const thread of this.threads.values()) {
      if (!thread.host.has(actor)) continue;
      this.homes.set(actor, thread);
      return thread;
    }
    return undefined;
  }

  arrive(to: Address, from: Address, message: Message, lane: Lane): void {
    if (!this.up) return;
    const thread = this.threadOf(to.actor);
    if (thread === undefined) return this.world.noteMessage(message, from, to, 'nobody takes ');
    thread.host.deliver(to, from, message, lane);
    thread.wake();
  }

  /** What cannot be decoded is for the host to find out. */
  arriveEncoded(to: Address, from: Address, payload: Uint8Array, lane: Lane): void {
    const thread = this.up ? this.threadOf(to.actor) : undefined;
    thread?.host.deliverEncoded(to, from, payload, lane);
    thread?.wake();
  }

  /** As SIGSTOP and SIGCONT do: no thread runs, messages wait, clocks go on. */
  pauseUntil(atMs: number): void {
    for (const thread of this.threads.values()) thread.stallUntil(atMs);
  }

  /** From one actor of this node: to another thread of it, or out. */
  route(source: SimThread, to: Address, from: Address, message: Message, lane: Lane): void {
    if (source.silenced) return;
    if (to.node !== this.name) return this.world.transmit(to, from, message, lane);
    const target = this.threadOf(to.actor);
    if (target === undefined) return;
    const arrive = (): void => {
      if (!target.alive) return;
      this.world.noteMessage(message, from, to);
      target.host.deliver(to, from, message, lane);
      target.wake();
    };
    if (target.name === 'log') {
      source.wrote();
      if (message.kind === 'log.remove') this.removes();
    }
    if (message.kind === 'log.appended') source.hasSynced();
    this.world.schedule(source.channelDelay(target), message.kind, null, () => {
      if (source.alive || source.afterlifeMs === 0) arrive();
      else this.world.schedule(source.afterlifeMs, message.kind, null, arrive);
    });
  }

  private removes(): void {
    const { whenItRemoves } = this;
    this.whenItRemoves = null;
    if (whenItRemoves !== null) this.world.schedule(0, 'removal fault', this, whenItRemoves);
  }

  /** Nothing of it runs on; its stores are for the caller to crash. */
  kill(): void {
    this.up = false;
    for (const thread of this.threads.values()) thread.alive = false;
    this.threads.clear();
  }
}
