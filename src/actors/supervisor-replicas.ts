import { type ReplicaId, replicaId, type WorkerId } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import { type Address, lanes, replicaActor } from '../protocol/envelope';
import type { MessageOf } from '../protocol/messages';
import type { ReplicaFault, ReplicaReport } from '../protocol/placement-messages';
import type { RemoveRecord, ReplicaSpec } from '../protocol/records';
import type { ActorContext, Signal } from '../runtime/actor';
import { Backoff, type BackoffOptions } from '../runtime/backoff';
import type { ReplicaHosts } from './ports';

export type ReplicaState = MessageOf<'supervisor.statusReply'>['replicas'][number]['state'];

export interface LocalReplica {
  readonly replica: ReplicaId;
  /** Null for one that was never here and is only to be removed. */
  readonly spec: ReplicaSpec | null;
  /**
   * `running`: handed to the hosts. `waiting`: it ended, and is started again after a delay. `destroying`: the hosts
   * delete its points. `unlogging`: the log writer deletes its log.
   */
  state: ReplicaState;
  restarts: number;
  startedAt: MonotonicMs;
  report: ReplicaReport | null;
  /** What it last said is wrong with it. */
  fault: ReplicaFault | null;
  readonly backoff: Backoff;
}

export interface LocalReplicasOptions {
  readonly hosts: ReplicaHosts;
  readonly logWriter: Address;
  readonly backoff: BackoffOptions;
  /** A replica that ran this long has recovered: its next end counts as its first. */
  readonly stableMs: number;
  /** After this long without an answer the hosts or the log writer are asked again. */
  readonly removalRetryMs: number;
}

const timerPrefix = 'replica/';
const timerKeyOf = (replica: ReplicaId): string => `${timerPrefix}${replica}`;
const replicaOf = (name: string): ReplicaId | null => {
  const id = Number(name.slice(replicaActor(replicaId(0)).length - 1));
  return name === replicaActor(replicaId(id)) ? replicaId(id) : null;
};

/**
 * The replicas of one machine and what is to become of them. Owned by the supervisor, which forwards their messages.
 *
 *  1. A replica is destroyed only by remove(), which demands a record that matches it; nothing else deletes a byte.
 *  2. A removal runs hosts, then log writer, then `removed`; each step is repeated until it is answered.
 *  3. A removed replica is never started again.
 *  4. A replica id belongs to one shard of one collection for ever: an assignment that says otherwise is refused.
 *  5. One that ends by itself is started again, ever later the more often it ends.
 */
export class LocalReplicas {
  private readonly replicas = new Map<ReplicaId, LocalReplica>();
  private readonly tombstones = new Set<ReplicaId>();
  /** Removed, and not yet confirmed to the placement driver. */
  readonly removed = new Set<ReplicaId>();
  /** Removal records that did not match what is here. */
  refusedRemovals = 0;
  /** Assignments that named a replica of here for another shard or collection. */
  refusedAssignments = 0;
  lastRefusal = '';

  constructor(private readonly options: LocalReplicasOptions) {}

  get(replica: ReplicaId): LocalReplica | undefined {
    return this.replicas.get(replica);
  }

  /** In the order they became known. */
  all(): LocalReplica[] {
    return [...this.replicas.values()];
  }

  reports(): ReplicaReport[] {
    return this.all().flatMap(({ state, report }) => (state === 'running' && report !== null ? [report] : []));
  }

  /** What the placement driver must be told of, with every heartbeat. */
  faults(): ReplicaFault[] {
    return this.all().flatMap(({ state, fault }) => (state === 'running' && fault !== null ? [fault] : []));
  }

  /** True: the placement driver should hear of it at once. */
  faulted(fault: ReplicaFault): boolean {
    const local = this.replicas.get(fault.replica);
    if (local === undefined || local.state !== 'running') return false;
    const isNews = local.fault?.state !== fault.state;
    local.fault = fault;
    // A damaged replica leads nobody and follows nobody.
    if (fault.state !== 'undecided') local.report = null;
    return isNews;
  }

  bury(replica: ReplicaId): void {
    this.tombstones.add(replica);
    this.options.hosts.forget(replica);
  }

  /** Starts it unless it is known already, or was removed. */
  start(spec: ReplicaSpec, context: ActorContext): void {
    const known = this.replicas.get(spec.replica);
    if (known !== undefined && !isSameShard(known.spec, spec)) {
      this.refusedAssignments++;
      this.lastRefusal = `replica ${spec.replica} was assigned again, to shard ${spec.shard.id} of another history`;
    }
    if (known !== undefined || this.tombstones.has(spec.replica)) return;
    this.launch(this.add(spec.replica, spec, 'running', context), context);
  }

