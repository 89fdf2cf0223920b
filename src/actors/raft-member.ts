import { VectronError } from '../base/errors';
import { type LogIndex, logIndex, type ReplicaId, type Term, term } from '../base/ids';
import type { Message, MessageOf } from '../protocol/messages';
import type { SnapshotMeta } from '../protocol/raft-messages';
import type { ChangeResult, MembersWanted, ProposeResult, RaftCore, Ready, Role, TransferResult } from '../raft/types';
import type { ActorContext, Signal } from '../runtime/actor';
import { ApplyQueue } from './raft-member-apply';
import { MemberLog, termIn } from './raft-member-log';
import { LogWindow } from './raft-member-log-window';
import type { MemberEnd, RaftMemberOptions } from './raft-member-options';
import { type ChecksumBody, MemberPeers, type PeerMessage } from './raft-member-peers';
import { PendingProposals, PendingReads, type ReadDone, type Settle } from './raft-member-waiters';
import { SnapshotReceiver } from './snapshot-receiver';
import { SnapshotSender } from './snapshot-sender';
import type { StateMachine } from './state-machine';

export type MemberState = 'new' | 'opening' | 'running' | MemberEnd;

const tickKey = 'raft.tick';
const flushKey = 'raft.flush';
/** An open log that is not answered is asked for again; a log writer that died is given a moment to be replaced. */
const reopenTicks = 100;
const reopenSoonTicks = 5;
/** The log writer owes an answer for this long: it has lost a write, and is asked what it still has. */
const stalledTicks = 600;

/**
 * One member of a Raft group, for an actor to delegate to: it joins the pure core to the log writer, the peers, the clock
 * and a state machine. Shard replicas and placement-driver nodes use the same one. Called by its actor only.
 *
 *  1. Nothing is heard or said before the log writer has opened the log; afterwards every answer that promises durability
 *     waits for the write it promises (MemberLog keeps the order).
 *  2. Entries are applied once, in order, at most tuning.applyBytesMax a handler.
 *  3. Every proposal ends: applied at its own index and term, or unknown when leadership, log or member is lost.
 *  4. Every read ends: safe to serve, or refused.
 *  5. The log and the state fit together at every restart: a state ahead of its log (a snapshot whose installation was
 *     cut short) starts the log anew; a state behind the log's beginning has lost data, and the member stays silent.
 */
export class RaftMember {
  private current: MemberState = 'new';
  private core: RaftCore | null = null;
  private readonly log: MemberLog;
  private readonly peers: MemberPeers;
  private readonly proposals = new PendingProposals();
  private reads: PendingReads | null = null;
  private sender: SnapshotSender | null = null;
  private readonly receiver: SnapshotReceiver;
  private readonly window: LogWindow;
  private readonly toApply = new ApplyQueue();
  private batchedBytes = 0;
  private flushWanted = false;
  private waitedTicks = 0;
  private seen: { readonly role: Role; readonly term: Term; readonly leader: ReplicaId } | null = null;

  constructor(private readonly options: RaftMemberOptions) {
    const { self, descriptor, logWriter, machine, tuning } = options;
    this.log = new MemberLog(self, descriptor, logWriter);
    this.peers = new MemberPeers(options);
    this.window = new LogWindow(tuning.logWindowBytes);
    this.receiver = new SnapshotReceiver({
      machine,
      needed: (meta) => this.needs(meta),
      syncBytes: tuning.snapshotWindowBytes / 2,
      progress: (to, body, context) => this.peers.sendProgress(to, body, context),
      installed: (meta, durable, context) => this.installed(meta, durable, context),
    });
  }

  /** Messages that were dropped because they were not this member's to hear. */
  get foreignCount(): number {
    return this.peers.foreignCount;
  }
  /** Snapshots taken up again where an earlier life of this member, or of its log writer, had left them. */
  get snapshotsResumed(): number {
    return this.receiver.resumedCount;
  }
  get state(): MemberState {
    return this.current;
  }
  /** For tests and the simulator to look into; null unless running. */
  get raft(): RaftCore | null {
    return this.core;
  }
  get machine(): StateMachine {
    return this.options.machine;
  }
  get role(): Role {
    return this.core?.role ?? 'follower';
  }
  get term(): Term {
    return this.core?.term ?? term(0);
  }
  /** 0 when unknown. */
  get leader(): ReplicaId {
    return this.core?.leader ?? (0 as ReplicaId);
  }
  get commitIndex(): LogIndex {
    return this.core?.commitIndex ?? logIndex(0);
  }
  get isLeader(): boolean {
    return this.role === 'leader';
  }
  get pendingCount(): number {
    return this.proposals.count;
  }
  /** Rounds of linearizable reads that wait. */
  get pendingReadCount(): number {
    return this.reads?.count ?? 0;
  }

