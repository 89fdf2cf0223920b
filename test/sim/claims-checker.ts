import type { RaftMember } from '../../src/actors/raft-member';
import { type LogIndex, noReplica, type ReplicaId, type Term } from '../../src/base/ids';
import type { RaftMessage } from '../../src/protocol/raft-messages';
import { Raft } from '../../src/raft/raft';
import type { RaftCore } from '../../src/raft/types';
import { OnTheWay } from '../support/on-the-way';
import type { DurableLog } from './durability';
import { must } from './violation';

/** What a member was last seen to believe: a belief is held against the disks when it changes. */
interface Seen {
  term: Term;
  vote: ReplicaId;
  durable: LogIndex;
  lastTerm: Term;
  ledTerm: Term | null;
  readonly matches: Map<ReplicaId, LogIndex>;
  sleeps: boolean;
}

/**
 * Holds what the members of one group believe against what is so, long before a wrong belief has done any harm: that takes
 * a second misfortune, which may not come in a run.
 *
 *  1. A leader was voted for, in its own term, by a majority of each half of its configuration.
 *  2. What a leader counts a member for is on that member's disk, unless the member has entered a newer term since.
 *  3. What a member takes for durable is on its disk.
 *  4. Nobody but a leader has proposals that wait.
 *  5. Nobody takes a vote back that it has given, or gives it again, within a term.
 *  6. A read that is safe to serve has applied whatever was committed anywhere when it was asked for (thesis, 6.4).
 *  7. A leader that falls asleep leaves nobody behind: all it has is on every member's disk.
 *  8. A leader sends a member more only while less than may be on its way there is unacknowledged.
 */
export class ClaimsChecker {
  private readonly votes = new Map<string, Set<ReplicaId>>();
  private readonly seen = new WeakMap<RaftCore, Seen>();
  private readonly watched = new WeakSet<RaftMember>();
  private committedTo = 0;
  private readonly onTheWay: OnTheWay;

  constructor(
    private readonly group: string,
    inflightBytesMax: number,
    /** Null: this replica's machine is not known, or not yet. */
    private readonly diskOf: (replica: ReplicaId) => DurableLog | null,
  ) {
    this.onTheWay = new OnTheWay(inflightBytesMax);
  }

  sent(message: RaftMessage): void {
    const excess = this.onTheWay.sent(message);
    must(excess === null, () => this.say(excess ?? ''));
    if (message.kind === 'voteRequest') this.voted(message.from, message.from, message.term);
    if (message.kind === 'voteResponse' && message.granted) this.voted(message.from, message.to, message.term);
  }

  /** After every event that may have changed the member. */
  observe(member: RaftMember): void {
    this.watchReads(member);
    must(member.isLeader || member.pendingCount === 0, () =>
      this.say(`${member.pendingCount} proposals wait at one that does not lead`),
    );
    const { raft } = member;
    if (!(raft instanceof Raft)) return;
    if (raft.commitIndex > this.committedTo) this.committedTo = raft.commitIndex;
    const seen = this.seen.get(raft) ?? newSeen();
    this.seen.set(raft, seen);
    this.checkVote(raft, seen);
    this.checkDurable(raft, seen);
    this.checkSleep(member, raft, seen);
    if (raft.leadership === null) seen.matches.clear();
    else this.checkLeader(raft, seen);
  }

  private voted(voter: ReplicaId, candidate: ReplicaId, term: Term): void {
    const key = `${term}:${candidate}`;
    const voters = this.votes.get(key) ?? new Set();
    this.votes.set(key, voters.add(voter));
  }

  private checkVote({ self, term, vote }: Raft, seen: Seen): void {
    must(seen.term !== term || seen.vote === 0 || seen.vote === vote, () =>
      this.say(`${self} had voted for ${seen.vote} in term ${term}, and has now for ${vote}`),
    );
    seen.term = term;
    seen.vote = vote;
  }

