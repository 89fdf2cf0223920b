import { VectronError } from '../base/errors';
import type { ReplicaId } from '../base/ids';
import type { Message, MessageOf } from '../protocol/messages';
import type { SnapshotMeta } from '../protocol/raft-messages';
import type { ProposeResult, RaftCore, Ready } from '../raft/types';
import type { ActorContext, Signal } from '../runtime/actor';
import { ApplyQueue } from './raft-member-apply';
import { FirstElection } from './raft-member-first';
import { MemberLog, termIn } from './raft-member-log';
import { LogWindow } from './raft-member-log-window';
import type { MemberEnd, RaftMemberOptions } from './raft-member-options';
import { type ChecksumBody, MemberPeers, type PeerMessage } from './raft-member-peers';
import { MemberSleep } from './raft-member-sleep';
import { MemberSnapshots } from './raft-member-snapshots';
import { MemberView, Standing } from './raft-member-view';
import { PendingProposals, PendingReads, type ReadDone, type Settle } from './raft-member-waiters';

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
export class RaftMember extends MemberView {
  private readonly log: MemberLog;
  private readonly peers: MemberPeers;
  private readonly proposals = new PendingProposals();
  private reads: PendingReads | null = null;
  private readonly snapshots: MemberSnapshots;
  private readonly window: LogWindow;
  private readonly first: FirstElection;
  private readonly toApply = new ApplyQueue();
  private batchedBytes = 0;
  private flushWanted = false;
  private waitedTicks = 0;
  private standing = new Standing();

  constructor(options: RaftMemberOptions) {
    super(options);
    const { self, shard, descriptor, logWriter, tuning } = options;
    this.first = new FirstElection(shard);
    this.log = new MemberLog(self, descriptor, logWriter);
    this.peers = new MemberPeers(options);
    this.window = new LogWindow(tuning.logWindowBytes);
    this.snapshots = new MemberSnapshots(
      options,
      this.peers,
      () => this.core,
      (...end) => this.installed(...end),
    );
  }

  /** Messages that were dropped because they were not this member's to hear. */
  get foreignCount(): number {
    return this.peers.foreignCount;
  }
  /** Snapshots taken up again where an earlier life of this member, or of its log writer, had left them. */
  get snapshotsResumed(): number {
    return this.snapshots.resumedCount;
  }
  /** Chunks of a snapshot that came before their time. */
  get chunksAhead(): number {
    return this.snapshots.aheadCount;
  }
  get pendingCount(): number {
    return this.proposals.count;
  }
  /** Rounds of linearizable reads that wait. */
  get pendingReadCount(): number {
    return this.reads?.count ?? 0;
  }

  start(context: ActorContext): void {
    const { options, peers } = this;
    const { keeper } = options;
    const { actor: name } = context.self;
    armTick(options, context);
    if (keeper !== undefined)
      this.sleep = new MemberSleep({ options, peers, keeper, name, core: () => this.core, isBusy: () => this.isBusy });
    this.sleep?.joined();
    this.open(context);
  }

  /** Once, when its actor ends. */
  stopped(): void {
    this.sleep?.ended();
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
      case 'peer.sleep':
        if (this.peers.isOurs(message, this.term)) this.sleep?.handle(message, context);
        break;
      case 'group.tick':
        this.tick(context);
        break;
      case 'group.doubt':
        this.wake(context);
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
    if (this.isLeader) this.wake(context);
    const result = this.core.propose(data);
    if (!result.ok) return result;
    this.proposals.add(result.index, result.term, settle, context);
    this.batchedBytes += data.length;
    if (this.batchedBytes >= this.options.tuning.batchBytesMax) this.flush(context);
    else this.flushSoon(context);
    return result;
  }