  /**
   * Whether this member may answer at the LEADER level: a quorum heard it within an election timeout, and an entry of its
   * own term is applied, without which it could miss what an earlier leader acknowledged.
   */
  get leaderIsReady(): boolean {
    const { core } = this;
    return core?.leaderIsConfirmed === true && this.options.machine.appliedTerm === core.term;
  }

  start(context: ActorContext): void {
    context.setTimer(tickKey, this.options.tuning.tickMs, { signal: 'timer', key: tickKey });
    this.open(context);
  }

  /** True if the message was the member's to handle, whatever came of it. */
  handle(message: Message, context: ActorContext): boolean {
    switch (message.kind) {
      case 'peer.raft':
      case 'peer.snapshotChunk':
      case 'peer.snapshotProgress':
      case 'peer.checksum':
        if (this.peers.isOurs(message, this.term)) this.peer(message, context);
        break;
      case 'log.openedEntries':
        if (message.replica === this.options.self) this.log.openedAhead(message);
        break;
      case 'log.opened':
        if (message.replica === this.options.self) this.opened(this.log.assembled(message), context);
        break;
      case 'log.appended':
        if (message.replica === this.options.self) this.log.appended(message, context);
        break;
      case 'log.poisoned':
        this.fail(`the log store is poisoned: ${message.reason}`, context);
        break;
      default:
        return false;
    }
    this.flush(context);
    return true;
  }

  /** True if the signal was the member's. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if (signal.signal === 'down') return this.downed(signal.target.actor, context);
    if (signal.key === tickKey) this.tick(context);
    else if (signal.key === flushKey) this.flushWanted = false;
    else return false;
    this.flush(context);
    return true;
  }

  /** `settle` is called later, once, if and only if the result is ok. */
  propose(data: Uint8Array, settle: Settle, context: ActorContext): ProposeResult {
    if (this.core === null) return { ok: false, reason: 'notLeader' };
    const result = this.core.propose(data);
    if (!result.ok) return result;
    this.proposals.add(result.index, result.term, settle, context);
    this.batchedBytes += data.length;
    if (this.batchedBytes >= this.options.tuning.batchBytesMax) this.flush(context);
    else this.flushSoon(context);
    return result;
  }

  /** See RaftCore. */
  changeMembers(wanted: MembersWanted, about: Uint8Array, context: ActorContext): ChangeResult {
    const result = this.core?.changeMembers(wanted, about) ?? { ok: false, reason: 'notLeader' };
    this.flush(context);
    return result;
  }

  transferLeadership(to: ReplicaId, context: ActorContext): TransferResult {
    const result = this.core?.transferLeadership(to) ?? { ok: false, reason: 'notLeader' };
    this.flush(context);
    return result;
  }

  /** Calls `done` once it is safe to serve a linearizable read here, or to say that it is not. On any member. */
  readIndex(done: ReadDone, context: ActorContext): void {
    if (this.core === null || this.reads === null) {
      done(false, context);
      return;
    }
    this.reads.add(done);
    this.flushSoon(context);
  }

  /** The member can no longer be trusted: it falls silent, and everything that waits for it ends. */
  fail(reason: string, context: ActorContext): void {
    if (!this.hasEnded) this.end('failed', reason, context);
  }

  /** What this member holds is not what it acknowledged: it falls silent, and must not come back as who it was. */
  quarantine(reason: string, context: ActorContext): void {
    if (!this.hasEnded) this.end('damaged', reason, context);
  }

  private get hasEnded(): boolean {
    return this.current === 'failed' || this.current === 'removed' || this.current === 'damaged';
  }

  // The log

  private open(context: ActorContext): void {
    this.halt(context);
    this.current = 'opening';
    this.waitedTicks = 0;
    context.watch(this.options.logWriter);
    this.log.open(context);
  }

