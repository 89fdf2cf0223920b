import { VectronError } from '../base/errors';
import type { ClusterId, NodeName, ReplicaId, ShardId, WorkerId } from '../base/ids';
import { shardId, workerId } from '../base/ids';
import { placementReplicaIdMax } from '../placement/machine';
import { decode } from '../protocol/codec';
import { type Address, addressText, lanes } from '../protocol/envelope';
import { type FlagRange, flagRange } from '../protocol/flags';
import type { Message, MessageOf } from '../protocol/messages';
import type { LeaderHint, PlacementChange } from '../protocol/placement-messages';
import { type ReplicaSpec, replicaSpecCodec, type ShardRecord } from '../protocol/records';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import type { BackoffOptions } from '../runtime/backoff';
import { PlacementClient } from './placement-client';
import type { Links, ReplicaHosts } from './ports';
import { LocalReplicas } from './supervisor-replicas';

export interface SupervisorOptions {
  readonly cluster: ClusterId;
  readonly node: NodeName;
  /** `host:port` of the node's link; empty for a node of the same process. */
  readonly address: string;
  readonly zone: string;
  readonly rack: string;
  /** Names the store on this machine's disks: kept there, and never that of another store of the node. */
  readonly storeIncarnation: string;
  readonly placementNodes: readonly NodeName[];
  readonly hosts: ReplicaHosts;
  readonly links: Links;
  readonly logWriter: Address;
  /** Default: the levels this program supports. */
  readonly flags?: FlagRange;
  readonly options?: Partial<SupervisorTuning>;
}

export interface SupervisorTuning {
  readonly heartbeatMs: number;
  readonly backoff: BackoffOptions;
  readonly stableMs: number;
  readonly retryMs: number;
}

const defaults: SupervisorTuning = {
  heartbeatMs: 5_000,
  backoff: { firstMs: 100, delayMsMax: 10_000, jitter: 0.3 },
  stableMs: 30_000,
  retryMs: 1_000,
};

export type SupervisorStatus = Omit<MessageOf<'supervisor.statusReply'>, 'kind' | 'request'>;

/** Reports of one turn of elections travel in one heartbeat. */
const urgentMs = 10;
/** Told again, as a late word of a program that ran here before may have taken its place. */
const supportEvery = 6;
const timers = { list: 'list', register: 'register', heartbeat: 'heartbeat' } as const;

/**
 * One a machine: runs the replicas that the placement driver assigns to it, and keeps them running. It alone starts and
 * destroys replicas here.
 *
 *  1. It starts what the machine's log lists, with or without a placement driver.
 *  2. It destroys a replica only on a Remove record that matches it (supervisor-replicas.ts). One that the driver does
 *     not list is kept and shown as an orphan.
 *  3. It does nothing before the log writer has listed what was here, and removed here, before.
 *  4. It obeys no driver of another cluster, nor one that is behind (placement-client.ts), nor, while any replica is here
 *     that another one assigned, one that started from nothing: that would give the same ids away again.
 *  5. It registers again when the driver takes another store for this node's.
 */
export class SupervisorActor implements Actor {
  private readonly tuning: SupervisorTuning;
  private readonly client: PlacementClient;
  private readonly replicas: LocalReplicas;
  /** What the driver wants here; the truth only once `synced`. */
  private assigned = new Map<ReplicaId, ShardId>();
  private worker: WorkerId = workerId(0);
  private listed = false;
  private synced = false;
  private registering = false;
  /** The incarnation of the driver that gave the worker id. */
  private registeredBy = 0;
  private hurrying = false;
  /** Heartbeats since the leader of the driver answered that it knows which levels this machine supports; null: not yet. */
  private supportTold: number | null = null;
  /** Replicas in the log that are not of this cluster or cannot be read: left alone. */
  unusableCount = 0;

  constructor(private readonly setup: SupervisorOptions) {
    this.tuning = { ...defaults, ...setup.options };
    const { hosts, logWriter, cluster, placementNodes: nodes } = setup;
    const { backoff, stableMs, retryMs } = this.tuning;
    this.replicas = new LocalReplicas({ hosts, logWriter, backoff, stableMs, removalRetryMs: 5 * retryMs });
    this.client = new PlacementClient({ cluster, nodes }, this);
  }

  started(context: ActorContext): void {
    this.askForList(context);
    this.client.start(context);
    this.arm(timers.heartbeat, this.tuning.heartbeatMs, context);
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    if (this.client.receive(message, from, context)) return;
    switch (message.kind) {
      case 'log.listed':
        this.onListed(message, context);
        break;
      case 'log.removed':
        if (this.isLogWriter(from) && this.replicas.unlogged(message.replica, context)) this.hurry(context);
        break;
      case 'replica.report':
        if (this.replicas.reported(message.report)) this.hurry(context);
        break;
      case 'replica.fault':
        if (this.replicas.faulted(message.fault)) this.hurry(context);
        break;
      case 'replica.destroyed':
        this.replicas.destroyed(message.replica, context);
        break;
      case 'supervisor.status':
        context.send(from, this.statusReply(message.request), lanes.completion);
        break;
      default:
        break;
    }
  }

