import { assert } from '../base/assert';
import { type LogIndex, logIndex, noReplica as nobody, type ReplicaId, type Term, term } from '../base/ids';
import type { Configuration, Entry, HardState, RaftMessage, SnapshotMeta } from '../protocol/raft-messages';
import { dispatch } from './dispatch';
import { RaftLog } from './log';
import { Progress } from './progress';
import { committedIndex, isQuorum, voteResult, votersOf } from './quorum';
import { LeaderReads } from './reads';
import type { ProposeResult, RaftCore, RaftOptions, Ready, Role } from './types';

/** A message this far ahead of the member's term is not believed. */
const termLeapMax = 2 ** 32;

interface Write {
  readonly number: number;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  readonly term: Term;
  readonly vote: ReplicaId;
}

/**
 * The state of one member of a Raft group and its plain transitions (Ongaro and Ousterhout 2014; Ongaro's thesis 2014 for
 * pre-vote, 9.6, check-quorum, 6.2, and read index, 6.4). What a message means to a role is in the dispatch table's cells
 * (election, replication); they act through the methods here. Used by a single host, synchronously.
 *
 *  1. Term never falls; within a term the vote is given once; both leave in one hard state before an answer that says so.
 *  2. Commit and applied never fall; a committed entry is never cut from the log.
 *  3. A leader commits by counting only entries of its own term (Raft, 5.4.2), and counts itself only for entries that
 *     its own store has confirmed.
 *  4. What promises durability waits in `deferred` for the write that makes it true.
 *  5. Only voters of the configuration are counted.
 */
export class Raft implements RaftCore {
  readonly self: ReplicaId;
  readonly log: RaftLog;
  role: Role;
  term: Term;
  vote: ReplicaId;
  leader: ReplicaId = nobody;
  commitIndex: LogIndex;
  appliedIndex: LogIndex;
  configuration: Configuration;
  readonly progress = new Map<ReplicaId, Progress>();
  votes = new Map<ReplicaId, boolean>();
  readonly reads = new LeaderReads();
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** Ticks since a quorum was last heard; a leader's. */
  private quorumAge = 0;
  private recentlyHeard = new Set<ReplicaId>();
  private patienceTicks = 0;
  /** Of the entries this leader appended; 0 for everybody else. */
  uncommittedBytes = 0;
  private firstOwnIndex = logIndex(0);

  private outbox: RaftMessage[] = [];
  private deferred: RaftMessage[] = [];
  private answeredReads: { context: number; index: LogIndex | null }[] = [];
  private snapshotTo: ReplicaId[] = [];
  /** Reads forwarded to the leader, with the ticks they have waited. */
  readonly forwarded = new Map<number, number>();

  private handedIndex: LogIndex;
  private handed: HardState;
  private committedHanded: LogIndex;
  private writes: Write[] = [];
  private lastWrite = 0;
  /** The write that makes the newest term and vote durable; 0: they are. */
  private stateWrite = 0;
  /** The write that makes the candidate's vote for itself durable; 0: none is awaited. */
  private selfVoteWrite = 0;
  private selfVoteDue = false;

