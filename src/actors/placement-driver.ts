import { present } from '../base/assert';
import { utf8 } from '../base/bytes';
import { VectronError } from '../base/errors';
import { type ClusterId, type NodeName, type ReplicaId, shardId } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import { creationOf, type PlacementOperation } from '../placement/commands';
import { type PlacementMachine, type PlacementOutcome, placementReplicaIdMax } from '../placement/machine';
import type { Failure } from '../protocol/data-messages';
import { type Address, at, lanes, placementActor } from '../protocol/envelope';
import { type FlagRange, flagRange } from '../protocol/flags';
import type { Message, MessageOf } from '../protocol/messages';
import type { ReplicaFault } from '../protocol/placement-messages';
import { createRaft } from '../raft/core';
import type { RaftCore, RaftOptions } from '../raft/types';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import { failure, isPlacementRequest, type PlacementRequest, refusalOf } from '../runtime/refusal';
import type { KeyValueStore } from '../storage/ports';
import { FlagDriver } from './placement-driver-flags';
import { MoveDriver } from './placement-driver-moves';
import { objectionTo } from './placement-driver-objections';
import {
  commandOf,
  type DriverState,
  failureOf,
  flagsReply,
  heartbeatReply,
  operationOf,
  replyTo,
  statusReply,
} from './placement-driver-replies';
import { SchemaDriver } from './placement-driver-schemas';
import { SoftState } from './placement-driver-soft';
import { PlacementStore } from './placement-driver-store';
import { Watchers } from './placement-driver-watchers';
import { RaftMember } from './raft-member';
import { type RaftMemberTuning, raftMemberTuning } from './raft-member-options';

export interface PlacementDriverTuning {
  /** A worker silent for so long gets no new replicas. */
  readonly unhealthyAfterMs: number;
  /** The replicas of a worker silent for so long are replaced on others. */
  readonly deadAfterMs: number;
  /** A watcher that does not renew for so long is dropped. */
  readonly watchExpiryMs: number;
  readonly raft: RaftMemberTuning;
}

export interface PlacementMember {
  readonly replica: ReplicaId;
  readonly node: NodeName;
}

export interface PlacementDriverOptions {
  readonly cluster: ClusterId;
  readonly self: ReplicaId;
  /** The whole group, this member included, and where each lives. The same on every node, for ever. */
  readonly members: readonly PlacementMember[];
  readonly state: KeyValueStore;
  readonly logWriter: Address;
  /** Default: the levels this program supports. */
  readonly flags?: FlagRange;
  /** Default: createRaft. */
  readonly createCore?: (options: RaftOptions) => RaftCore;
  readonly options?: Partial<PlacementDriverTuning>;
}

type Request = MessageOf<PlacementRequest>;

const defaults: PlacementDriverTuning = {
  unhealthyAfterMs: 30_000,
  deadAfterMs: 300_000,
  watchExpiryMs: 10_000,
  raft: raftMemberTuning,
};
/** Its members never change, so neither does its epoch. */
const groupEpoch = { version: 1, confVersion: 1 };
const sweepKey = 'pd.sweep';
const sweepMs = 1_000;
const retryAfterMs = 100;
const incarnationMax = 0xffff_ffff;

/**
 * One of the placement driver's nodes: a member of the Raft group of shard 0, whose leader answers for all (DESIGN D8).
 *
 *  1. Only a leader that a quorum heard lately, and that has applied an entry of its own term, answers; everybody else
 *     says NOT_LEADER and who leads. Nothing answered can be undone by a later leader.
 *  2. What is durable changes only through the log; bad requests are refused before they reach it.
 *  3. Liveness and leaders are soft: gone with leadership, never in the log except as the advice of a command.
 *  4. A request of another cluster is refused, and changes nothing.
 *  5. Before anything else is decided, an incarnation is: workers tell by it a driver that forgot what it gave away.
 */
export class PlacementDriverActor implements Actor {
  private readonly tuning: PlacementDriverTuning;
  private readonly store: PlacementStore;
  readonly member: RaftMember;
  private readonly watchers: Watchers;
  private readonly moves: MoveDriver;
  readonly flags: FlagDriver;
  private readonly schemas: SchemaDriver;
  /** Null unless this node leads. */
  private soft: SoftState | null = null;
  /** Why this node has fallen silent, or null. */
  failedReason: string | null = null;

