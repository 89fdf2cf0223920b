import { type LogIndex, type ReplicaId, replicaId } from '../../../src/base/ids';
import { Prng } from '../../../src/base/prng';
import type { Configuration, RaftMessage, SnapshotMeta } from '../../../src/protocol/raft-messages';
import { Invariants, must } from './invariants';
import { type CreateRaft, type Outside, type State, TestMember } from './member';

const ids = (...numbers: number[]): ReplicaId[] => numbers.map(replicaId);

/** Groups of every shape, so that few seeds suffice to meet each. */
const shapes: readonly Configuration[] = [
  { voters: ids(1, 2, 3), votersOutgoing: [], learners: [] },
  { voters: ids(1, 2, 3), votersOutgoing: [], learners: [] },
  { voters: ids(1, 2, 3), votersOutgoing: [], learners: ids(4, 5) },
  { voters: ids(1, 2, 3, 4, 5), votersOutgoing: [], learners: [] },
  { voters: ids(1, 2), votersOutgoing: [], learners: [] },
  { voters: ids(1), votersOutgoing: [], learners: ids(2) },
];

interface Stream {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly term: number;
  readonly meta: SnapshotMeta;
  readonly state: State;
  installing: boolean;
}

interface Weights {
  readonly drop: number;
  readonly duplicate: number;
  readonly crash: number;
  readonly partition: number;
}

const calm: Weights = { drop: 0, duplicate: 0, crash: 0, partition: 0 };
const messagesMax = 400;

/**
 * One group, its network and its disks in one seed: messages are lost, doubled, reordered and cut off, writes complete
 * late and in batches, members crash with any part of what was under way on disk. Nothing is delivered in step.
 */
export class MiniNetwork implements Outside {
  readonly members: TestMember[];
  readonly invariants: Invariants;
  private readonly random: Prng;
  private readonly configuration: Configuration;
  private messages: RaftMessage[] = [];
  private streams: Stream[] = [];
  private cutOff = new Set<ReplicaId>();
  private weights: Weights;
  private nextContext = 1;
  private proposed = 0;
  private readonly stopTruncating: boolean;

  constructor(seed: number, create?: CreateRaft) {
    this.random = new Prng(seed);
    this.configuration = this.random.pick(shapes);
    const { voters, votersOutgoing, learners } = this.configuration;
    const all = [...new Set([...voters, ...votersOutgoing, ...learners])];
    const tuning = {
      appendBytesMax: this.random.pick([1, 40, 120, 10_000]),
      inflightAppendsMax: this.random.pick([1, 2, 4, 64]),
      inflightBytesMax: this.random.pick([1, 60, 300, 100_000]),
      uncommittedBytesMax: this.random.pick([100, 4_000]),
    };
    this.members = all.map((id) => new TestMember(id, this.configuration, this, this.random.fork(), tuning, create));
    this.invariants = new Invariants(this.configuration, this.members);
    this.weights = {
      drop: this.random.pick([0, 0.02, 0.2]),
      duplicate: this.random.pick([0, 0.05, 0.2]),
      crash: this.random.pick([0, 0.002, 0.01]),
      partition: this.random.pick([0, 0.003, 0.01]),
    };
    this.stopTruncating = this.random.chance(0.4);
    for (const member of this.members) member.start();
  }

  // Outside of the members

  sent(message: RaftMessage): void {
    this.invariants.sent(message);
    if (this.messages.length < messagesMax && !this.random.chance(this.weights.drop)) this.messages.push(message);
  }

  snapshotWanted(from: ReplicaId, to: ReplicaId): void {
    const sender = this.member(from);
    const { state } = sender;
    this.streams = this.streams.filter((stream) => stream.from !== from || stream.to !== to);
    const meta = { index: state.index, term: state.term, configuration: state.configuration ?? this.configuration };
    this.streams.push({ from, to, term: sender.running().term, meta, state, installing: false });
  }

  installed(member: ReplicaId): void {
    for (const stream of [...this.streams]) if (stream.to === member && stream.installing) this.finish(stream, true);
  }

  readAnswered(_member: ReplicaId, context: number, index: LogIndex | null): void {
    this.invariants.readAnswered(context, index);
  }

  // Running

  run(steps: number): void {
    for (let step = 0; step < steps; step++) this.step();
  }

  private step(): void {
    const { random } = this;
    const member = random.pick(this.members);
    if (member.core === null) {
      if (random.chance(0.1)) member.start();
    } else if (random.chance(this.weights.crash)) this.crash(member);
    else this.act(member, random.between(0, 99));
    if (random.chance(this.weights.partition)) this.partition();
    this.settle(member);
  }

  private act(member: TestMember, die: number): void {
    const core = member.running();
    if (die < 45) this.deliver();
    else if (die < 55) core.tick();
    else if (die < 70) member.complete(this.random.between(0, member.jobs.length));
    else if (die < 78) member.apply(this.random.between(0, member.toApply.length));
    else if (die < 86) this.propose(member);
    else if (die < 92) this.read(member);
    else if (die < 94) member.syncState();
    else if (die < 96 && !this.stopTruncating) member.truncate(this.random.between(0, 6));
    else if (die < 98) this.stream();
    else if (die === 98) this.repeatCompletion(member);
    else this.hand(member);
  }

  private settle(member: TestMember): void {
    member.drain();
    for (const each of this.members) this.invariants.observe(each);
  }

