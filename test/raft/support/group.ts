import { type LogIndex, logIndex, type ReplicaId, replicaId, term } from '../../../src/base/ids';
import { Prng } from '../../../src/base/prng';
import type { Configuration, Entry, RaftMessage, RaftMessageKind } from '../../../src/protocol/raft-messages';
import type { Raft } from '../../../src/raft/raft';
import type { RaftOptions } from '../../../src/raft/types';
import { emptyState, type Outside, TestMember } from './member';

type MessageOf<K extends RaftMessageKind> = Extract<RaftMessage, { readonly kind: K }>;

export const id = replicaId;
export const text = (data: string): Uint8Array => Uint8Array.from(data, (c) => c.charCodeAt(0));

export const votersUpTo = (count: number): Configuration => ({
  voters: Array.from({ length: count }, (_, i) => id(i + 1)),
  votersOutgoing: [],
  learners: [],
});

/** Entries 1, 2, ... of the given terms. */
export const entriesOf = (...terms: readonly number[]): Entry[] =>
  terms.map((of, i) => ({ term: term(of), index: logIndex(i + 1), type: 'command', data: text(`${i + 1}@${of}`) }));

/** A group in the test's hands: nothing is sent, written or applied until the test says so. */
export class Group implements Outside {
  readonly members: TestMember[];
  readonly messages: RaftMessage[] = [];
  readonly snapshots: { readonly from: ReplicaId; readonly to: ReplicaId }[] = [];
  readonly reads = new Map<number, LogIndex | null>();
  /** Messages for which it is false are lost. */
  passes: (message: RaftMessage) => boolean = () => true;

  constructor(
    readonly configuration: Configuration,
    private readonly tuning: Partial<RaftOptions> = {},
  ) {
    const { voters, votersOutgoing, learners } = configuration;
    const all = [...new Set([...voters, ...votersOutgoing, ...learners])];
    this.members = all.map((member) => new TestMember(member, configuration, this, new Prng(member), tuning));
  }

  sent(message: RaftMessage): void {
    if (this.passes(message)) this.messages.push(message);
  }
  snapshotWanted(from: ReplicaId, to: ReplicaId): void {
    this.snapshots.push({ from, to });
  }
  readAnswered(_member: ReplicaId, context: number, index: LogIndex | null): void {
    this.reads.set(context, index);
  }
  installed(): void {
    // The group streams in one step, and reports the end itself.
  }

  /** A member's disk before it starts: entries of these terms, and the hard state. */
  give(member: number, terms: readonly number[], now: number, vote = 0): this {
    const { disk } = this.at(member);
    disk.entries = entriesOf(...terms);
    disk.hardState = { term: term(now), vote: id(vote), commit: logIndex(0) };
    disk.state = emptyState;
    return this;
  }

  /** Starts a member that knows of nobody. */
  startEmpty(member: number): TestMember {
    const nobody = { voters: [], votersOutgoing: [], learners: [] };
    const joined = new TestMember(id(member), nobody, this, new Prng(member), this.tuning);
    this.members.push(joined);
    joined.start();
    return joined;
  }

  start(...members: readonly number[]): this {
    const chosen = members.length === 0 ? this.members : members.map((member) => this.at(member));
    for (const member of chosen) member.start();
    return this;
  }

  at(member: number): TestMember {
    return this.members.find((each) => each.id === member) as TestMember;
  }
  core(member: number): Raft {
    return this.at(member).running();
  }
  terms(member: number): (number | null)[] {
    const core = this.core(member);
    return Array.from({ length: core.lastIndex - core.baseIndex }, (_, i) =>
      core.termAt(logIndex(core.baseIndex + 1 + i)),
    );
  }

  /** The leader there is, once `member` has campaigned and everything is delivered. */
  elect(member: number): Raft {
    this.core(member).campaign();
    this.settle();
    return this.core(member);
  }

  tick(member: number, count = 1): void {
    for (let i = 0; i < count; i++) {
      this.core(member).tick();
      this.at(member).drain();
    }
  }

  step(message: RaftMessage): void {
    this.core(message.to).step(message);
    this.at(message.to).drain();
  }

  /** Takes out what a member has said of one kind; reading lets it speak first. */
  said<K extends RaftMessageKind>(from: number, kind: K): MessageOf<K>[] {
    this.at(from).drain();
    const found = this.messages.filter((each): each is MessageOf<K> => each.from === from && each.kind === kind);
    const rest = this.messages.filter((each) => !found.includes(each as MessageOf<K>));
    this.messages.splice(0, this.messages.length, ...rest);
    return found;
  }

  /** Writes, sends and applies until there is nothing more to do. */
  settle(): void {
    for (let turn = 0; turn < 200; turn++) {
      const running = this.members.filter(({ core }) => core !== null);
      for (const member of running) {
        member.drain();
        member.complete();
        member.drain();
        member.apply();
      }
      const messages = this.messages.splice(0);
      const isQuiet = running.every(({ core, jobs }) => jobs.length === 0 && core?.hasReady() === false);
      if (messages.length === 0 && isQuiet) return;
      for (const message of messages) if (this.passes(message) && this.at(message.to).core !== null) this.step(message);
    }
    throw new Error('the group never comes to rest');
  }

  /** Time passes for all that run, in step. */
  pass(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      for (const member of this.members) member.core?.tick();
      this.settle();
    }
  }

  /** Streams what was asked for. */
  stream(): void {
    for (const { from, to } of this.snapshots.splice(0)) {
      const { state } = this.at(from);
      const meta = { index: state.index, term: state.term, configuration: state.configuration ?? this.configuration };
      const wanted = this.at(to).needs(meta);
      if (wanted) this.at(to).install(meta, state);
      this.settle();
      this.core(from).snapshotFinished(id(to), wanted);
      this.settle();
    }
  }

  isolate(...members: readonly number[]): void {
    this.passes = ({ from, to }) => members.includes(from) === members.includes(to);
  }
  join(): void {
    this.passes = () => true;
  }
}
