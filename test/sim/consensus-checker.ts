import type { LogIndex, ReplicaId, Term } from '../../src/base/ids';
import type { Configuration, Entry, RaftMessage } from '../../src/protocol/raft-messages';
import type { RaftCore } from '../../src/raft/types';
import { checkPromise, type DurableLog } from './durability';
import { must } from './violation';

/** What a member was when it was last looked at. */
interface Watermark {
  /** A member that starts again has a new one, and may begin below its old watermarks. Null: it has not run yet. */
  core: RaftCore | null;
  term: Term;
  commit: LogIndex;
  applied: LogIndex;
  led: boolean;
  configuration: Configuration | null;
  /** How far it acknowledged its log, less what it has since replaced while it ran. */
  acknowledged: LogIndex;
}

interface Digested {
  digest(): string;
  /** Of a shard: which flags are on. */
  readonly level?: number;
}

/**
 * Watches one group from outside: every message that leaves a member, and every member after each event. What it
 * remembers outlives all crashes, so that a promise made before one is held against what comes after it.
 *
 *  1. Election safety: one leader a term (Raft, figure 3).
 *  2. One vote a term from each member, whatever it forgot in a crash.
 *  3. Log matching: an entry of one index and term is the same everywhere, and so is the one before it.
 *  4. State machine safety: what is committed at an index is committed there for ever, on every member.
 *  5. Leader completeness: a leader's log holds every entry that was committed in its term or an earlier one. A member may
 *     learn late that it was elected, when another already leads in a newer term.
 *  6. Commit and applied never fall while a member runs; a term that left a member is never taken back.
 *  7. Members that have applied the same index hold equal state.
 *  8. What is committed is on the disks of a majority, and what a message promises on its sender's (durability).
 *  9. What a member acknowledged is in its log, or in its state, when it starts again.
 * 10. A leader's commit index only ever lands on an entry of its own term (5.4.2).
 */
export class ConsensusChecker {
  private readonly leaders = new Map<Term, ReplicaId>();
  private readonly votes = new Map<string, ReplicaId>();
  private readonly entries = new Map<string, string>();
  private readonly committed: (string | undefined)[] = [];
  /** By index: the term of the first member that knew it to be committed, which is the leader that committed it. */
  private readonly committedIn: (Term | undefined)[] = [];
  private readonly digests = new Map<LogIndex, string>();
  private readonly watermarks = new Map<ReplicaId, Watermark>();
  /** The highest term that ever left a member: no crash may take it back. */
  private readonly promised = new Map<ReplicaId, number>();
  private committedTo = 0 as LogIndex;
  leaderChanges = 0;
  snapshotsInstalled = 0;

  constructor(
    private readonly group: string,
    /** Null: this replica's machine is not known, or not yet. */
    private readonly diskOf: (replica: ReplicaId) => DurableLog | null,
  ) {}

  sent(message: RaftMessage): void {
    const disk = this.diskOf(message.from);
    if (disk !== null) checkPromise(disk, message);
    if (message.kind === 'appendResponse' && !message.rejected) this.acknowledge(message.from, message.index);
    if (message.kind === 'snapshotInstalled') this.snapshotsInstalled++;
    if (!isPreVote(message))
      this.promised.set(message.from, Math.max(message.term, this.promised.get(message.from) ?? 0));
    if (message.kind === 'voteResponse' && message.granted) this.voted(message.from, message.term, message.to);
    if (message.kind === 'voteRequest') this.voted(message.from, message.term, message.from);
    if (message.kind === 'appendRequest') this.replicated(message.prevIndex, message.prevTerm, message.entries);
  }

  private voted(voter: ReplicaId, term: Term, candidate: ReplicaId): void {
    const key = `${voter}:${term}`;
    const before = this.votes.get(key);
    must(before === undefined || before === candidate, () =>
      this.say(`${voter} voted for both ${before} and ${candidate} in term ${term}`),
    );
    this.votes.set(key, candidate);
  }

