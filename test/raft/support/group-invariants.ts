import { type LogIndex, logIndex, type ReplicaId, type Term } from '../../../src/base/ids';
import type { Configuration, RaftMessage } from '../../../src/protocol/raft-messages';
import { changeIn } from '../../../src/raft/configurations';
import { votersOf } from '../../../src/raft/quorum';
import { Raft } from '../../../src/raft/raft';
import { fingerprint, type TestNode } from './group-node';

/** A broken promise of the algorithm. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Violation(what);
}

interface Seen {
  readonly term: Term;
  readonly role: string;
  readonly commit: LogIndex;
  readonly last: LogIndex;
  readonly configuration: Configuration;
}

const half = (voters: readonly ReplicaId[]): number => Math.floor(voters.length / 2) + 1;

/**
 * The properties of the Raft paper's figure 3 and what durability adds, checked from outside after every step. What it
 * remembers outlives every crash.
 */
export class Invariants {
  readonly committed: string[] = [];
  leaderCount = 0;
  private readonly leaders = new Map<Term, ReplicaId>();
  private readonly votes = new Map<string, ReplicaId>();
  private readonly promisedTerm = new Map<ReplicaId, Term>();
  private readonly entries = new Map<string, string>();
  private readonly seen = new Map<ReplicaId, Seen>();
  private readonly machine: string[] = [];

  constructor(private readonly nodes: () => Iterable<TestNode>) {}

  /** One vote a term, and no term taken back, over crashes too; every entry is what it was when it was first sent. */
  sent(message: RaftMessage): void {
    const { from, term, kind } = message;
    if (kind === 'preVoteRequest' || kind === 'preVoteResponse') return;
    // A promise may leave late; what counts is that a member which spoke of a term never falls below it.
    if (term > (this.promisedTerm.get(from) ?? 0)) this.promisedTerm.set(from, term);
    if (kind === 'voteRequest') this.voted(from, term, from);
    if (kind === 'voteResponse' && message.granted) this.voted(from, term, message.to);
    if (kind === 'appendRequest') this.checkMatching(message.prevTerm, message.entries);
  }

  private voted(voter: ReplicaId, term: Term, candidate: ReplicaId): void {
    const key = `${voter} in term ${term}`;
    const before = this.votes.get(key) ?? candidate;
    must(before === candidate, `${key} voted for ${before} and ${candidate}`);
    this.votes.set(key, candidate);
  }

  /** Log matching: an entry's index and term fix it and the one before it. */
  private checkMatching(prevTerm: Term, entries: readonly Parameters<typeof fingerprint>[0][]): void {
    let before = prevTerm;
    for (const entry of entries) {
      const key = `${entry.index}@${entry.term}`;
      const content = `${before}>${fingerprint(entry)}`;
      must((this.entries.get(key) ?? content) === content, `two different entries ${key}`);
      this.entries.set(key, content);
      before = entry.term;
    }
  }

  stopped(node: TestNode): void {
    this.seen.delete(node.id);
  }

  check(node: TestNode): void {
    if (!node.up) return;
    const { core } = node;
    const now = {
      term: core.term,
      role: core.role,
      commit: core.commitIndex,
      last: core.lastIndex,
      configuration: core.configuration,
    };
    const before = this.seen.get(node.id);
    this.seen.set(node.id, now);
    must(core.term >= (this.promisedTerm.get(node.id) ?? 0), `${node.id} forgot a term it had spoken of`);
    if (before !== undefined) this.checkMonotonic(node, before, now);
    if (before?.last !== now.last || before.configuration !== now.configuration) this.checkInForce(node);
    this.checkCommitted(node, before?.commit ?? 0);
    if (core.role === 'leader') this.checkLeader(node);
  }

  private checkMonotonic({ id, core }: TestNode, before: Seen, now: Seen): void {
    must(now.term >= before.term, `${id}: the term fell`);
    must(now.commit >= before.commit, `${id}: the commit index fell`);
    const isSameOffice = before.role === 'leader' && now.role === 'leader' && before.term === now.term;
    if (!isSameOffice) return;
    must(now.last >= before.last, `${id}: a leader lost entries of its own log`);
    // Section 5.4.2: what a leader commits ends in an entry of its own term.
    const isOwn = now.commit === before.commit || core.termAt(now.commit) === now.term;
    must(isOwn, `leader ${id} of term ${now.term} committed ${now.commit} of term ${core.termAt(now.commit)}`);
  }

