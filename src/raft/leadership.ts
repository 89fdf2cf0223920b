import { type LogIndex, logIndex, noReplica as nobody, type ReplicaId } from '../base/ids';
import { encode } from '../protocol/codec';
import { type Configuration, configurationChangeCodec, type Entry } from '../protocol/raft-messages';
import { isJoint } from './configurations';
import { sizeOf } from './log';
import { Progress } from './progress';
import { isQuorum } from './quorum';
import type { Raft } from './raft';
import { LeaderReads, type SettledRead } from './reads';
import { isSettledAt } from './rest';
import { Transfer } from './transfer';
import type { ChangeResult, MembersWanted, ProposeResult, TransferResult } from './types';

const noData = new Uint8Array(0);

/**
 * What a member is and does only while it leads one term: made when it is elected, dropped when it steps down. Called by
 * the core and by the leader's cells of the dispatch table.
 *
 *  1. Commits by counting only entries of its own term (Raft, 5.4.2); counts itself only up to what its own store holds.
 *  2. Counts voters only, of both halves of a joint configuration.
 *  3. No read is confirmed before an entry of the own term is committed (thesis, 6.4).
 *  4. A heartbeat's commit index never goes beyond what the receiver is known to match.
 *  5. Steps down once no quorum was heard for an election timeout (thesis, 6.2).
 *  6. A snapshot is only asked for when the follower itself has said that it lacks the log's base.
 *  7. `uncommittedBytes` is the weight of the own-term entries beyond commit: 0 when all are committed.
 *  8. One change of members at a time, each through a joint configuration; one that leaves this member out ends the
 *     leadership, but only once it is committed (Raft, section 6).
 *  9. While leadership is being handed over nothing is proposed (thesis, 3.10).
 */
export class Leadership {
  readonly progress = new Map<ReplicaId, Progress>();
  readonly reads = new LeaderReads();
  uncommittedBytes = 0;
  private transfer: Transfer | null = null;
  private heartbeatElapsed = 0;
  private readonly firstIndex: LogIndex;

  constructor(
    readonly raft: Raft,
    votes: ReadonlyMap<ReplicaId, boolean>,
  ) {
    this.firstIndex = logIndex(raft.log.lastIndex + 1);
    for (const member of raft.members.others) {
      this.progress.set(member, new Progress(this.firstIndex, raft.options));
    }
    for (const voter of votes.keys()) this.heardFrom(voter);
    this.append('noop', noData);
  }

  /** A quorum was heard within the last election timeout. */
  get isConfirmed(): boolean {
    return this.raft.members.isQuorum((member) => this.isRecent(member));
  }

  get transferee(): ReplicaId {
    return this.transfer?.to ?? nobody;
  }

  private isRecent(member: ReplicaId): boolean {
    if (member === this.raft.self) return true;
    return (this.progress.get(member)?.silentTicks ?? Number.POSITIVE_INFINITY) < this.raft.options.electionTicks;
  }

  tick(): void {
    for (const progress of this.progress.values()) progress.silentTicks++;
    if (!this.isConfirmed) {
      this.raft.becomeFollower(this.raft.term);
      return;
    }
    if (this.transfer?.tick(this.raft.options.electionTicks) === 'late') this.transfer = null;
    if (++this.heartbeatElapsed < this.raft.options.heartbeatTicks) return;
    this.beat();
  }

  heardFrom(member: ReplicaId): Progress | undefined {
    const progress = this.progress.get(member);
    if (progress !== undefined) progress.silentTicks = 0;
    return progress;
  }

  // Rest

  /** Nothing is under way, and every other member, heard lately, has all there is. */
  get isIdle(): boolean {
    const { raft } = this;
    const isDone = this.hasCommittedInTerm() && isSettledAt(raft, raft.log.lastIndex) && this.reads.isEmpty;
    if (!isDone || raft.isChanging || this.transfer !== null) return false;
    for (const { state, match, silentTicks } of this.progress.values()) {
      if (state !== 'replicate' || match !== raft.log.lastIndex || silentTicks >= raft.options.electionTicks)
        return false;
    }
    return true;
  }

  resume(silentTicksOf: (member: ReplicaId) => number): void {
    for (const [member, progress] of this.progress) progress.silentTicks = silentTicksOf(member);
  }