  /** Calls `done` once it is safe to serve a linearizable read here, or to say that it is not. On any member. */
  readIndex(done: ReadDone, context: ActorContext): void {
    if (this.core === null || this.reads === null) {
      done(false, context);
      return;
    }
    this.wake(context);
    this.reads.add(done);
    this.flushSoon(context);
  }

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
    this.snapshots.run(context.random);
    this.current = 'running';
    this.sleep?.joined();
    this.sleep?.started(hardState !== null, context);
    this.flush(context);
  }

  /** Does all that the core wants done. The only place that asks it for ready. */
  protected flush(context: ActorContext): void {
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
    if (ready.write > 0) this.append(core, ready, context);
    this.toApply.add(ready.committed);
    for (const { context: key, index } of ready.reads) this.reads?.answered(key, index, context);
    this.reads?.applied(this.options.machine.appliedIndex, context);
    for (const to of ready.snapshotTo) this.snapshots.start(to, context);
  }

  /** What is promised beside the write, the log writer says; what goes with others' heartbeats waits for its answer. */
  private append(core: RaftCore, { write, hardState, entries, afterAppend }: Ready, context: ActorContext): void {
    const promises = afterAppend.map((message) => ({ message, promised: this.peers.promised(message) }));
    const durable = (later: ActorContext): void => {
      if (this.core !== core) return;
      for (const { message, promised } of promises) if (promised === null) this.peers.sendRaft(message, later);
      core.appended(write);
    };
    this.log.append(hardState, entries, durable, context);
    for (const { promised } of promises)
      if (promised !== null) this.log.promise(promised.to, promised.envelope, context);
  }

  private applySlice(context: ActorContext): void {
    const { machine, tuning, events } = this.options;
    const slice = this.toApply.take(tuning.applyBytesMax);
    const last = slice[slice.length - 1];
    if (last === undefined || this.core === null) return;
    machine.apply(slice);
    this.core.applied(last.index);
    if (slice.some(({ type }) => type === 'config')) this.sleep?.joined();
    events.applied(slice, context);
    for (const entry of slice) this.proposals.applied(entry.index, entry.term, context);
    this.reads?.applied(last.index, context);
    this.window.applied(slice);
    this.truncate(context);
  }

  private truncate(context: ActorContext): void {
    const { core } = this;
    if (core === null) return;
    const cut = this.window.cut(core, this.snapshots.oldestIndex);
    if (cut === null) return;
    this.log.truncate(cut.index, cut.term, context);
    core.truncate(cut.index);
  }

  /** Ends what a lost leadership leaves behind, and tells the actor of changes. */
  private notice(context: ActorContext): void {
    const change = this.core === null ? 'none' : this.standing.look(this.core);
    if (change === 'none') return;
    if (change === 'lost') {
      this.snapshots.closeAll();
      this.proposals.failAll(context);
    }
    this.options.events.changed(context);
  }

  private tick(context: ActorContext): void {
    if (this.hasEnded) return;
    armTick(this.options, context);
    if (this.core !== null && !this.isAsleep) {
      this.core.tick();
      this.first.tick(this.core);
      this.sleep?.tick(context);
    }
    this.reads?.tick(context);
    this.snapshots.tick(context);
    const owed = this.core === null || this.log.waiting;
    this.waitedTicks = owed ? this.waitedTicks + 1 : 0;
    if (this.waitedTicks >= (this.core === null ? reopenTicks : stalledTicks)) this.open(context);
  }

  private downed(actor: string, context: ActorContext): boolean {
    if (actor !== this.options.logWriter.actor) return false;
    if (this.hasEnded) return true;
    this.halt(context);
    this.current = 'opening';
    this.waitedTicks = reopenTicks - reopenSoonTicks;
    return true;
  }

  protected end(end: MemberEnd, reason: string, context: ActorContext): void {
    this.halt(context);
    this.current = end;
    this.sleep?.ended();
    this.options.events.ended(end, reason, context);
  }

  private halt(context: ActorContext): void {
    this.core = null;
    this.sleep?.lost();
    this.standing = new Standing();
    this.toApply.clear();
    this.window.clear();
    this.snapshots.halt();
    this.proposals.failAll(context);
    this.reads?.failAll(context);
    this.reads = null;
  }

  private peer(message: Exclude<PeerMessage, { readonly kind: 'peer.sleep' }>, context: ActorContext): void {
    const { core } = this;
    if (core === null) return;
    this.sleep?.received(message, context);
    if (message.kind === 'peer.raft') core.step(message.message);
    else if (message.kind === 'peer.checksum') this.options.events.claimed?.(message, context);
    else this.snapshots.handle(message, context);
  }

  private get isBusy(): boolean {
    const waits = this.proposals.count + this.pendingReadCount + this.toApply.length > 0 || this.log.waiting;
    return waits || this.snapshots.isActive || this.options.isBusy?.() === true;
  }

  /** Tells another member what this one's state is at a checksum command. */
  sendChecksum(to: ReplicaId, body: ChecksumBody, context: ActorContext): void {
    if (this.core !== null) this.peers.sendChecksum(to, body, context);
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
    this.sleep?.joined();
    this.options.events.applied([], context);
    this.reads?.applied(meta.index, context);
  }
}

/** Without a keeper, which ticks all members of its thread. */
function armTick({ keeper, tuning }: RaftMemberOptions, context: ActorContext): void {
  if (keeper === undefined) context.setTimer(tickKey, tuning.tickMs, { signal: 'timer', key: tickKey });
}