  /** Raft, section 6: the last configuration in the log, whether it is committed or not. */
  private checkInForce({ id, core }: TestNode): void {
    if (!(core instanceof Raft) || core.baseIndex === core.lastIndex) return;
    const entries = core.log.slice(logIndex(core.baseIndex + 1), core.lastIndex, Number.POSITIVE_INFINITY);
    const last = entries.filter(({ type }) => type === 'config').at(-1);
    if (last === undefined) return;
    const [held, inForce] = [changeIn(last).configuration, core.configuration].map((each) => JSON.stringify(each));
    must(held === inForce, `${id}: ${inForce} is in force, the log says ${held}`);
  }

  /** A new voter lacks no more than one append holds (thesis, 4.2.1). An entry weighs 16 bytes at least. */
  checkPromoted(leader: TestNode, before: Configuration, appendBytesMax: number): void {
    for (const node of this.nodes()) {
      const { voters } = leader.core.configuration;
      if (!voters.includes(node.id) || before.voters.includes(node.id)) continue;
      const lag = leader.core.lastIndex - 1 - node.diskLast;
      must(before.learners.includes(node.id), `${node.id} votes without having been a learner`);
      must(lag * 16 <= appendBytesMax, `${node.id} becomes a voter ${lag} entries behind`);
    }
  }

  /** Thesis, 3.10: leadership is handed to whoever has everything. One entry may have come since that was decided. */
  checkHandedOver(from: TestNode | undefined, to: TestNode | undefined): void {
    if (from?.up !== true || to === undefined) return;
    must(to.diskLast >= from.core.lastIndex - 1, `${from.id} hands over to ${to.id}, which has ${to.diskLast}`);
    must(votersOf(from.core.configuration).includes(to.id), `${from.id} hands over to ${to.id}, which does not vote`);
  }

  /** Election safety and leader completeness. */
  private checkLeader({ id, core }: TestNode): void {
    const known = this.leaders.get(core.term);
    must((known ?? id) === id, `term ${core.term} has leaders ${known} and ${id}`);
    if (known !== undefined) return;
    this.leaders.set(core.term, id);
    this.leaderCount++;
    for (let index = core.baseIndex; index <= this.committed.length; index++) {
      if (index === 0) continue;
      must(this.termOf(index) === core.termAt(index as LogIndex), `leader ${id} lacks committed entry ${index}`);
    }
  }

  /** State machine safety, and that what is committed lies on the disks of a majority of the voters. */
  private checkCommitted(node: TestNode, from: number): void {
    const { core, id } = node;
    must(core.commitIndex <= core.lastIndex, `${id}: commit beyond its log`);
    for (let index = Math.max(from, core.baseIndex) + 1; index <= core.commitIndex; index++) {
      const held = core.termAt(index as LogIndex);
      if (index <= this.committed.length) {
        must(this.termOf(index) === held, `${id}: committed ${index} of term ${held}, not of ${this.termOf(index)}`);
      } else {
        this.checkDurable(index as LogIndex, held, core.term, core.configuration);
        this.committed.push(String(held));
      }
    }
  }

  /** In every configuration in force: that of the member which committed first. */
  private checkDurable(index: LogIndex, held: Term | null, inTerm: Term, inForce: Configuration): void {
    const holders = new Set<ReplicaId>();
    for (const node of this.nodes()) {
      if (node.disk.baseIndex >= index || node.diskTermAt(index) === held) holders.add(node.id);
    }
    for (const voters of [inForce.voters, inForce.votersOutgoing]) {
      const count = voters.filter((voter) => holders.has(voter)).length;
      const isMajority = voters.length === 0 || count >= half(voters);
      must(isMajority, `entry ${index}@${held} committed in term ${inTerm} on ${count} of ${voters.length} disks`);
    }
  }

  private termOf(index: number): number {
    return Number(this.committed[index - 1]);
  }

  /** State machine safety as clients see it: every member applies the same entries. Looks from index `from` on. */
  checkApplied({ id, applied, core }: TestNode, from: number): void {
    must(applied.length <= core.commitIndex, `${id}: applied beyond commit`);
    for (let i = Math.max(0, from - 1); i < applied.length; i++) {
      const content = applied[i] as string;
      const agreed = this.machine[i] ?? content;
      must(agreed === content, `${id}: applied ${content} at ${i + 1}, another applied ${agreed}`);
      this.machine[i] = content;
    }
  }

  checkDisk({ id, disk, diskLast }: TestNode): void {
    const commit = disk.hardState?.commit ?? 0;
    must(commit <= diskLast, `${id}: the disk has commit ${commit} and entries up to ${diskLast}`);
    this.checkMatching(disk.baseTerm, disk.entries);
  }
}