  beat(): void {
    this.heartbeatElapsed = 0;
    this.sendHeartbeats(this.reads.latestRound);
  }

  // Entries

  propose(data: Uint8Array): ProposeResult {
    if (this.transfer !== null) return { ok: false, reason: 'transferring' };
    const { uncommittedBytesMax } = this.raft.options;
    if (this.uncommittedBytes > 0 && this.uncommittedBytes + data.length > uncommittedBytesMax) {
      return { ok: false, reason: 'busy' };
    }
    const { index, term } = this.append('command', data);
    return { ok: true, index, term };
  }

  private append(type: Entry['type'], data: Uint8Array): Entry {
    const { log, term } = this.raft;
    const entry: Entry = { term, index: logIndex(log.lastIndex + 1), type, data };
    this.uncommittedBytes += sizeOf(entry);
    this.raft.append(entry);
    return entry;
  }

  get wantsAppends(): boolean {
    for (const progress of this.progress.values()) if (this.wantsAppend(progress)) return true;
    return false;
  }

  private wantsAppend(progress: Progress): boolean {
    return !progress.paused && progress.next <= this.raft.log.lastIndex;
  }

  replicateAll(): void {
    for (const [to, progress] of this.progress) while (this.wantsAppend(progress)) this.sendAppend(to, progress);
  }

  /** One append, possibly empty. If what comes next is gone from the log, a question whether the base is there. */
  sendAppend(to: ReplicaId, progress: Progress): void {
    const { log, options } = this.raft;
    if (progress.next <= log.baseIndex) return this.ask(to, progress);
    this.appendTo(to, progress, log.slice(progress.next, log.lastIndex, options.appendBytesMax));
  }

  /** Whether what was sent has arrived: an append without entries, which is refused if it has not. */
  ask(to: ReplicaId, progress: Progress): void {
    const { log } = this.raft;
    if (progress.next <= log.baseIndex) progress.probe(logIndex(log.baseIndex + 1));
    this.appendTo(to, progress, []);
  }

  private appendTo(to: ReplicaId, progress: Progress, entries: readonly Entry[]): void {
    const prevIndex = logIndex(progress.next - 1);
    const prevTerm = this.raft.termOf(prevIndex);
    const { commitIndex: commit } = this.raft;
    this.raft.send({ kind: 'appendRequest', ...this.raft.header(to), prevIndex, prevTerm, commit, entries });
    let bytes = 0;
    for (const entry of entries) bytes += sizeOf(entry);
    progress.sent(logIndex(prevIndex + entries.length), bytes);
  }

  askSnapshot(to: ReplicaId, progress: Progress): void {
    progress.awaitSnapshot();
    this.raft.output.askSnapshot(to);
  }

  sendHeartbeats(round: number): void {
    for (const [to, progress] of this.progress) {
      const commit = this.heartbeatCommit(progress);
      this.raft.send({ kind: 'heartbeatRequest', ...this.raft.header(to), commit, readContext: round });
    }
  }

  heartbeatCommit(progress: Progress): LogIndex {
    return logIndex(Math.min(progress.match, this.raft.commitIndex));
  }

  // Commit

  advanceCommit(): void {
    const { log, members, commitIndex } = this.raft;
    const index = members.committedIndex((member) => this.matchOf(member));
    if (index <= commitIndex || !this.mayCommit(index)) return;
    this.uncommittedBytes -= log.bytesOf(logIndex(Math.max(commitIndex + 1, this.firstIndex)), index);
    this.raft.commitTo(index);
    for (const [to, progress] of this.progress) if (!progress.paused) this.sendAppend(to, progress);
    this.finishChange();
  }

  /** Entries of earlier terms are committed by one of this term that follows them (Raft, 5.4.2 and figure 8). */
  mayCommit(index: LogIndex): boolean {
    return this.raft.log.termAt(index) === this.raft.term;
  }

  matchOf(member: ReplicaId): LogIndex {
    if (member === this.raft.self) return this.raft.log.durableIndex;
    return this.progress.get(member)?.match ?? logIndex(0);
  }

  // Members

  changeMembers(wanted: MembersWanted, context: Uint8Array): ChangeResult {
    const reason = this.objection(wanted);
    if (reason !== null) return { ok: false, reason };
    const { voters: votersOutgoing } = this.raft.configuration;
    const { index, term } = this.enter({ ...wanted, votersOutgoing }, context);
    return { ok: true, index, term };
  }