  signalled(signal: Signal, context: ActorContext): void {
    if (this.client.signalled(signal, context) || this.replicas.signalled(signal, context)) return;
    if (signal.signal === 'down') this.replicas.down(signal.target, context);
    else if (signal.key === timers.list) this.askForList(context);
    else if (signal.key === timers.register) this.register(context);
    else if (signal.key === timers.heartbeat) this.heartbeat(context);
  }

  stopped(): void {
    // Replicas outlive their supervisor: the hosts own them.
  }

  /** Every assigned replica runs and knows its leader. */
  isReady(): boolean {
    return this.synced && [...this.assigned].every(([replica, shard]) => this.knowsLeader(shard, replica));
  }

  status(): SupervisorStatus {
    const replicas = this.replicas.all().map(({ replica, spec, state, restarts, report }) => {
      const shard = spec?.shard.id ?? report?.shard ?? shardId(0);
      const isAssigned = this.assigned.get(replica) === shard;
      const orphan = this.synced && !isAssigned && state !== 'destroying' && state !== 'unlogging';
      return { replica, shard, state, restarts, orphan };
    });
    const refusal = this.client.lastRefusal || this.replicas.lastRefusal;
    return { ready: this.isReady(), worker: this.worker, revision: this.client.revision, refusal, replicas };
  }

  placementLeaderFound(context: ActorContext): void {
    this.supportTold = null;
    if (this.worker === 0) this.register(context);
    else this.hurry(context);
  }

  placementForgot(context: ActorContext): void {
    this.register(context);
  }

  placementChanged(change: PlacementChange, _leaders: readonly LeaderHint[], context: ActorContext): void {
    this.connect(change);
    if (change.full) this.assigned = new Map();
    for (const [replica, shard] of this.assigned)
      if (change.shardsRetired.includes(shard)) this.assigned.delete(replica);
    for (const shard of change.shards) this.assign(shard, change, context);
    for (const record of change.removals) {
      this.assigned.delete(record.replica);
      this.replicas.remove(record, this.worker, context);
    }
    this.synced = true;
    if (this.isReplaced(change)) this.arm(timers.register, this.tuning.retryMs, context);
    if (this.replicas.removed.size > 0) this.hurry(context);
  }

  /** A late copy of what an earlier store of this node asked makes the driver take that one for the node's. */
  private isReplaced({ workers }: PlacementChange): boolean {
    return workers.some(({ id, state }) => id === this.worker && state === 'draining');
  }

  /** A node's newest worker comes last and so decides its address. */
  private connect({ workers }: PlacementChange): void {
    if (workers.length === 0) return;
    const draining = workers.filter((worker) => worker.state === 'draining');
    const others = workers.filter((worker) => worker.state !== 'draining');
    this.setup.links.setPeers([...draining, ...others].map(({ node, address }) => ({ node, address })));
  }

  private assign(shard: ShardRecord, change: PlacementChange, context: ActorContext): void {
    const { cluster, collections, incarnation: placementIncarnation } = change;
    const collection = collections.find((record) => record.id === shard.collection);
    if (collection === undefined) return;
    // Only the members that a shard was created with may start from its record: they stand first in it until its members
    // change. Later ones learn of their group from its leader.
    const { version, confVersion } = shard.epoch;
    const isUnchanged = version === 1 && confVersion === 1;
    for (const [place, { worker, replica }] of shard.members.entries()) {
      if (worker !== this.worker) continue;
      const isFirst = isUnchanged && place < collection.replicationFactor;
      this.assigned.set(replica, shard.id);
      this.replicas.start({ cluster, collection, shard, replica, bootstrap: isFirst, placementIncarnation }, context);
    }
  }

  private askForList(context: ActorContext): void {
    if (this.listed) return;
    context.send(this.setup.logWriter, { kind: 'log.list', request: 1 }, lanes.completion);
    this.arm(timers.list, this.tuning.retryMs, context);
  }

  private onListed({ replicas }: MessageOf<'log.listed'>, context: ActorContext): void {
    if (this.listed) return;
    this.listed = true;
    context.cancelTimer(timers.list);
    for (const { replica, removed, descriptor } of replicas) {
      if (replica <= placementReplicaIdMax) continue;
      if (removed) this.replicas.bury(replica);
      else this.startLocal(descriptor, context);
    }
    this.forgetStranger(context);
    this.follow(context);
  }