  private replicated(prevIndex: LogIndex, prevTerm: Term, entries: readonly Entry[]): void {
    let previous = prevTerm;
    for (const entry of entries) {
      const content = `${previous}:${entry.type}:${hashOf(entry.data)}`;
      const key = `${entry.index}:${entry.term}`;
      const known = this.entries.get(key);
      must(known === undefined || known === content, () => this.say(`two entries of index and term ${key}`));
      this.entries.set(key, content);
      previous = entry.term;
    }
    must(entries.length === 0 || entries[0]?.index === prevIndex + 1, () => this.say('append with a gap'));
  }

  /** Looks at a member after an event that may have changed it. `state` null: its group has one that was made to differ. */
  observe(raft: RaftCore, state: Digested | null): void {
    const mark = this.watermarkOf(raft.self);
    this.checkAcknowledged(raft, mark);
    const led = raft.role === 'leader';
    const { term, commitIndex: commit, appliedIndex: applied } = raft;
    const before = mark.core === raft ? mark : undefined;
    const isNews =
      before?.term !== term || before.commit !== commit || before.applied !== applied || before.led !== led;
    if (!isNews) {
      mark.configuration = raft.configuration;
      return;
    }
    this.checkLeader(raft);
    this.checkMonotonic(raft, before);
    this.checkOwnTerm(raft, before);
    this.checkCommitted(raft, before);
    if (before?.applied !== applied && state !== null) this.checkDigest(raft, textOf(state));
    const { configuration } = raft;
    const { acknowledged } = mark;
    this.watermarks.set(raft.self, { core: raft, term, commit, applied, led, configuration, acknowledged });
  }

  private watermarkOf(member: ReplicaId): Watermark {
    const known = this.watermarks.get(member);
    if (known !== undefined) return known;
    const zero = 0 as LogIndex;
    const unknown = { core: null, led: false, configuration: null };
    const created = { ...unknown, term: 0 as Term, commit: zero, applied: zero, acknowledged: zero };
    this.watermarks.set(member, created);
    return created;
  }

  private acknowledge(member: ReplicaId, index: LogIndex): void {
    const mark = this.watermarkOf(member);
    if (index > mark.acknowledged) mark.acknowledged = index;
  }

  private checkAcknowledged(raft: RaftCore, mark: Watermark): void {
    const { lastIndex } = raft;
    if (lastIndex >= mark.acknowledged) return;
    must(mark.core === raft, () =>
      this.say(`${raft.self} starts with a log up to ${lastIndex}, and had acknowledged ${mark.acknowledged}`),
    );
    mark.acknowledged = lastIndex;
  }

  private checkLeader(raft: RaftCore): void {
    if (raft.role !== 'leader') return;
    const known = this.leaders.get(raft.term);
    must(known === undefined || known === raft.self, () =>
      this.say(`term ${raft.term} has leaders ${known} and ${raft.self}`),
    );
    if (known !== undefined) return;
    this.leaders.set(raft.term, raft.self);
    this.leaderChanges++;
    for (let index = raft.baseIndex + 1; index <= this.committedTo; index++) {
      if ((this.committedIn[index] ?? raft.term) > raft.term) continue;
      must(index <= raft.lastIndex, () =>
        this.say(`leader ${raft.self} of term ${raft.term} ends at ${raft.lastIndex}, committed to ${index}`),
      );
      const held = raft.termAt(index as LogIndex);
      const agreed = this.committed[index];
      must(agreed === undefined || String(held) === agreed, () =>
        this.say(`leader ${raft.self} lacks committed entry ${index} of term ${agreed}, has term ${held}`),
      );
    }
  }

