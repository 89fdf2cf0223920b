import { assert, present } from '../base/assert';
import { type LogIndex, logIndex, noReplica as nobody, type ReplicaId, type Term, term } from '../base/ids';
import type { Configuration, Entry, RaftMessage, SnapshotMeta } from '../protocol/raft-messages';
import { Configurations, isJoint } from './configurations';
import { dispatch } from './dispatch';
import { Leadership } from './leadership';
import { RaftLog } from './log';
import { Members } from './members';
import { Output } from './output';
import { ForwardedReads } from './reads';
import { isSettledAt } from './rest';
import type {
  ChangeResult,
  MembersWanted,
  ProposeResult,
  RaftCore,
  RaftOptions,
  Ready,
  Role,
  TransferResult,
} from './types';

/** A message this far ahead of the member's term is not believed. */
const termLeapMax = 2 ** 32;

/**
 * The state of one member of a Raft group and its transitions between roles (Ongaro and Ousterhout 2014; Ongaro's thesis
 * 2014 for pre-vote, 9.6, check-quorum, 6.2, and read index, 6.4). Used by a single host, synchronously. What a message
 * means to a role is decided in the dispatch table, whose cells (election, replication) act through the methods here;
 * what only a leader has is in Leadership; what leaves, and when, in Output.
 *
 *  1. Term never falls; within a term the vote is given once.
 *  2. Commit and applied never fall; a committed entry is never cut from the log.
 *  3. `leadership` exists exactly while the role is leader.
 *  4. A candidate counts its own vote once that is durable, and others only as voters of the configuration.
 *  5. Every read that was asked for here is answered once, or refused once.
 *  6. The configuration in force is the last one in the log, committed or not (Raft, section 6).
 */
export class Raft implements RaftCore {
  readonly self: ReplicaId;
  readonly log: RaftLog;
  readonly configurations: Configurations;
  readonly output: Output;
  role: Role;
  term: Term;
  vote: ReplicaId;
  leader: ReplicaId = nobody;
  commitIndex: LogIndex;
  appliedIndex: LogIndex;
  members: Members;
  leadership: Leadership | null = null;
  electionElapsed = 0;
  private patienceTicks = 0;
  private readonly votes = new Map<ReplicaId, boolean>();
  private readonly forwarded = new ForwardedReads();

  constructor(readonly options: RaftOptions) {
    const { self, hardState, baseIndex, baseTerm, entries, configuration, appliedIndex } = options;
    this.self = self;
    this.log = new RaftLog(baseIndex, baseTerm, entries);
    this.term = hardState?.term ?? this.log.lastTerm;
    this.vote = hardState?.vote ?? nobody;
    this.configurations = new Configurations(configuration, appliedIndex, entries);
    this.members = new Members(this.configurations.current, self);
    this.commitIndex = logIndex(Math.max(hardState?.commit ?? 0, appliedIndex, baseIndex));
    this.appliedIndex = appliedIndex;
    const { lastIndex, lastTerm } = this.log;
    assert(this.commitIndex <= lastIndex, () => `commit ${this.commitIndex} beyond the log's end ${lastIndex}`);
    assert(appliedIndex >= baseIndex, () => `applied ${appliedIndex} before the log's base ${baseIndex}`);
    assert(this.term >= lastTerm, () => `term ${this.term} is below the log's ${lastTerm}`);
    this.output = new Output(this, appliedIndex);
    this.role = this.restingRole();
    this.drawPatience();
  }

  get lastIndex(): LogIndex {
    return this.log.lastIndex;
  }
  get baseIndex(): LogIndex {
    return this.log.baseIndex;
  }
  get logBytes(): number {
    return this.log.bytes;
  }
  get configuration(): Configuration {
    return this.members.configuration;
  }
  get isChanging(): boolean {
    return isJoint(this.configurations.current) || this.configurations.index > this.appliedIndex;
  }
  get transferee(): ReplicaId {
    return this.leadership?.transferee ?? nobody;
  }
  get leaderIsConfirmed(): boolean {
    return this.leadership?.isConfirmed ?? false;
  }
  /** For tests and the simulator: 0 once everything that was proposed here is committed. */
  get uncommittedBytes(): number {
    return this.leadership?.uncommittedBytes ?? 0;
  }

  termAt(index: LogIndex): Term | null {
    return this.log.termAt(index);
  }

  get isIdle(): boolean {
    return this.leadership?.isIdle ?? false;
  }

  isLevelWith(leader: ReplicaId, termNow: Term, index: LogIndex): boolean {
    if (!this.isResting || this.leader !== leader || this.term !== termNow || this.forwarded.count > 0) return false;
    return isSettledAt(this, index);
  }

  // Surface

  resume(silentTicksOf: (member: ReplicaId) => number): void {
    if (this.leadership !== null) this.leadership.resume(silentTicksOf);
    else if (this.leader !== nobody) {
      this.electionElapsed = Math.min(silentTicksOf(this.leader), this.options.electionTicks);
    }
  }