  /** An actor of this machine ended. */
  down(target: Address, context: ActorContext): void {
    const id = replicaOf(target.actor);
    const local = id === null ? undefined : this.replicas.get(id);
    if (local === undefined || local.state !== 'running') return;
    if (context.now - local.startedAt >= this.options.stableMs) local.backoff.reset();
    local.state = 'waiting';
    local.report = null;
    local.fault = null;
    this.arm(local, local.backoff.nextDelayMs(), context);
  }

  /** True: something changed that the placement driver should hear of at once. */
  reported(report: ReplicaReport): boolean {
    const local = this.replicas.get(report.replica);
    if (local === undefined || local.state !== 'running') return false;
    const before = local.report;
    local.report = report;
    return before === null || before.leader !== report.leader || before.term !== report.term;
  }

  /** Obeys the record if it speaks of what is here, or of what never was or is no more. */
  remove(record: RemoveRecord, worker: WorkerId, context: ActorContext): void {
    const known = this.replicas.get(record.replica);
    if (record.worker !== worker || (known !== undefined && !matches(record, known))) {
      this.refusedRemovals++;
      return;
    }
    if (this.tombstones.has(record.replica)) {
      this.removed.add(record.replica);
      return;
    }
    if (known?.state === 'destroying' || known?.state === 'unlogging') return;
    const local = known ?? this.add(record.replica, null, 'destroying', context);
    local.state = 'destroying';
    local.report = null;
    this.driveRemoval(local, context);
  }

  destroyed(replica: ReplicaId, context: ActorContext): void {
    const local = this.replicas.get(replica);
    if (local?.state !== 'destroying') return;
    local.state = 'unlogging';
    this.driveRemoval(local, context);
  }

  /** True: the replica is gone for ever, and `removed` has it. */
  unlogged(replica: ReplicaId, context: ActorContext): boolean {
    if (this.replicas.get(replica)?.state !== 'unlogging') return false;
    context.cancelTimer(timerKeyOf(replica));
    this.replicas.delete(replica);
    this.bury(replica);
    this.removed.add(replica);
    return true;
  }

  /** True: the signal was a replica's timer. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if (signal.signal !== 'timer' || !signal.key.startsWith(timerPrefix)) return false;
    const local = this.replicas.get(replicaId(Number(signal.key.slice(timerPrefix.length))));
    if (local === undefined) return true;
    if (local.state === 'waiting') {
      local.restarts++;
      this.launch(local, context);
    } else if (local.state !== 'running') this.driveRemoval(local, context);
    return true;
  }

  private add(replica: ReplicaId, spec: ReplicaSpec | null, state: ReplicaState, context: ActorContext): LocalReplica {
    const backoff = new Backoff(this.options.backoff, context.random.fork());
    const local = { replica, spec, state, restarts: 0, startedAt: context.now, report: null, fault: null, backoff };
    this.replicas.set(replica, local);
    return local;
  }

  private launch(local: LocalReplica, context: ActorContext): void {
    if (local.spec === null) return;
    local.state = 'running';
    local.startedAt = context.now;
    this.options.hosts.start(local.spec);
  }

  private driveRemoval({ replica, state }: LocalReplica, context: ActorContext): void {
    if (state === 'destroying') this.options.hosts.destroy(replica);
    else context.send(this.options.logWriter, { kind: 'log.remove', replica }, lanes.completion);
    const key = timerKeyOf(replica);
    context.setTimer(key, this.options.removalRetryMs, { signal: 'timer', key });
  }

  private arm({ replica }: LocalReplica, delayMs: number, context: ActorContext): void {
    const key = timerKeyOf(replica);
    context.setTimer(key, delayMs, { signal: 'timer', key });
  }
}

const isSameShard = (known: ReplicaSpec | null, wanted: ReplicaSpec): boolean =>
  known === null || (known.shard.id === wanted.shard.id && known.collection.id === wanted.collection.id);

/** DESIGN D8: the same shard, and not decided on an older membership than the replica knows. */
function matches(record: RemoveRecord, { spec, report }: LocalReplica): boolean {
  if (spec === null) return true;
  const confVersion = Math.max(spec.shard.epoch.confVersion, report?.epoch.confVersion ?? 0);
  const isCurrent = record.shardRetired || record.confVersion >= confVersion;
  return record.cluster === spec.cluster && record.shard === spec.shard.id && isCurrent;
}