  private checkMonotonic(raft: RaftCore, before: Watermark | undefined): void {
    const promised = this.promised.get(raft.self) ?? 0;
    must(raft.term >= promised, () => this.say(`${raft.self}: term fell to ${raft.term}, it had sent ${promised}`));
    must(raft.appliedIndex <= raft.commitIndex, () =>
      this.say(`${raft.self}: applied ${raft.appliedIndex} beyond commit ${raft.commitIndex}`),
    );
    must(raft.baseIndex <= raft.appliedIndex, () =>
      this.say(`${raft.self}: its log begins after ${raft.baseIndex}, applied ${raft.appliedIndex}`),
    );
    must(raft.commitIndex <= raft.lastIndex, () =>
      this.say(`${raft.self}: commit ${raft.commitIndex} beyond last ${raft.lastIndex}`),
    );
    must(before === undefined || (raft.commitIndex >= before.commit && raft.appliedIndex >= before.applied), () =>
      this.say(`${raft.self}: commit or applied fell`),
    );
  }

  private checkOwnTerm(raft: RaftCore, before: Watermark | undefined): void {
    if (raft.role !== 'leader' || before?.term !== raft.term || raft.commitIndex === before.commit) return;
    if (!before.led) return;
    must(raft.termAt(raft.commitIndex) === raft.term, () =>
      this.say(`leader ${raft.self} of term ${raft.term} committed entry ${raft.commitIndex} of an earlier term`),
    );
  }

  private checkCommitted(raft: RaftCore, before: Watermark | undefined): void {
    const from = Math.max(raft.baseIndex + 1, (before?.commit ?? 0) + 1);
    for (let index = from; index <= raft.commitIndex; index++) {
      const held = String(raft.termAt(index as LogIndex));
      const agreed = this.committed[index];
      must(agreed === undefined || agreed === held, () =>
        this.say(`index ${index} committed in term ${agreed}, and on ${raft.self} in term ${held}`),
      );
      this.committed[index] = held;
      this.committedIn[index] ??= raft.term;
      if (index > this.committedTo) this.checkOnDisks(raft, before, index as LogIndex, held);
    }
    if (raft.commitIndex > this.committedTo) this.committedTo = raft.commitIndex;
  }

  /** By the configuration that was in force: when it changed in the same event, the entry may have come before that. */
  private checkOnDisks(raft: RaftCore, before: Watermark | undefined, index: LogIndex, held: string): void {
    const lacking = this.lackingHalf(raft.configuration, index, held);
    const old = before?.core === raft ? before.configuration : null;
    if (lacking === null || (old !== null && this.lackingHalf(old, index, held) === null)) return;
    must(false, () =>
      this.say(`entry ${index} of term ${held} was committed, and is on the disks of ${lacking.join(' and ')} only`),
    );
  }

  /** Who has the entry, of a half of the configuration that has no majority with it. */
  private lackingHalf(configuration: Configuration, index: LogIndex, held: string): readonly ReplicaId[] | null {
    for (const half of [configuration.voters, configuration.votersOutgoing]) {
      const holders = half.filter((voter) => {
        const found = this.diskOf(voter)?.termAt(index) ?? null;
        return found === 'covered' || String(found) === held;
      });
      if (half.length > 0 && holders.length <= half.length / 2) return holders;
    }
    return null;
  }

  private checkDigest(raft: RaftCore, digest: string): void {
    const known = this.digests.get(raft.appliedIndex);
    must(known === undefined || known === digest, () =>
      this.say(`${raft.self} at applied index ${raft.appliedIndex} has digest ${digest}, another had ${known}`),
    );
    this.digests.set(raft.appliedIndex, digest);
  }

  private say(what: string): string {
    return `${this.group}: ${what}`;
  }
}

/** A pre-vote speaks of a term that nobody has entered yet. */
const isPreVote = (message: RaftMessage): boolean =>
  message.kind === 'preVoteRequest' || message.kind === 'preVoteResponse';

/** FNV-1a, 32 bits (Fowler, Noll and Vo): to tell contents apart, not to protect them. */
export function hashOf(data: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

const textOf = (state: Digested): string =>
  state.level === undefined ? state.digest() : `${state.digest()} level ${state.level}`;