  private opened(message: MessageOf<'log.opened'>, context: ActorContext): void {
    if (this.hasEnded) return;
    this.halt(context);
    this.current = 'opening';
    if (message.outcome === 'removed') this.end('removed', 'the store has a tombstone for this replica', context);
    else if (message.outcome !== 'ready') this.quarantine(`the log is ${message.outcome}`, context);
    else this.startFrom(message, context);
  }

  private startFrom(message: MessageOf<'log.opened'>, context: ActorContext): void {
    const { machine, syncState } = this.options;
    const { appliedIndex, appliedTerm } = machine;
    this.log.opened(message);
    if (appliedIndex < message.baseIndex) {
      this.quarantine(`the state ends at ${appliedIndex}, the log begins after ${message.baseIndex}`, context);
    } else if (termIn(message, appliedIndex) === appliedTerm) {
      this.run(message, context);
    } else {
      syncState();
      const after = { baseIndex: appliedIndex, baseTerm: appliedTerm, entries: [] };
      this.log.reset(appliedIndex, appliedTerm, (later) => this.run(after, later), context);
    }
  }

  private run(log: Pick<MessageOf<'log.opened'>, 'baseIndex' | 'baseTerm' | 'entries'>, context: ActorContext): void {
    if (this.current !== 'opening') return;
    const { self, configuration, createCore, machine, tuning } = this.options;
    const { hardState } = this.log;
    const { baseIndex, baseTerm, entries } = log;
    this.learn(entries);
    this.core = createCore({
      ...tuning,
      self,
      hardState,
      baseIndex,
      baseTerm,
      entries,
      configuration: configuration(),
      appliedIndex: machine.appliedIndex,
      random: context.random.fork(),
    });
    this.reads = new PendingReads(context.random.between(0, 2 ** 20 - 1), tuning.electionTicks);
    this.sender = this.newSender(context.random.uint32() * 2 ** 16);
    this.current = 'running';
    this.flush(context);
  }

  // The core

  /** Does all that the core wants done. The only place that asks it for ready. */
  private flush(context: ActorContext): void {
    this.batchedBytes = 0;
    if (this.core !== null) this.reads?.flush(this.core);
    this.drain(context);
    this.applySlice(context);
    this.drain(context);
    if (this.toApply.length > 0) this.flushSoon(context);
    this.notice(context);
  }

  private drain(context: ActorContext): void {
    while (this.core?.hasReady() === true) this.perform(this.core, this.core.ready(), context);
  }

  /** Behind whatever already waits, so that what waits shares one append and one write. */
  private flushSoon(context: ActorContext): void {
    if (this.flushWanted) return;
    this.flushWanted = true;
    context.later({ signal: 'work', key: flushKey });
  }

  private learn(entries: Ready['entries']): void {
    for (const entry of entries) if (entry.type === 'config') this.options.learn?.(entry);
  }

  private perform(core: RaftCore, ready: Ready, context: ActorContext): void {
    this.learn(ready.entries);
    for (const message of ready.messages) this.peers.sendRaft(message, context);
    if (ready.write > 0) {
      const durable = (later: ActorContext): void => {
        if (this.core !== core) return;
        for (const message of ready.afterAppend) this.peers.sendRaft(message, later);
        core.appended(ready.write);
      };
      this.log.append(ready.hardState, ready.entries, durable, context);
    }
    this.toApply.add(ready.committed);
    for (const { context: key, index } of ready.reads) this.reads?.answered(key, index, context);
    this.reads?.applied(this.options.machine.appliedIndex, context);
    for (const to of ready.snapshotTo) this.sender?.start(to, context);
  }

  private applySlice(context: ActorContext): void {
    const { machine, tuning, events } = this.options;
    const slice = this.toApply.take(tuning.applyBytesMax);
    const last = slice[slice.length - 1];
    if (last === undefined || this.core === null) return;
    machine.apply(slice);
    this.core.applied(last.index);
    events.applied(slice, context);
    for (const entry of slice) this.proposals.applied(entry.index, entry.term, context);
    this.reads?.applied(last.index, context);
    this.window.applied(slice);
    this.truncate(context);
  }

  private truncate(context: ActorContext): void {
    const { core } = this;
    if (core === null) return;
    const index = this.window.truncationIndex(core.logBytes, this.sender?.oldestIndex ?? null);
    const at = index === null ? null : core.termAt(index);
    if (index === null || at === null || index <= core.baseIndex) return;
    this.log.truncate(index, at, context);
    core.truncate(index);
  }