  constructor(private readonly setup: PlacementDriverOptions) {
    const { cluster, self, members, state, logWriter, createCore = createRaft } = setup;
    this.tuning = { ...defaults, ...setup.options };
    const range = setup.flags ?? flagRange;
    this.store = new PlacementStore({ cluster, replica: self, store: state, flags: range });
    const port = {
      machine: () => this.machine,
      term: () => this.member.term,
      // Nobody waits for it: the records show what came of it.
      propose: (operation: PlacementOperation, context: ActorContext) =>
        this.member.propose(commandOf(operation), () => undefined, context),
    };
    this.moves = new MoveDriver(port);
    this.schemas = new SchemaDriver(port);
    this.flags = new FlagDriver({ ...port, self, members, cluster, range, leader: () => this.member.leader });
    this.watchers = new Watchers(this.tuning.watchExpiryMs, () => this.member.term);
    this.member = new RaftMember({
      cluster,
      shard: shardId(0),
      self,
      epoch: () => groupEpoch,
      configuration: () => ({ voters: members.map(({ replica }) => replica), votersOutgoing: [], learners: [] }),
      addressOf: (replica) => this.addressOf(replica),
      logWriter,
      descriptor: utf8('placement-driver'),
      machine: this.store,
      syncState: () => state.sync(),
      createCore,
      tuning: this.tuning.raft,
      events: {
        changed: (context) => this.leadershipChanged(context),
        applied: (_entries, context) => this.watchers.publish(this.machine, context),
        ended: (end, reason) => {
          this.failedReason = `${end}: ${reason}`;
        },
      },
    });
    if (members.some(({ replica }) => replica > placementReplicaIdMax)) {
      throw new VectronError('INVALID_ARGUMENT', `placement members have ids up to ${placementReplicaIdMax}`);
    }
  }

  get machine(): PlacementMachine {
    return this.store.machine;
  }

  get members(): readonly PlacementMember[] {
    return this.setup.members;
  }

  /** Whether this node answers requests now. */
  get isServing(): boolean {
    return this.member.leaderIsReady;
  }

  started(context: ActorContext): void {
    this.guarded(context, () => {
      this.flags.check();
      this.member.start(context);
      this.armSweep(context);
    });
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    this.guarded(context, () => this.take(message, from, context));
  }

  /** What a later version wrote silences the node; anything else that is thrown is a bug. */
  private guarded(context: ActorContext, handler: () => void): void {
    try {
      handler();
    } catch (thrown) {
      if (!(thrown instanceof VectronError) || thrown.code !== 'UNSUPPORTED_VERSION') throw thrown;
      this.member.retire(thrown.message, context);
    }
  }

  private take(message: Message, from: Address, context: ActorContext): void {
    if (this.member.handle(message, context)) return;
    if (isPlacementRequest(message)) return this.serve(message, from, context);
    switch (message.kind) {
      case 'members.state':
        if (this.isServing) this.moves.answered(message, context);
        break;
      case 'schema.state':
        if (this.isServing) this.schemas.answered(message, context);
        break;
      case 'level.state':
        this.flags.answered(message);
        break;
      case 'pd.driverSupport':
        if (this.isMember(message, from)) this.flags.driverSpoke(message);
        break;
      default:
        break;
    }
  }

  signalled(signal: Signal, context: ActorContext): void {
    this.guarded(context, () => {
      if (this.member.signalled(signal, context)) return;
      if (signal.signal !== 'timer' || signal.key !== sweepKey) return;
      this.watchers.expire(context.now);
      const soft = this.isServing ? this.soft : null;
      if (soft !== null) this.moves.sweep(soft, this.tuning.deadAfterMs, context);
      if (soft !== null) this.schemas.sweep(soft, context);
      this.flags.sweep(soft, context);
      this.armSweep(context);
    });
  }

  private isMember({ cluster, replica }: MessageOf<'pd.driverSupport'>, from: Address): boolean {
    const node = this.setup.members.find((one) => one.replica === replica)?.node;
    return cluster === this.setup.cluster && node === from.node && from.actor === placementActor;
  }