  private deliver(): void {
    if (this.messages.length === 0) return;
    const at = this.random.chance(0.5) ? 0 : this.random.between(0, this.messages.length - 1);
    const message = this.messages[at] as RaftMessage;
    if (!this.random.chance(this.weights.duplicate)) this.messages.splice(at, 1);
    if (this.isCut(message.from, message.to)) return;
    const to = this.member(message.to);
    if (to.core === null) return;
    to.core.step(message);
    this.settle(to);
  }

  private propose(member: TestMember): void {
    const data = Uint8Array.from(String(++this.proposed), (c) => c.charCodeAt(0));
    member.running().propose(data);
  }

  private read(member: TestMember): void {
    const context = this.nextContext++;
    this.invariants.readAsked(context);
    member.running().readIndex(context);
  }

  /** A completion that comes again changes nothing. */
  private repeatCompletion(member: TestMember): void {
    member.running().appended(0);
  }

  /** Leadership is handed over, by a leader that thinks the time has come. */
  private hand(member: TestMember): void {
    const core = member.running();
    if (core.role !== 'leader') return;
    const to = this.random.pick(this.members).id;
    this.sent({ kind: 'timeoutNow', ...core.header(to) });
  }

  private crash(member: TestMember): void {
    member.crash(this.random.between(0, member.jobs.length));
    this.invariants.stopped(member.id);
    // A sender's streams end with it; a receiver's begin anew.
    this.streams = this.streams.filter(({ from }) => from !== member.id);
    for (const stream of this.streams) if (stream.to === member.id) stream.installing = false;
  }

  private partition(): void {
    this.cutOff = new Set(
      this.random.chance(0.5) ? [] : this.members.filter(() => this.random.chance(0.4)).map((m) => m.id),
    );
  }

  private isCut(from: ReplicaId, to: ReplicaId): boolean {
    return this.cutOff.has(from) !== this.cutOff.has(to);
  }

  private stream(): void {
    if (this.streams.length === 0) return;
    const stream = this.random.pick(this.streams);
    const receiver = this.member(stream.to);
    if (stream.installing || receiver.core === null) return;
    const lost = this.isCut(stream.from, stream.to) || this.random.chance(this.weights.drop);
    if (lost || !receiver.needs(stream.meta)) return this.finish(stream, false);
    stream.installing = true;
    receiver.install(stream.meta, stream.state);
    this.settle(receiver);
  }

  private finish(stream: Stream, ok: boolean): void {
    this.streams = this.streams.filter((each) => each !== stream);
    const sender = this.member(stream.from);
    if (sender.core?.role !== 'leader' || sender.core.term !== stream.term) return;
    sender.core.snapshotFinished(stream.to, ok);
    this.settle(sender);
  }

  // The end

  /** Everything works from now on, in step: the group must come to rest with all members equal. */
  heal(): void {
    this.weights = calm;
    this.cutOff.clear();
    for (const member of this.members) if (member.core === null) member.start();
    for (let round = 0; round < 200 && !(round > 100 && this.isSettled()); round++) this.round();
    const leaders = this.members.filter((member) => member.core?.role === 'leader');
    must(leaders.length === 1, () => `${leaders.length} leaders after healing`);
    const leader = leaders[0] as TestMember;
    must(leader.running().propose(new Uint8Array([33])).ok, () => 'a healed group refuses proposals');
    for (const member of this.members) this.read(member);
    const served = this.invariants.readsServed + this.members.length;
    for (let round = 0; round < 12; round++) this.round();
    must(this.isSettled(), () => `not at rest after healing: ${this.describe()}`);
    must(this.invariants.readsServed >= served, () => 'reads are not served after healing');
    must(
      leader.running().uncommittedBytes === 0,
      () => `${leader.running().uncommittedBytes} bytes are never committed`,
    );
  }

  private round(): void {
    for (const member of this.members) {
      member.running().tick();
      this.settle(member);
    }
    for (let turn = 0; turn < 40 && this.isBusy(); turn++) this.turn();
  }

  private turn(): void {
    const delivered = this.messages.splice(0);
    for (const message of delivered) {
      const to = this.member(message.to);
      to.running().step(message);
      this.settle(to);
    }
    for (let count = this.streams.length; count > 0; count--) this.stream();
    for (const member of this.members) {
      member.complete();
      member.drain();
      member.apply();
      this.settle(member);
    }
  }

  private isBusy(): boolean {
    return this.messages.length > 0 || this.streams.length > 0 || this.members.some(({ jobs }) => jobs.length > 0);
  }

  private isSettled(): boolean {
    const last = Math.max(...this.members.map((member) => member.running().lastIndex));
    return this.members.every((member) => {
      const { commitIndex, appliedIndex, lastIndex } = member.running();
      return commitIndex === last && appliedIndex === last && lastIndex === last && member.state.index === last;
    });
  }

  private describe(): string {
    return this.members
      .map(({ id, core }) => `${id}:${core?.role}@${core?.term} last ${core?.lastIndex} commit ${core?.commitIndex}`)
      .join(', ');
  }

  private member(id: ReplicaId): TestMember {
    return this.members.find((member) => member.id === id) as TestMember;
  }
}

export interface Told {
  readonly committed: number;
  readonly leaders: number;
  readonly reads: number;
}

/** One seed's life. Throws a Violation, or an assertion of the core, when a promise is broken. */
export function live(seed: number, create?: CreateRaft, steps = 3_500): Told {
  const network = new MiniNetwork(seed, create);
  network.run(steps);
  network.heal();
  const { committedTo, leaderCount, readsServed } = network.invariants;
  return { committed: committedTo, leaders: leaderCount, reads: readsServed };
}