  private startLocal(descriptor: Uint8Array, context: ActorContext): void {
    const spec = specOf(descriptor);
    if (spec === null || spec.cluster !== this.setup.cluster) this.unusableCount++;
    else {
      if (this.client.incarnation === 0) this.client.incarnation = spec.placementIncarnation;
      this.replicas.start(spec, context);
    }
  }

  /** It may have registered, before the log was listed, with a driver that it must not obey. */
  private forgetStranger(context: ActorContext): void {
    if (this.worker === 0 || this.client.incarnation === 0 || this.registeredBy === this.client.incarnation) return;
    this.worker = workerId(0);
    this.register(context);
  }

  private register(context: ActorContext): void {
    if (this.registering) return;
    this.registering = true;
    const { cluster, node, address, zone, rack, storeIncarnation } = this.setup;
    const about = { cluster, node, address, zone, rack, storeIncarnation, worker: this.worker };
    const options = { timeoutMs: this.tuning.heartbeatMs, repeatable: true };
    this.client.call(
      { kind: 'pd.registerWorker', request: 0, ...about },
      options,
      (outcome, now) => this.onRegistered(outcome.ok ? outcome.reply : null, now),
      context,
    );
  }

  private onRegistered(reply: MessageOf<'pd.workerRegistered'> | null, context: ActorContext): void {
    this.registering = false;
    if (reply === null) {
      this.arm(timers.register, this.tuning.retryMs, context);
      return;
    }
    this.worker = reply.worker;
    this.supportTold = null;
    this.registeredBy = reply.incarnation;
    this.follow(context);
    this.hurry(context);
  }

  private follow(context: ActorContext): void {
    if (this.listed && this.worker !== 0) this.client.watch(this.worker, context);
  }

  private hurry(context: ActorContext): void {
    if (this.hurrying) return;
    this.hurrying = true;
    this.arm(timers.heartbeat, urgentMs, context);
  }

  private heartbeat(context: ActorContext): void {
    this.hurrying = false;
    this.arm(timers.heartbeat, this.tuning.heartbeatMs, context);
    if (this.worker === 0) return;
    this.tellFaults(context);
    this.tellSupport(context);
    const removed = [...this.replicas.removed];
    const { cluster } = this.setup;
    const about = { cluster, worker: this.worker, replicas: this.replicas.reports(), removed };
    this.client.call(
      { kind: 'pd.heartbeat', request: 0, ...about },
      { timeoutMs: this.tuning.heartbeatMs, repeatable: true },
      (outcome, now) => {
        if (outcome.ok) for (const replica of removed) this.replicas.removed.delete(replica);
        else if (outcome.error.code === 'NOT_FOUND') this.register(now);
      },
      context,
    );
  }

  private tellFaults(context: ActorContext): void {
    const faults = this.replicas.faults();
    if (faults.length === 0) return;
    const { cluster } = this.setup;
    this.client.call(
      { kind: 'pd.replicaFaults', request: 0, cluster, worker: this.worker, faults },
      { timeoutMs: this.tuning.heartbeatMs, repeatable: true },
      // One that was not heard is told again with the next heartbeat.
      () => undefined,
      context,
    );
  }

  private tellSupport(context: ActorContext): void {
    if (this.supportTold !== null && ++this.supportTold < supportEvery) return;
    const { cluster, flags: range = flagRange } = this.setup;
    const { worker } = this;
    this.client.call(
      { kind: 'pd.support', request: 0, cluster, worker, range },
      // A driver of an earlier version never answers, and must not be taken for a silent one. With the next heartbeat it
      // is told again.
      { timeoutMs: this.tuning.heartbeatMs, repeatable: false },
      ({ ok }) => {
        if (ok && worker === this.worker) this.supportTold = 0;
      },
      context,
    );
  }

  private arm(key: string, delayMs: number, context: ActorContext): void {
    context.setTimer(key, delayMs, { signal: 'timer', key });
  }

  private knowsLeader(shard: ShardId, replica: ReplicaId): boolean {
    const local = this.replicas.get(replica);
    if (local?.state !== 'running' || local.spec?.shard.id !== shard) return false;
    return local.report !== null && local.report.leader !== 0;
  }

  private isLogWriter(from: Address): boolean {
    return addressText(from) === addressText(this.setup.logWriter);
  }

  private statusReply(request: number): Message {
    return { kind: 'supervisor.statusReply', request, ...this.status() };
  }
}

function specOf(descriptor: Uint8Array): ReplicaSpec | null {
  try {
    return decode(replicaSpecCodec, descriptor);
  } catch (thrown) {
    if (thrown instanceof VectronError && thrown.code === 'CORRUPT') return null;
    throw thrown;
  }
}