  stopped(): void {
    // The store belongs to the process.
  }

  private armSweep(context: ActorContext): void {
    context.setTimer(sweepKey, sweepMs, { signal: 'timer', key: sweepKey });
  }

  /** What was heard under another leadership says nothing about this one. */
  private leadershipChanged(context: ActorContext): void {
    this.watchers.clear();
    this.flags.forget();
    this.soft = this.member.isLeader ? new SoftState(context.now, this.tuning.unhealthyAfterMs) : null;
  }

  // Requests

  private serve(message: Request, from: Address, context: ActorContext): void {
    if (message.kind === 'pd.status') {
      context.send(from, statusReply(message.request, this.refusal(), this), lanes.completion);
      return;
    }
    const refused = this.refusal() ?? objectionTo(message, from, this.setup.cluster, this.machine);
    if (refused !== null) this.refuse(message, refused, from, context);
    else if (message.kind === 'pd.watch') this.watch(message, from, context);
    else if (message.kind === 'pd.heartbeat') this.heartbeat(message, from, context);
    else if (message.kind === 'pd.replicaFaults') this.faults(message, from, context);
    else if (message.kind === 'pd.support') this.support(message, from, context);
    else if (message.kind === 'pd.flags') context.send(from, flagsReply(message.request, this), lanes.completion);
    else if (message.kind === 'pd.registerWorker') this.registerWorker(message, from, context);
    else if (message.kind === 'pd.createCollection' || message.kind === 'pd.createMortal')
      this.createCollection(message, from, context);
    else if (message.kind === 'pd.moveReplica') this.moveReplica(message, from, context);
    else if (message.kind === 'pd.transferLeader') this.transferLeader(message, from, context);
    else if (message.kind === 'pd.getSchema' || message.kind === 'pd.getTtl')
      context.send(from, this.schemas.reply(message), lanes.completion);
    else this.propose(message, operationOf(message), from, context);
  }

  /** Why this node does not answer anybody now, or null. */
  private refusal(): Failure | null {
    if (this.member.leaderIsReady && this.soft !== null) return null;
    if (this.member.isLeader) return failure('UNAVAILABLE', 'leadership is not confirmed yet', retryAfterMs);
    const { leader } = this.member;
    const node = this.setup.members.find(({ replica }) => replica === leader)?.node ?? '';
    return { ...failure('NOT_LEADER', 'this node does not lead', retryAfterMs), leader: node };
  }

  private registerWorker(message: MessageOf<'pd.registerWorker'>, from: Address, context: ActorContext): void {
    const { address, zone, rack, storeIncarnation } = message;
    const { node } = from;
    if (message.node !== node) {
      this.refuse(message, failure('FAILED_PRECONDITION', `${node} registers ${message.node}`), from, context);
      return;
    }
    this.propose(message, { kind: 'registerWorker', node, address, zone, rack, storeIncarnation }, from, context);
  }

  private createCollection(
    message: MessageOf<'pd.createCollection' | 'pd.createMortal'>,
    from: Address,
    context: ActorContext,
  ): void {
    const avoid = this.softNow().unhealthy(this.machine, context.now);
    const ttlMs = message.kind === 'pd.createMortal' ? message.ttlMs : 0;
    this.propose(message, creationOf({ ...message, avoid, ttlMs }), from, context);
  }

  /** Answered once the confirmed removals are in the log: until then the worker goes on confirming them. */
  private heartbeat(message: MessageOf<'pd.heartbeat'>, from: Address, context: ActorContext): void {
    const { worker, replicas } = message;
    const news = this.softNow().heartbeat(worker, replicas, this.machine, context.now);
    this.watchers.publishLeaders(news, this.machine, context);
    const removed = message.removed.filter((replica) => this.machine.isToRemove(worker, replica));
    if (removed.length === 0) context.send(from, heartbeatReply(message.request, this.about()), lanes.completion);
    else this.propose(message, { kind: 'confirmRemovals', worker, replicas: removed }, from, context);
  }

  private faults(message: MessageOf<'pd.replicaFaults'>, from: Address, context: ActorContext): void {
    this.softNow().faulted(message.worker, message.faults, this.machine, context.now);
    context.send(from, heartbeatReply(message.request, this.about()), lanes.completion);
  }