  private objection(wanted: MembersWanted): Extract<ChangeResult, { ok: false }>['reason'] | null {
    if (this.transfer !== null) return 'transferring';
    if (this.raft.isChanging) return 'changing';
    if (!this.hasCommittedInTerm()) return 'early';
    const { voters, learners } = wanted;
    if (voters.length === 0 || learners.some((learner) => voters.includes(learner))) return 'invalid';
    if (!voters.every((voter) => this.mayVote(voter))) return 'lagging';
    return isQuorum({ ...wanted, votersOutgoing: [] }, (voter) => this.isRecent(voter)) ? null : 'silent';
  }

  /** One that votes already, or a learner whose missing entries fit into one append (thesis, 4.2.1). */
  mayVote(member: ReplicaId): boolean {
    const { configuration, log, options } = this.raft;
    if (configuration.voters.includes(member)) return true;
    const progress = this.progress.get(member);
    if (!configuration.learners.includes(member) || progress?.state !== 'replicate') return false;
    if (progress.match < log.baseIndex || !this.isRecent(member)) return false;
    return log.bytesOf(logIndex(progress.match + 1), log.lastIndex) <= options.appendBytesMax;
  }

  private enter(configuration: Configuration, context: Uint8Array): Entry {
    return this.append('config', encode(configurationChangeCodec, { kind: 'v1', configuration, context }));
  }

  /** The configuration in force is another one, or an earlier one again. */
  membersChanged(): void {
    const { raft } = this;
    const { others } = raft.members;
    for (const known of [...this.progress.keys()]) if (!others.includes(known)) this.progress.delete(known);
    for (const member of others) {
      if (this.progress.has(member)) continue;
      this.progress.set(member, new Progress(raft.log.lastIndex, raft.options));
    }
    if (this.transfer !== null && !raft.configuration.voters.includes(this.transfer.to)) this.transfer = null;
  }

  /** A joint configuration that is committed is left; one that is not joint may have left this member behind. */
  private finishChange(): void {
    const { raft } = this;
    const { configurations, commitIndex } = raft;
    if (configurations.index > commitIndex) return;
    const { current } = configurations;
    if (isJoint(current)) this.enter({ ...current, votersOutgoing: [] }, noData);
    else if (!raft.members.selfVotes) raft.becomeFollower(raft.term);
  }

  // Handing over

  transferTo(to: ReplicaId): TransferResult {
    const { raft } = this;
    if (this.transfer !== null) return { ok: false, reason: 'transferring' };
    const isEligible = to !== raft.self && raft.configuration.voters.includes(to);
    if (!isEligible) return { ok: false, reason: 'ineligible' };
    this.transfer = new Transfer(to);
    this.urgeTransferee();
    return { ok: true };
  }

  /** Once the other has everything it is told to campaign, and told again should that be lost. */
  urgeTransferee(): void {
    if (this.transfer === null || !this.isLevel(this.transfer.to)) return;
    this.raft.send({ kind: 'timeoutNow', ...this.raft.header(this.transfer.to) });
  }

  isLevel(member: ReplicaId): boolean {
    return this.progress.get(member)?.match === this.raft.lastIndex;
  }

  // Reads

  get wantsReadRound(): boolean {
    return this.reads.wantsRound && this.hasCommittedInTerm();
  }

  /** Until then, entries that an earlier leader committed may lie beyond this one's commit index. */
  hasCommittedInTerm(): boolean {
    return this.raft.log.termAt(this.raft.commitIndex) === this.raft.term;
  }

  startReadRound(): void {
    const round = this.reads.startRound(this.raft.commitIndex);
    const safe = this.confirmReads(this.raft.self, round);
    this.settle(safe);
    if (safe.length === 0) this.sendHeartbeats(round);
  }

  confirmReads(from: ReplicaId, round: number): SettledRead[] {
    return this.reads.acknowledge(from, round, (has) => this.raft.members.isQuorum(has));
  }

  settle(reads: readonly SettledRead[]): void {
    for (const { origin, context, index } of reads) this.raft.answerRead(origin, context, index);
  }

  /** Leadership is lost. */
  end(): void {
    this.settle(this.reads.drop());
    this.raft.output.forgetSnapshots();
  }
}