  /** Ends what a lost leadership leaves behind, and tells the actor of changes. */
  private notice(context: ActorContext): void {
    const { core, seen } = this;
    if (core === null) return;
    const { role, term: termNow, leader } = core;
    if (seen?.role === role && seen.term === termNow && seen.leader === leader) return;
    this.seen = { role, term: termNow, leader };
    if (seen?.role === 'leader' && (role !== 'leader' || seen.term !== termNow)) {
      this.sender?.closeAll();
      this.proposals.failAll(context);
    }
    this.options.events.changed(context);
  }

  // Time

  private tick(context: ActorContext): void {
    if (this.hasEnded) return;
    context.setTimer(tickKey, this.options.tuning.tickMs, { signal: 'timer', key: tickKey });
    this.core?.tick();
    this.hastenFirstElection();
    this.reads?.tick(context);
    this.sender?.tick(context);
    this.receiver.tick();
    const owed = this.core === null || this.log.waiting;
    this.waitedTicks = owed ? this.waitedTicks + 1 : 0;
    if (this.waitedTicks >= (this.core === null ? reopenTicks : stalledTicks)) this.open(context);
  }

  /**
   * A group that never had a leader has nobody to wait for: one of its first members, another one in each shard, asks for
   * votes until it has them. Pre-votes change nothing while the others are still starting.
   */
  private hastenFirstElection(): void {
    const { core } = this;
    if (core === null || core.term > 0 || core.lastIndex > 0 || core.role === 'leader') return;
    const { voters } = core.configuration;
    if (voters[this.options.shard % voters.length] === core.self) core.campaign();
  }

  private downed(actor: string, context: ActorContext): boolean {
    if (actor !== this.options.logWriter.actor) return false;
    if (this.hasEnded) return true;
    this.halt(context);
    this.current = 'opening';
    this.waitedTicks = reopenTicks - reopenSoonTicks;
    return true;
  }

  private end(end: MemberEnd, reason: string, context: ActorContext): void {
    this.halt(context);
    this.current = end;
    this.options.events.ended(end, reason, context);
  }

  private halt(context: ActorContext): void {
    this.core = null;
    this.seen = null;
    this.toApply.clear();
    this.window.clear();
    this.receiver.suspend();
    this.sender?.closeAll();
    this.sender = null;
    this.proposals.failAll(context);
    this.reads?.failAll(context);
    this.reads = null;
  }

  // Peers

  private peer(message: PeerMessage, context: ActorContext): void {
    const { core } = this;
    if (core === null) return;
    if (message.kind === 'peer.raft') core.step(message.message);
    else if (message.kind === 'peer.snapshotChunk') this.receiver.chunk(message, context);
    else if (message.kind === 'peer.checksum') this.options.events.claimed?.(message, context);
    else this.sender?.progressed(message.from, message, context);
  }

  /** Tells another member what this one's state is at a checksum command. */
  sendChecksum(to: ReplicaId, body: ChecksumBody, context: ActorContext): void {
    if (this.core !== null) this.peers.sendChecksum(to, body, context);
  }

  // Snapshots

  private newSender(streamFirst: number): SnapshotSender {
    const { machine, tuning } = this.options;
    return new SnapshotSender(
      {
        machine,
        windowBytes: tuning.snapshotWindowBytes,
        configuration: () => this.options.configuration(),
        send: (to, body, context) => this.peers.sendChunk(to, body, context),
        finished: (to, ok) => this.core?.snapshotFinished(to, ok),
      },
      streamFirst,
    );
  }

  /** A log that holds the snapshot's last entry already leads there, and may hold more that was acknowledged. */
  private needs(meta: SnapshotMeta): boolean {
    const { core } = this;
    return core !== null && meta.index > core.commitIndex && core.termAt(meta.index) !== meta.term;
  }

  private installed(meta: SnapshotMeta, durable: (later: ActorContext) => void, context: ActorContext): void {
    const { core } = this;
    if (core === null) throw new VectronError('INTERNAL', 'a snapshot was installed by a member that does not run');
    this.toApply.clear();
    this.window.clear();
    core.restore(meta);
    const acknowledge = (later: ActorContext): void => {
      if (this.core === core) durable(later);
    };
    this.log.reset(meta.index, meta.term, acknowledge, context);
    this.proposals.failAll(context);
    this.options.events.applied([], context);
    this.reads?.applied(meta.index, context);
  }
}
