import { RaftMember } from '../../src/actors/raft-member';
import { type RaftMemberTuning, raftMemberTuning } from '../../src/actors/raft-member-options';
import type { SnapshotSink, SnapshotSource, StateMachine } from '../../src/actors/state-machine';
import {
  clusterId,
  incarnation,
  type LogIndex,
  logIndex,
  nodeName,
  replicaId,
  shardId,
  type Term,
  term,
} from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { monotonicMs, wallMs } from '../../src/base/time';
import { type Address, at, logActor, replicaActor } from '../../src/protocol/envelope';
import type { Message, MessageKind, MessageOf } from '../../src/protocol/messages';
import type { Entry, RaftMessage, SnapshotMeta } from '../../src/protocol/raft-messages';
import type { ChangeResult, ProposeResult, RaftCore, RaftOptions, Ready, TransferResult } from '../../src/raft/types';
import type { ActorContext, Signal } from '../../src/runtime/actor';

export const self = replicaId(11);
export const peer = replicaId(12);
export const logWriter = at(nodeName('machine-1'), logActor);
export const configuration = { voters: [self, peer, replicaId(13)], votersOutgoing: [], learners: [] };
export const zero = { baseIndex: logIndex(0), baseTerm: term(0) };

/** Collects what a handler does. */
export class TestContext implements ActorContext {
  readonly self = at(nodeName('machine-1'), replicaActor(self));
  now = monotonicMs(0);
  wall = wallMs(0);
  readonly random = new Prng(1);
  sent: { to: Address; message: Message }[] = [];
  works: Signal[] = [];
  watched: Address[] = [];
  stops = 0;

  send(to: Address, message: Message): void {
    this.sent.push({ to, message });
  }
  readonly timers = new Map<string, Signal>();
  /** Of each timer as it was last set. */
  readonly delaysMs = new Map<string, number>();
  setTimer(key: string, delayMs: number, signal: Signal): void {
    this.timers.set(key, signal);
    this.delaysMs.set(key, delayMs);
  }
  cancelTimer(key: string): void {
    this.timers.delete(key);
  }
  later(signal: Signal): void {
    this.works.push(signal);
  }
  stop(): void {
    this.stops++;
  }
  watch(target: Address): void {
    this.watched.push(target);
  }

  take<K extends MessageKind>(kind: K): MessageOf<K>[] {
    const taken = this.sent
      .filter(({ message }) => message.kind === kind)
      .map(({ message }) => message as MessageOf<K>);
    this.sent = this.sent.filter(({ message }) => message.kind !== kind);
    return taken;
  }
}

const nothing: Ready = {
  write: 0,
  hardState: null,
  entries: [],
  messages: [],
  afterAppend: [],
  committed: [],
  snapshotTo: [],
  reads: [],
};

/** Says what a test wants the core to say, and notes what it is told. */
export class ScriptedCore implements RaftCore {
  readonly self = self;
  role: RaftCore['role'] = 'follower';
  term: Term;
  leader = replicaId(0);
  commitIndex: LogIndex;
  appliedIndex: LogIndex;
  lastIndex: LogIndex;
  baseIndex: LogIndex;
  configuration = configuration;
  isChanging = false;
  transferee = replicaId(0);
  leaderIsConfirmed = false;
  isIdle = false;
  logBytes = 0;
  readonly queue: Ready[] = [];
  readonly told: string[] = [];
  readonly stepped: RaftMessage[] = [];
  readonly terms = new Map<LogIndex, Term>();

  constructor(readonly options: RaftOptions) {
    this.term = options.hardState?.term ?? term(0);
    this.baseIndex = options.baseIndex;
    this.appliedIndex = options.appliedIndex;
    this.commitIndex = options.appliedIndex;
    this.lastIndex = logIndex(options.baseIndex + options.entries.length);
  }

  isLevelWith(): boolean {
    return false;
  }
  resume(): void {
    this.told.push('resume');
  }
  beat(): void {
    this.told.push('beat');
  }

  say(ready: Partial<Ready>): void {
    this.queue.push({ ...nothing, ...ready });
  }
  lead(termNow: Term): void {
    this.role = 'leader';
    this.term = termNow;
    this.leader = self;
  }

  tick(): void {
    this.told.push('tick');
  }
  step(message: RaftMessage): void {
    this.stepped.push(message);
  }
  propose(): ProposeResult {
    if (this.role !== 'leader') return { ok: false, reason: 'notLeader' };
    this.lastIndex = logIndex(this.lastIndex + 1);
    return { ok: true, index: this.lastIndex, term: this.term };
  }
  changeMembers(): ChangeResult {
    return { ok: false, reason: 'notLeader' };
  }
  transferLeadership(): TransferResult {
    return { ok: false, reason: 'notLeader' };
  }
  readonly readContexts: number[] = [];
  readIndex(context: number): void {
    this.readContexts.push(context);
  }
  campaign(): void {
    this.told.push('campaign');
  }
  hasReady(): boolean {
    return this.queue.length > 0;
  }
  ready(): Ready {
    return this.queue.shift() ?? nothing;
  }
  appended(write: number): void {
    this.told.push(`appended ${write}`);
  }
  applied(index: LogIndex): void {
    this.appliedIndex = index;
  }
  termAt(index: LogIndex): Term | null {
    return this.terms.get(index) ?? null;
  }
  truncate(index: LogIndex): void {
    this.told.push(`truncate ${index}`);
    this.baseIndex = index;
  }
  restore(meta: SnapshotMeta): void {
    this.told.push(`restore ${meta.index}`);
    this.commitIndex = meta.index;
    this.appliedIndex = meta.index;
    this.lastIndex = meta.index;
  }
  snapshotFinished(to: number, ok: boolean): void {
    this.told.push(`snapshotFinished ${to} ${ok}`);
  }
}