  private checkLeader(raft: Raft, seen: Seen): void {
    if (seen.ledTerm !== raft.term) this.checkElection(raft);
    seen.ledTerm = raft.term;
    for (const [member, { match }] of raft.leading().progress) {
      if (seen.matches.get(member) === match) continue;
      seen.matches.set(member, match);
      this.checkMatch(raft, member, match);
    }
  }

  private checkElection(raft: Raft): void {
    const { voters, votersOutgoing } = raft.configuration;
    const given = this.votes.get(`${raft.term}:${raft.self}`) ?? new Set();
    for (const half of [voters, votersOutgoing]) {
      const count = half.filter((voter) => given.has(voter) || this.mayHaveVoted(voter, raft)).length;
      must(half.length === 0 || count > half.length / 2, () =>
        this.say(`${raft.self} leads term ${raft.term} by the votes of ${[...given].join(' and ')} only`),
      );
    }
  }

  /** What members of one machine say to each other is not sent; then their disks tell, unless they have gone on. */
  private mayHaveVoted(voter: ReplicaId, { self, term }: Raft): boolean {
    const hardState = this.diskOf(voter)?.hardState ?? null;
    if (voter === self || hardState === null) return voter === self;
    return hardState.term > term || (hardState.term === term && hardState.vote === self);
  }

  private checkMatch(raft: Raft, member: ReplicaId, match: LogIndex): void {
    const held = raft.termAt(match);
    const disk = this.diskOf(member);
    if (match === 0 || held === null || disk === null) return;
    const found = disk.termAt(match);
    const isTrue = found === 'covered' || found === held || (disk.hardState?.term ?? 0) > raft.term;
    must(isTrue, () => this.say(`leader ${raft.self} counts ${member} for ${match}, which is not on its disk`));
  }

  private checkDurable(raft: Raft, seen: Seen): void {
    const { durableIndex, lastTerm } = raft.log;
    if (durableIndex === seen.durable && lastTerm === seen.lastTerm) return;
    seen.durable = durableIndex;
    seen.lastTerm = lastTerm;
    const disk = this.diskOf(raft.self);
    if (disk === null || durableIndex === 0) return;
    const found = disk.termAt(durableIndex);
    const isTrue = found === 'covered' || found === raft.termAt(durableIndex) || disk.stateCovers(durableIndex);
    must(isTrue, () => this.say(`${raft.self} takes entry ${durableIndex} for durable, which is not on its disk`));
  }

  private checkSleep(member: RaftMember, raft: Raft, seen: Seen): void {
    const fallsAsleep = member.isAsleep && !seen.sleeps;
    seen.sleeps = member.isAsleep;
    if (!fallsAsleep || raft.role !== 'leader') return;
    const { voters, votersOutgoing, learners } = raft.configuration;
    const { lastIndex, lastTerm } = raft.log;
    for (const other of new Set([...voters, ...votersOutgoing, ...learners])) {
      const found = this.diskOf(other)?.termAt(lastIndex);
      must(found === undefined || found === 'covered' || found === lastTerm, () =>
        this.say(`leader ${raft.self} fell asleep at ${lastIndex}, and ${other} has not got there`),
      );
    }
  }

  /** From its first event on, which is before anybody could ask it anything. */
  private watchReads(member: RaftMember): void {
    if (this.watched.has(member)) return;
    this.watched.add(member);
    const readIndex: RaftMember['readIndex'] = (done, context) => {
      const floor = this.committedTo;
      const checked: typeof done = (ok, later) => {
        const applied = member.raft?.appliedIndex ?? 0;
        must(!ok || applied >= floor, () => this.say(`a read is served at ${applied}, ${floor} had been committed`));
        done(ok, later);
      };
      Object.getPrototypeOf(member).readIndex.call(member, checked, context);
    };
    Reflect.set(member, 'readIndex', readIndex);
  }

  private say(what: string): string {
    return `${this.group}: ${what}`;
  }
}

const newSeen = (): Seen => ({
  term: 0 as Term,
  vote: noReplica,
  durable: 0 as LogIndex,
  lastTerm: 0 as Term,
  ledTerm: null,
  matches: new Map(),
  sleeps: false,
});