  beat(): void {
    this.leadership?.beat();
  }

  tick(): void {
    for (const context of this.forwarded.tick(this.options.electionTicks)) this.output.answerRead(context, null);
    if (this.leadership !== null) this.leadership.tick();
    else if (++this.electionElapsed >= this.patienceTicks && this.mayCampaign) this.startElection();
  }

  step(message: RaftMessage): void {
    if (message.to !== this.self || message.from === this.self) return;
    if (message.term > this.term + termLeapMax) return;
    dispatch(this, message);
  }

  propose(data: Uint8Array): ProposeResult {
    return this.leadership?.propose(data) ?? { ok: false, reason: 'notLeader' };
  }

  changeMembers(wanted: MembersWanted, context: Uint8Array): ChangeResult {
    return this.leadership?.changeMembers(wanted, context) ?? { ok: false, reason: 'notLeader' };
  }

  transferLeadership(to: ReplicaId): TransferResult {
    return this.leadership?.transferTo(to) ?? { ok: false, reason: 'notLeader' };
  }

  readIndex(context: number): void {
    if (this.leadership !== null) this.leadership.reads.add(this.self, context);
    else if (this.leader === nobody) this.output.answerRead(context, null);
    else {
      this.forwarded.add(context);
      this.send({ kind: 'readIndexRequest', ...this.header(this.leader), readContext: context });
    }
  }

  campaign(): void {
    if (this.role !== 'leader' && this.mayCampaign) this.startElection();
  }

  hasReady(): boolean {
    const { leadership } = this;
    return this.output.hasAny || (leadership !== null && (leadership.wantsAppends || leadership.wantsReadRound));
  }

  ready(): Ready {
    this.leadership?.replicateAll();
    if (this.leadership?.wantsReadRound === true) this.leadership.startReadRound();
    return this.output.take();
  }

  appended(write: number): void {
    this.output.appended(write);
    if (this.role === 'candidate' && this.output.stateIsDurable) this.countVote(this.self, true);
    this.leadership?.advanceCommit();
  }

  applied(index: LogIndex): void {
    assert(
      index >= this.appliedIndex && index <= this.commitIndex,
      () => `applied ${index}, commit ${this.commitIndex}`,
    );
    this.appliedIndex = index;
  }

  truncate(index: LogIndex): void {
    if (index <= this.log.baseIndex) return;
    assert(index <= this.appliedIndex, () => `truncate ${index} beyond applied ${this.appliedIndex}`);
    this.log.dropThrough(index);
  }

  restore(meta: SnapshotMeta): void {
    assert(meta.index > this.commitIndex, () => `snapshot ${meta.index} is not ahead of commit ${this.commitIndex}`);
    assert(
      this.termAt(meta.index) !== meta.term,
      () => `snapshot ${meta.index} would drop a log that goes on from there`,
    );
    assert(this.role !== 'leader', () => `the leader of term ${this.term} is sent a snapshot of ${meta.index}`);
    this.log.reset(meta.index, meta.term);
    this.output.restored(meta.index);
    this.commitIndex = meta.index;
    this.appliedIndex = meta.index;
    this.configurations.restored(meta.configuration, meta.index);
    this.members = new Members(meta.configuration, this.self);
    if (meta.term > this.term) this.becomeFollower(meta.term);
    else if (this.isResting || !this.members.selfVotes) this.role = this.restingRole();
    if (this.leader !== nobody) {
      this.sendDurably({ kind: 'snapshotInstalled', ...this.header(this.leader), index: meta.index });
    }
  }

  snapshotFinished(to: ReplicaId, _ok: boolean): void {
    const progress = this.leadership?.progress.get(to);
    if (progress?.state === 'snapshot') progress.snapshotEnded();
  }

  /** In `newTerm`, or in the same one; with a leader, if one is known. */
  becomeFollower(newTerm: Term, leader: ReplicaId = nobody): void {
    assert(newTerm >= this.term, () => `term falls from ${this.term} to ${newTerm}`);
    if (newTerm > this.term) {
      this.term = newTerm;
      this.vote = nobody;
    }
    this.endLeadership();
    this.role = this.restingRole();
    this.follow(leader);
    this.startWaiting();
  }

  /** Asks first whether it could win (thesis, 9.6): the term stays as it is until a quorum would follow. */
  startElection(): void {
    this.role = 'preCandidate';
    this.follow(nobody);
    this.startWaiting();
    for (const to of this.members.otherVoters) {
      this.send({ ...this.candidacy(to), kind: 'preVoteRequest', term: term(this.term + 1) });
    }
    this.countVote(this.self, true);
  }

  /** `transfer`: by order of the leader, whom the others still hear. The own vote counts once it is durable. */
  becomeCandidate(transfer: boolean): void {
    this.role = 'candidate';
    this.term = term(this.term + 1);
    this.vote = this.self;
    this.follow(nobody);
    this.startWaiting();
    for (const to of this.members.otherVoters) {
      this.sendDurably({ ...this.candidacy(to), kind: 'voteRequest', transfer });
    }
  }