/** A state machine whose state is the list of entries it was given. */
export class ListMachine implements StateMachine {
  appliedIndex = logIndex(0);
  appliedTerm = term(0);
  slices: number[][] = [];
  restored: string[] = [];
  /** What a snapshot of it is made of. */
  chunks: Uint8Array[] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)];
  openSources = 0;

  constructor(index = 0, termNow = 0) {
    this.appliedIndex = logIndex(index);
    this.appliedTerm = term(termNow);
  }

  apply(entries: readonly Entry[]): void {
    this.slices.push(entries.map((entry) => entry.index));
    for (const entry of entries) {
      this.appliedIndex = entry.index;
      this.appliedTerm = entry.term;
    }
  }
  digest(): string {
    return `${this.appliedIndex}`;
  }
  openSnapshot(): SnapshotSource {
    this.openSources++;
    return {
      index: this.appliedIndex,
      term: this.appliedTerm,
      chunk: (n) => this.chunks[n] ?? null,
      close: () => {
        this.openSources--;
      },
    };
  }
  openRestore(meta: SnapshotMeta): SnapshotSink {
    const parts: number[] = [];
    return {
      accept: (chunk) => parts.push(...chunk),
      finish: () => {
        this.restored.push(`finish ${parts.join()}`);
        this.appliedIndex = meta.index;
        this.appliedTerm = meta.term;
      },
      abort: () => this.restored.push(`abort ${parts.join()}`),
    };
  }
}

/** A member with everything around it in the test's hands. */
export class MemberBench {
  readonly context = new TestContext();
  readonly cores: ScriptedCore[] = [];
  readonly ends: string[] = [];
  readonly member: RaftMember;
  syncs = 0;

  constructor(
    readonly machine = new ListMachine(),
    tuning: Partial<RaftMemberTuning> = {},
  ) {
    this.member = new RaftMember({
      cluster: clusterId('test'),
      shard: shardId(7),
      self,
      epoch: () => ({ version: 1, confVersion: 1 }),
      configuration: () => configuration,
      addressOf: (replica) => (replica === 99 ? null : at(nodeName(`machine-${replica}`), replicaActor(replica))),
      logWriter,
      descriptor: Uint8Array.of(1),
      machine,
      syncState: () => {
        this.syncs++;
      },
      createCore: (options) => {
        const core = new ScriptedCore(options);
        this.cores.push(core);
        return core;
      },
      tuning: { ...raftMemberTuning, ...tuning },
      events: {
        changed: () => undefined,
        applied: () => undefined,
        ended: (end, reason) => this.ends.push(`${end}: ${reason}`),
      },
    });
    this.member.start(this.context);
  }

  get core(): ScriptedCore {
    const core = this.cores[this.cores.length - 1];
    if (core === undefined) throw new Error('the member has made no core');
    return core;
  }

  open(overrides: Partial<MessageOf<'log.opened'>> = {}): this {
    const hardState = null;
    const opened = { outcome: 'ready', incarnation: incarnation(1), descriptor: Uint8Array.of(1), hardState } as const;
    this.hear({ kind: 'log.opened', replica: self, ...opened, ...zero, entries: [], ...overrides });
    return this;
  }

  hear(message: Message): void {
    this.member.handle(message, this.context);
  }

  durable(write: number, of = 1): void {
    this.hear({ kind: 'log.appended', replica: self, incarnation: incarnation(of), write });
  }

  tick(times = 1): void {
    for (let n = 0; n < times; n++) {
      this.member.signalled({ signal: 'timer', key: 'raft.tick' }, this.context);
    }
  }

  /** Runs deferred work until there is none. */
  settle(): void {
    for (let works = this.context.works; works.length > 0; works = this.context.works) {
      this.context.works = [];
      for (const work of works) this.member.signalled(work, this.context);
    }
  }

  raft(message: RaftMessage, overrides: Partial<MessageOf<'peer.raft'>> = {}): void {
    const header = { cluster: clusterId('test'), shard: shardId(7), epoch: { version: 1, confVersion: 1 } };
    this.hear({ kind: 'peer.raft', ...header, from: message.from, to: self, message, ...overrides });
  }
}

export const entryAt = (index: number, termNow: number, bytes = 1): Entry => ({
  index: logIndex(index),
  term: term(termNow),
  type: 'command',
  data: new Uint8Array(bytes),
});

export const heartbeat = (termNow: number, from = peer): RaftMessage => ({
  kind: 'heartbeatRequest',
  from,
  to: self,
  term: term(termNow),
  commit: logIndex(0),
  readContext: 0,
});