  private support({ worker, range, request }: MessageOf<'pd.support'>, from: Address, context: ActorContext): void {
    this.flags.workerSpoke(worker, range);
    context.send(from, heartbeatReply(request, this.about()), lanes.completion);
  }

  /** Replicas that this leader was told need replacing, or people. Empty on a node that does not lead. */
  faultyReplicas(now: MonotonicMs): ReplicaFault[] {
    return this.soft?.faults(this.machine, now) ?? [];
  }

  private watch(message: MessageOf<'pd.watch'>, from: Address, context: ActorContext): void {
    const leaders = message.worker === 0 ? this.softNow().leaders(this.machine) : [];
    if (this.watchers.renew(message, from, this.machine, leaders, context)) return;
    this.refuse(message, failure('RESOURCE_EXHAUSTED', 'too many watchers', retryAfterMs), from, context);
  }

  // Moves

  private moveReplica(message: MessageOf<'pd.moveReplica'>, from: Address, context: ActorContext): void {
    const { shard, replica, target } = message;
    const avoid = this.softNow().unhealthy(this.machine, context.now);
    this.propose(message, { kind: 'moveReplica', shard, replica, target, avoid }, from, context);
  }

  private transferLeader(message: MessageOf<'pd.transferLeader'>, from: Address, context: ActorContext): void {
    const { request } = message;
    const { revision } = this.machine;
    const refused = this.moves.transferLeader(message, this.softNow(), context);
    if (refused !== null) this.refuse(message, refused, from, context);
    else context.send(from, { kind: 'pd.leaderTransferring', request, failure: null, revision }, lanes.completion);
  }

  // Proposals

  private propose(message: Request, operation: PlacementOperation, from: Address, context: ActorContext): void {
    const error = this.machine.check(operation);
    if (error !== null) {
      this.refuse(message, failureOf(error), from, context);
      return;
    }
    const settle: Parameters<RaftMember['propose']>[1] = (settled, later) => {
      if (settled.kind === 'unknown') {
        this.refuse(message, failure('OUTCOME_UNKNOWN', 'leadership was lost meanwhile'), from, later);
      } else {
        const outcome = present(this.store.outcomeOf(settled.index), `outcome of entry ${settled.index}`);
        this.answer(message, outcome, from, later);
      }
    };
    this.found(context);
    const result = this.member.propose(commandOf(operation), settle, context);
    if (!result.ok) this.refuse(message, this.notProposed(result.reason), from, context);
  }

  /** Ahead of the first operation in the log. Several may be under way: the first one holds. */
  private found(context: ActorContext): void {
    if (this.machine.incarnation !== 0) return;
    const operation = { kind: 'found', incarnation: context.random.between(1, incarnationMax) } as const;
    this.member.propose(commandOf(operation), () => undefined, context);
  }

  private notProposed(reason: 'notLeader' | 'busy' | 'transferring'): Failure {
    if (reason === 'busy') return failure('RESOURCE_EXHAUSTED', 'too many requests wait', retryAfterMs);
    return failure('NOT_LEADER', 'this node does not lead any more', retryAfterMs);
  }

  private answer(message: Request, outcome: PlacementOutcome, from: Address, context: ActorContext): void {
    if (outcome.kind === 'rejected') this.refuse(message, failureOf(outcome.error), from, context);
    else context.send(from, replyTo(message, outcome, this.about()), lanes.completion);
    if (outcome.kind === 'schemaChanged' && this.soft !== null) this.schemas.sweep(this.soft, context);
  }

  private about(): DriverState {
    const { machine, member, setup } = this;
    return { cluster: setup.cluster, incarnation: machine.incarnation, term: member.term, revision: machine.revision };
  }

  private refuse(message: Request, failed: Failure, from: Address, context: ActorContext): void {
    context.send(from, present(refusalOf(message, failed), `refusal of ${message.kind}`), lanes.completion);
  }

  private softNow(): SoftState {
    return present(this.soft, 'soft state of a leader');
  }

  private addressOf(replica: ReplicaId): Address | null {
    const member = this.setup.members.find((one) => one.replica === replica);
    return member === undefined ? null : at(member.node, placementActor);
  }
}