  constructor(readonly options: RaftOptions) {
    const { self, hardState, baseIndex, baseTerm, entries, configuration, appliedIndex } = options;
    this.self = self;
    this.log = new RaftLog(baseIndex, baseTerm, entries);
    this.term = hardState?.term ?? term(Math.max(baseTerm, this.log.lastTerm));
    this.vote = hardState?.vote ?? nobody;
    this.configuration = configuration;
    this.commitIndex = logIndex(Math.max(hardState?.commit ?? 0, appliedIndex, baseIndex));
    this.appliedIndex = appliedIndex;
    assert(
      this.commitIndex <= this.log.lastIndex,
      `commit ${this.commitIndex} beyond the log's end ${this.log.lastIndex}`,
    );
    assert(appliedIndex >= baseIndex, `applied ${appliedIndex} before the log's base ${baseIndex}`);
    assert(this.term >= this.log.lastTerm, `term ${this.term} is below the log's ${this.log.lastTerm}`);
    this.handedIndex = this.log.lastIndex;
    this.handed = this.hardState();
    this.committedHanded = appliedIndex;
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
  get leaderIsConfirmed(): boolean {
    return this.role === 'leader' && (this.quorumAge < this.options.electionTicks || this.isAlone());
  }

  termAt(index: LogIndex): Term | null {
    return this.log.termAt(index);
  }

  // Surface

  tick(): void {
    for (const [context, waited] of this.forwarded) {
      if (waited >= this.options.electionTicks) this.refuseForwarded(context);
      else this.forwarded.set(context, waited + 1);
    }
    if (this.role === 'leader') this.tickLeader();
    else this.tickFollower();
  }

  step(message: RaftMessage): void {
    if (message.to !== this.self || message.from === this.self) return;
    if (message.term > this.term + termLeapMax) return;
    dispatch(this, message);
  }

  propose(data: Uint8Array): ProposeResult {
    if (this.role !== 'leader') return { ok: false, reason: 'notLeader' };
    if (this.uncommittedBytes > 0 && this.uncommittedBytes + data.length > this.options.uncommittedBytesMax) {
      return { ok: false, reason: 'busy' };
    }
    const entry = this.appendOwn('command', data);
    return { ok: true, index: entry.index, term: entry.term };
  }

  readIndex(context: number): void {
    if (this.role === 'leader') this.reads.add(this.self, context);
    else if (this.leader === nobody) this.answeredReads.push({ context, index: null });
    else {
      this.forwarded.set(context, 0);
      this.send({ kind: 'readIndexRequest', ...this.header(this.leader), readContext: context });
    }
  }

  campaign(): void {
    if (this.role !== 'leader' && this.isVoter()) this.startElection(false);
  }

  hasReady(): boolean {
    return (
      this.outbox.length > 0 ||
      this.deferred.length > 0 ||
      this.answeredReads.length > 0 ||
      this.snapshotTo.length > 0 ||
      this.log.lastIndex > this.handedIndex ||
      this.stateChanged() ||
      this.selfVoteDue ||
      this.wantsAppends() ||
      (this.reads.isWaiting && this.committedInTerm()) ||
      this.applicable() > this.committedHanded
    );
  }

  ready(): Ready {
    if (this.role === 'leader') this.replicateAll();
    if (this.reads.isWaiting && this.committedInTerm()) this.startReadRound();
    const entries = this.log.slice(logIndex(this.handedIndex + 1), this.log.lastIndex, Number.POSITIVE_INFINITY);
    const hardState = this.stateChanged() ? this.hardState() : null;
    // Nothing leaves under a term or vote that a crash could take back.
    if (hardState !== null || this.stateWrite > 0) {
      this.deferred.unshift(...this.outbox);
      this.outbox = [];
    }
    // A promise about writes that are under way needs one behind them to wait for.
    const promises = this.deferred.length > 0 && this.writes.length > 0;
    const write =
      entries.length > 0 || hardState !== null || this.selfVoteDue || promises
        ? this.startWrite(hardState !== null)
        : 0;
    const committed = this.takeCommitted();
    const ready: Ready = {
      write,
      hardState: write > 0 ? (hardState ?? this.hardState()) : null,
      entries,
      messages: write > 0 ? this.outbox : [...this.outbox, ...this.deferred],
      afterAppend: write > 0 ? this.deferred : [],
      committed,
      snapshotTo: this.snapshotTo,
      reads: this.answeredReads,
    };
    this.handedIndex = this.log.lastIndex;
    this.outbox = [];
    this.deferred = [];
    this.snapshotTo = [];
    this.answeredReads = [];
    return ready;
  }

  appended(write: number): void {
    while (this.writes[0] !== undefined && this.writes[0].number <= write) {
      const done = this.writes.shift() as Write;
      this.log.madeDurable(done.lastIndex, done.lastTerm);
    }
    if (write >= this.stateWrite) this.stateWrite = 0;
    if (this.selfVoteWrite > 0 && write >= this.selfVoteWrite) {
      this.selfVoteWrite = 0;
      if (this.role === 'candidate') this.countVote(this.self, true);
    }
    if (this.role === 'leader') this.advanceCommit();
  }

  applied(index: LogIndex): void {
    assert(index >= this.appliedIndex && index <= this.commitIndex, `applied ${index}, commit ${this.commitIndex}`);
    this.appliedIndex = index;
  }

  truncate(index: LogIndex): void {
    if (index <= this.log.baseIndex) return;
    assert(index <= this.appliedIndex, `truncate ${index} beyond applied ${this.appliedIndex}`);
    this.log.dropThrough(index);
  }

  restore(meta: SnapshotMeta): void {
    assert(meta.index > this.commitIndex, `snapshot ${meta.index} is not ahead of commit ${this.commitIndex}`);
    this.log.reset(meta.index, meta.term);
    this.handedIndex = meta.index;
    this.commitIndex = meta.index;
    this.appliedIndex = meta.index;
    this.committedHanded = meta.index;
    this.configuration = meta.configuration;
    if (meta.term > this.term) this.becomeFollower(meta.term, nobody);
    this.writes = [];
  }

  snapshotFinished(to: ReplicaId, ok: boolean): void {
    const progress = this.progress.get(to);
    if (progress?.state !== 'snapshot') return;
    progress.streaming = false;
    progress.snapshotTicks = 0;
    if (!ok) progress.probe();
  }

  // Roles

  becomeFollower(newTerm: Term, leader: ReplicaId): void {
    assert(newTerm >= this.term, `term falls from ${this.term} to ${newTerm}`);
    if (newTerm > this.term) {
      this.term = newTerm;
      this.vote = nobody;
    }
    this.leaveLeadership();
    this.role = this.restingRole();
    if (leader !== this.leader) for (const context of [...this.forwarded.keys()]) this.refuseForwarded(context);
    this.leader = leader;
    this.votes.clear();
    this.selfVoteWrite = 0;
    this.selfVoteDue = false;
    this.electionElapsed = 0;
    this.drawPatience();
  }

  /** Pre-vote first (thesis, 9.6): the term stays as it is until a quorum would follow. */
  startElection(transfer: boolean): void {
    this.leader = nobody;
    this.votes.clear();
    this.electionElapsed = 0;
    this.drawPatience();
    for (const context of [...this.forwarded.keys()]) this.refuseForwarded(context);
    if (transfer) return this.becomeCandidate(true);
    this.role = 'preCandidate';
    for (const to of this.otherVoters()) {
      this.send({ ...this.candidacy(to), kind: 'preVoteRequest', term: term(this.term + 1) });
    }
    this.countVote(this.self, true);
  }

  becomeCandidate(transfer: boolean): void {
    this.role = 'candidate';
    this.term = term(this.term + 1);
    this.vote = this.self;
    this.votes.clear();
    this.electionElapsed = 0;
    this.drawPatience();
    this.selfVoteDue = true;
    for (const to of this.otherVoters()) this.deferred.push({ ...this.candidacy(to), kind: 'voteRequest', transfer });
  }

  becomeLeader(): void {
    assert(this.role === 'candidate', 'only a candidate becomes leader');
    this.role = 'leader';
    this.leader = this.self;
    this.heartbeatElapsed = 0;
    this.electionElapsed = 0;
    this.quorumAge = 0;
    this.recentlyHeard = new Set([this.self]);
    this.progress.clear();
    this.uncommittedBytes = 0;
    const next = logIndex(this.log.lastIndex + 1);
    this.firstOwnIndex = next;
    for (const member of this.otherMembers())
      this.progress.set(member, new Progress(next, this.options.inflightAppendsMax));
    for (const from of this.votes.keys()) {
      const progress = this.progress.get(from);
      if (progress !== undefined) progress.active = true;
    }
    this.appendOwn('noop', new Uint8Array(0));
  }

  countVote(from: ReplicaId, granted: boolean): void {
    if (!this.votes.has(from)) this.votes.set(from, granted);
    const result = voteResult(this.configuration, this.votes);
    if (result === 'pending') return;
    if (result === 'lost') this.becomeFollower(this.term, nobody);
    else if (this.role === 'preCandidate') this.becomeCandidate(false);
    else this.becomeLeader();
  }

  private leaveLeadership(): void {
    for (const { origin, context } of this.reads.drop()) this.answerRead(origin, context, null);
    this.progress.clear();
    this.snapshotTo = [];
    this.uncommittedBytes = 0;
  }

  // Time

  private tickFollower(): void {
    this.electionElapsed++;
    if (this.electionElapsed < this.patienceTicks || !this.isVoter()) return;
    this.startElection(false);
  }

  private tickLeader(): void {
    this.heartbeatElapsed++;
    this.electionElapsed++;
    this.quorumAge++;
    for (const progress of this.progress.values()) {
      if (
        progress.state === 'snapshot' &&
        !progress.streaming &&
        ++progress.snapshotTicks > this.options.electionTicks
      ) {
        progress.probe();
      }
    }
    if (this.electionElapsed >= this.options.electionTicks && !this.checkQuorum()) return;
    if (this.heartbeatElapsed >= this.options.heartbeatTicks) {
      this.heartbeatElapsed = 0;
      this.sendHeartbeats(this.reads.latestRound);
    }
  }

  /** A leader that no quorum answers any more gives up (thesis, 6.2). */
  private checkQuorum(): boolean {
    this.electionElapsed = 0;
    if (!this.heardQuorum()) {
      this.becomeFollower(this.term, nobody);
      return false;
    }
    for (const progress of this.progress.values()) progress.active = false;
    return true;
  }

  private heardQuorum(): boolean {
    const active = new Set([this.self]);
    for (const [member, progress] of this.progress) if (progress.active) active.add(member);
    return isQuorum(this.configuration, active);
  }

  heardFrom(member: ReplicaId): Progress | undefined {
    const progress = this.progress.get(member);
    if (progress === undefined) return undefined;
    progress.active = true;
    this.recentlyHeard.add(member);
    if (isQuorum(this.configuration, this.recentlyHeard)) {
      this.quorumAge = 0;
      this.recentlyHeard = new Set([this.self]);
    }
    return progress;
  }

  // Replication

  private appendOwn(type: Entry['type'], data: Uint8Array): Entry {
    const entry: Entry = { term: this.term, index: logIndex(this.log.lastIndex + 1), type, data };
    this.log.append(entry);
    this.uncommittedBytes += data.length;
    return entry;
  }

  private wantsAppends(): boolean {
    if (this.role !== 'leader') return false;
    for (const progress of this.progress.values()) {
      if (!progress.paused && progress.next <= this.log.lastIndex) return true;
    }
    return false;
  }

  private replicateAll(): void {
    for (const [to, progress] of this.progress) {
      while (!progress.paused && progress.next <= this.log.lastIndex) this.sendAppend(to, progress);
    }
  }

  /** One append, possibly empty; or the request for a snapshot when what comes next is gone from the log. */
  sendAppend(to: ReplicaId, progress: Progress): void {
    const prevIndex = logIndex(progress.next - 1);
    const prevTerm = this.log.termAt(prevIndex);
    if (prevTerm === null) {
      progress.awaitSnapshot();
      this.snapshotTo.push(to);
      return;
    }
    const entries = this.log.slice(progress.next, this.log.lastIndex, this.options.appendBytesMax);
    const commit = this.commitIndex;
    this.send({ kind: 'appendRequest', ...this.header(to), prevIndex, prevTerm, commit, entries });
    progress.sent(logIndex(prevIndex + entries.length), entries.length);
  }

  sendHeartbeats(round: number): void {
    for (const [to, progress] of this.progress) {
      const commit = logIndex(Math.min(progress.match, this.commitIndex));
      this.send({ kind: 'heartbeatRequest', ...this.header(to), commit, readContext: round });
    }
  }

  advanceCommit(): void {
    const match = (member: ReplicaId): LogIndex =>
      member === this.self ? this.log.durableIndex : (this.progress.get(member)?.match ?? logIndex(0));
    const index = committedIndex(this.configuration, match);
    if (index <= this.commitIndex || this.log.termAt(index) !== this.term) return;
    for (const entry of this.log.slice(
      logIndex(Math.max(this.commitIndex + 1, this.firstOwnIndex)),
      index,
      Number.POSITIVE_INFINITY,
    )) {
      this.uncommittedBytes -= entry.data.length;
    }
    this.commitTo(index);
    for (const [to, progress] of this.progress) if (!progress.paused) this.sendAppend(to, progress);
  }

  commitTo(index: LogIndex): void {
    if (index <= this.commitIndex) return;
    assert(index <= this.log.lastIndex, `commit ${index} beyond the log's end ${this.log.lastIndex}`);
    this.commitIndex = index;
  }

  /** A follower's log follows its leader's (Raft, 5.3). `prevIndex` was found to match. */
  follow(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const held = this.log.termAt(entry.index);
      if (held === entry.term) continue;
      if (held !== null) {
        assert(entry.index > this.commitIndex, `entry ${entry.index} conflicts below commit ${this.commitIndex}`);
        this.log.cutFrom(entry.index);
        if (this.handedIndex >= entry.index) this.handedIndex = logIndex(entry.index - 1);
      }
      this.log.append(entry);
    }
  }