  private becomeLeader(): void {
    assert(this.role === 'candidate', 'only a candidate becomes leader');
    this.role = 'leader';
    this.leader = this.self;
    this.leadership = this.newLeadership(this.votes);
  }

  protected newLeadership(votes: ReadonlyMap<ReplicaId, boolean>): Leadership {
    return new Leadership(this, votes);
  }

  countVote(from: ReplicaId, granted: boolean): void {
    if (!this.votes.has(from)) this.votes.set(from, granted);
    const result = this.members.voteResult(this.votes);
    if (result === 'lost') this.becomeFollower(this.term);
    else if (result === 'won' && this.role === 'preCandidate') this.becomeCandidate(false);
    else if (result === 'won') this.becomeLeader();
    if (!granted) this.hurry();
  }

  /** Nobody leads: the next attempt need not wait for a whole time-out, only for candidates that split the votes to part. */
  hurry(): void {
    const soon = this.electionElapsed + this.options.random.between(1, this.options.electionTicks);
    this.patienceTicks = Math.min(this.patienceTicks, soon);
  }

  leading(): Leadership {
    return present(this.leadership, 'leadership of a leader');
  }

  private endLeadership(): void {
    const { leadership } = this;
    this.leadership = null;
    leadership?.end();
  }

  /** A read that was passed on to one leader is not another's to answer. */
  private follow(leader: ReplicaId): void {
    if (leader !== this.leader) for (const context of this.forwarded.drop()) this.output.answerRead(context, null);
    this.leader = leader;
  }

  /** A new wait begins, for a leader or for votes. */
  private startWaiting(): void {
    this.votes.clear();
    this.electionElapsed = 0;
    this.drawPatience();
  }

  private drawPatience(): void {
    const { electionTicks, random } = this.options;
    this.patienceTicks = random.between(electionTicks, 2 * electionTicks - 1);
  }

  /** Heard its leader so recently that it will not help to depose it (thesis, 6.2). A leader checks its quorum itself. */
  inLease(): boolean {
    return this.leader !== nobody && (this.role === 'leader' || this.electionElapsed < this.options.electionTicks);
  }

  get mayCampaign(): boolean {
    return this.configurations.mayElect(this.self);
  }

  private get isResting(): boolean {
    return this.role === 'follower' || this.role === 'learner';
  }

  private restingRole(): Role {
    return this.members.selfLearns ? 'learner' : 'follower';
  }

  // Log

  /** Makes the log follow a leader's, whose `entries` come after one that was found to match (Raft, 5.3). */
  adopt(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const held = this.log.termAt(entry.index);
      if (held === entry.term) continue;
      if (held !== null) this.cutFrom(entry.index);
      this.append(entry);
    }
  }

  /** Puts a configuration in force as soon as it is in the log (Raft, section 6). */
  append(entry: Entry): void {
    this.log.append(entry);
    if (this.configurations.appended(entry)) this.membersChanged();
  }

  membersChanged(): void {
    this.members = new Members(this.configurations.current, this.self);
    if (this.leadership !== null) this.leadership.membersChanged();
    else if (this.isResting) this.role = this.restingRole();
  }

  private cutFrom(index: LogIndex): void {
    assert(index > this.commitIndex, () => `entry ${index} conflicts, committed to ${this.commitIndex}`);
    this.log.cutFrom(index);
    this.output.cutFrom(index);
    if (this.configurations.cutFrom(index)) this.membersChanged();
  }

  commitTo(index: LogIndex): void {
    if (index <= this.commitIndex) return;
    assert(index <= this.log.lastIndex, () => `commit ${index} beyond the log's end ${this.log.lastIndex}`);
    this.commitIndex = index;
    this.configurations.committed(index);
  }

  /** Of an entry that must be in the log. */
  termOf(index: LogIndex): Term {
    return present(this.log.termAt(index), () => `entry ${index}`);
  }

  // Messages

  header(to: ReplicaId): { from: ReplicaId; to: ReplicaId; term: Term } {
    return { from: this.self, to, term: this.term };
  }

  private candidacy(to: ReplicaId) {
    return { ...this.header(to), lastIndex: this.log.lastIndex, lastTerm: this.log.lastTerm };
  }

  /** Once the term and vote are durable. */
  send(message: RaftMessage): void {
    this.output.send(message);
  }

  /** Once everything up to now is durable. */
  sendDurably(message: RaftMessage): void {
    this.output.sendDurably(message);
  }

  answerRead(origin: ReplicaId, context: number, index: LogIndex | null): void {
    if (origin === this.self) this.output.answerRead(context, index);
    else this.send({ kind: 'readIndexResponse', ...this.header(origin), readContext: context, index });
  }

  forwardedAnswered(context: number, index: LogIndex | null): void {
    if (this.forwarded.answered(context)) this.output.answerRead(context, index);
  }
}
