import type { LogIndex, ReplicaId, Term } from '../../../src/base/ids';
import type { Configuration, Entry, RaftMessage } from '../../../src/protocol/raft-messages';
import { holdsDurably, type TestMember } from './member';

export class Violation extends Error {
  override readonly name = 'Violation';
}

export function must(condition: boolean, what: () => string): asserts condition {
  if (!condition) throw new Violation(what());
}

interface Seen {
  readonly commit: LogIndex;
  readonly applied: LogIndex;
}

/**
 * The properties of Raft's figure 3 and of its durability, judged from outside over one group's whole life. It remembers
 * across crashes, and it looks at disks rather than at what a core believes of them.
 */
export class Invariants {
  committedTo = 0;
  private readonly committed: Term[] = [];
  private readonly leaders = new Map<Term, ReplicaId>();
  private readonly votes = new Map<string, ReplicaId>();
  private readonly entries = new Map<string, string>();
  private readonly spokenTerm = new Map<ReplicaId, number>();
  private readonly seen = new Map<ReplicaId, Seen>();
  private readonly digests = new Map<LogIndex, string>();
  private readonly readFloors = new Map<number, number>();
  leaderCount = 0;
  readsServed = 0;

  constructor(
    private readonly configuration: Configuration,
    private readonly members: readonly TestMember[],
  ) {}

  sent(message: RaftMessage): void {
    const { kind, from, to, term } = message;
    if (kind !== 'preVoteRequest' && kind !== 'preVoteResponse') this.spoke(from, term);
    if (kind === 'voteResponse' && message.granted) this.voted(from, term, to);
    if (kind === 'voteRequest') this.voted(from, term, from);
    if (kind === 'appendRequest') this.checkMatching(message.prevTerm, message.entries);
  }

  /** A term that was spoken of is durable: a crash cannot take it back. */
  private spoke(from: ReplicaId, term: Term): void {
    const durable = this.members.find(({ id }) => id === from)?.disk.hardState?.term ?? 0;
    must(durable >= term, () => `${from} speaks of term ${term}, its disk of ${durable}`);
    this.spokenTerm.set(from, Math.max(term, this.spokenTerm.get(from) ?? 0));
  }

  /** One vote a term (Raft, 5.2), and durable. */
  private voted(voter: ReplicaId, term: Term, candidate: ReplicaId): void {
    const key = `${voter}:${term}`;
    const before = this.votes.get(key);
    must(
      before === undefined || before === candidate,
      () => `${voter} votes for ${before} and ${candidate} in ${term}`,
    );
    this.votes.set(key, candidate);
  }

  /** Log matching: index and term name one entry, and what comes before it. */
  private checkMatching(prevTerm: Term, entries: readonly Entry[]): void {
    let previous = prevTerm;
    for (const entry of entries) {
      const content = `${previous}:${entry.type}:${String.fromCharCode(...entry.data)}`;
      const key = `${entry.index}:${entry.term}`;
      const known = this.entries.get(key);
      must(known === undefined || known === content, () => `entry ${key} is both ${known} and ${content}`);
      this.entries.set(key, content);
      previous = entry.term;
    }
  }

  stopped(member: ReplicaId): void {
    this.seen.delete(member);
  }

  observe(member: TestMember): void {
    const raft = member.core;
    if (raft === null) return;
    if (raft.role === 'leader') this.checkLeader(member);
    const before = this.seen.get(raft.self);
    if (before?.commit === raft.commitIndex && before.applied === raft.appliedIndex) return;
    must(raft.term >= (this.spokenTerm.get(raft.self) ?? 0), () => `the term of ${raft.self} fell to ${raft.term}`);
    must(before === undefined || (before.commit <= raft.commitIndex && before.applied <= raft.appliedIndex), () => {
      return `commit or applied of ${raft.self} fell`;
    });
    must(
      raft.appliedIndex <= raft.commitIndex && raft.commitIndex <= raft.lastIndex,
      () => `${raft.self} is out of order`,
    );
    this.checkCommitted(member, before?.commit ?? 0);
    this.checkState(member);
    this.seen.set(raft.self, { commit: raft.commitIndex, applied: raft.appliedIndex });
  }

  /** Election safety and leader completeness. */
  private checkLeader(member: TestMember): void {
    const raft = member.running();
    const known = this.leaders.get(raft.term);
    must(known === undefined || known === raft.self, () => `${known} and ${raft.self} lead term ${raft.term}`);
    if (known !== undefined) return;
    this.leaders.set(raft.term, raft.self);
    this.leaderCount++;
    must(
      raft.lastIndex >= this.committedTo,
      () => `leader ${raft.self} lacks what is committed to ${this.committedTo}`,
    );
    for (let index = raft.baseIndex + 1; index <= this.committedTo; index++) {
      const [held, agreed] = [raft.termAt(index as LogIndex), this.committed[index]];
      must(held === agreed, () => `leader ${raft.self} has ${held} at ${index}, committed is ${agreed}`);
    }
  }

  /** What is committed stays, and is durable on a majority of voters when it is first said to be. */
  private checkCommitted(member: TestMember, from: number): void {
    const raft = member.running();
    for (let index = Math.max(raft.baseIndex + 1, from + 1); index <= raft.commitIndex; index++) {
      const held = raft.termAt(index as LogIndex) as Term;
      const agreed = this.committed[index];
      must(
        agreed === undefined || agreed === held,
        () => `${index} is committed as ${agreed} and, on ${raft.self}, ${held}`,
      );
      if (agreed !== undefined) continue;
      this.committed[index] = held;
      this.checkDurable(index as LogIndex, held);
    }
    this.committedTo = Math.max(this.committedTo, raft.commitIndex);
  }

  private checkDurable(index: LogIndex, term: Term): void {
    const { voters, votersOutgoing } = this.configuration;
    for (const half of [voters, votersOutgoing]) {
      const holders = half.filter((id) => this.members.some((m) => m.id === id && holdsDurably(m.disk, index, term)));
      must(
        half.length === 0 || holders.length * 2 > half.length,
        () => `${index} is committed, durable on [${holders}]`,
      );
    }
  }

  private checkState({ state }: TestMember): void {
    const known = this.digests.get(state.index);
    must(
      known === undefined || known === state.digest,
      () => `two states at ${state.index}: ${known}, ${state.digest}`,
    );
    this.digests.set(state.index, state.digest);
  }

  readAsked(context: number): void {
    this.readFloors.set(context, this.committedTo);
  }

  /** A read sees everything that was committed when it was asked for, on whatever member it was. */
  readAnswered(context: number, index: LogIndex | null): void {
    const floor = this.readFloors.get(context);
    must(floor !== undefined, () => `read ${context} is answered again`);
    this.readFloors.delete(context);
    must(index === null || index >= floor, () => `read ${context} is served at ${index}, committed was ${floor}`);
    if (index !== null) this.readsServed++;
  }

  get readsOpen(): number {
    return this.readFloors.size;
  }
}