  // Reads

  committedInTerm(): boolean {
    return this.role === 'leader' && this.log.termAt(this.commitIndex) === this.term;
  }

  private startReadRound(): void {
    const round = this.reads.startRound(this.commitIndex, this.self);
    if (this.isAlone()) this.settleReads(this.reads.take(round));
    else this.sendHeartbeats(round);
  }

  readsConfirmedBy(from: ReplicaId, round: number) {
    return this.reads.acknowledge(from, round, (members) => isQuorum(this.configuration, members));
  }

  settleReads(safe: readonly { origin: ReplicaId; context: number; index: LogIndex | null }[]): void {
    for (const { origin, context, index } of safe) this.answerRead(origin, context, index);
  }

  answerRead(origin: ReplicaId, context: number, index: LogIndex | null): void {
    if (origin === this.self) this.answeredReads.push({ context, index });
    else this.send({ kind: 'readIndexResponse', ...this.header(origin), readContext: context, index });
  }

  private refuseForwarded(context: number): void {
    this.forwarded.delete(context);
    this.answeredReads.push({ context, index: null });
  }

  readAnswered(context: number, index: LogIndex | null): void {
    if (this.forwarded.delete(context)) this.answeredReads.push({ context, index });
  }

  // Messages

  header(to: ReplicaId): { from: ReplicaId; to: ReplicaId; term: Term } {
    return { from: this.self, to, term: this.term };
  }

  send(message: RaftMessage): void {
    this.outbox.push(message);
  }

  /** Once everything up to now is durable. */
  sendDurably(message: RaftMessage): void {
    this.deferred.push(message);
  }

  private candidacy(to: ReplicaId) {
    return { ...this.header(to), lastIndex: this.log.lastIndex, lastTerm: this.log.lastTerm };
  }

  // Membership

  isVoter(): boolean {
    return votersOf(this.configuration).includes(this.self);
  }
  isAlone(): boolean {
    return isQuorum(this.configuration, new Set([this.self]));
  }
  private otherVoters(): ReplicaId[] {
    return votersOf(this.configuration).filter((voter) => voter !== this.self);
  }
  private otherMembers(): ReplicaId[] {
    const members = new Set([...votersOf(this.configuration), ...this.configuration.learners]);
    members.delete(this.self);
    return [...members];
  }
  private restingRole(): Role {
    return this.configuration.learners.includes(this.self) ? 'learner' : 'follower';
  }

  /** Heard its leader so recently that it will not help to depose it (thesis, 6.2). */
  inLease(): boolean {
    return this.leader !== nobody && (this.role === 'leader' || this.electionElapsed < this.options.electionTicks);
  }

  private drawPatience(): void {
    const { electionTicks, random } = this.options;
    this.patienceTicks = random.between(electionTicks, 2 * electionTicks - 1);
  }

  // Writes

  private hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.commitIndex };
  }

  /** The commit index alone is not worth a write: it travels with the next one. */
  private stateChanged(): boolean {
    return this.handed.term !== this.term || this.handed.vote !== this.vote;
  }

  private startWrite(holdsNewState: boolean): number {
    const number = ++this.lastWrite;
    const { lastIndex, lastTerm } = this.log;
    this.writes.push({ number, lastIndex, lastTerm, term: this.term, vote: this.vote });
    this.handed = this.hardState();
    if (holdsNewState) this.stateWrite = number;
    if (this.selfVoteDue) {
      this.selfVoteDue = false;
      this.selfVoteWrite = number;
    }
    return number;
  }

  private applicable(): LogIndex {
    return logIndex(Math.min(this.commitIndex, this.log.durableIndex));
  }

  private takeCommitted(): Entry[] {
    const to = this.applicable();
    if (to <= this.committedHanded) return [];
    const entries = this.log.slice(logIndex(this.committedHanded + 1), to, Number.POSITIVE_INFINITY);
    this.committedHanded = to;
    return entries;
  }
}
