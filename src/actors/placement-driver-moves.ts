import type { NodeName, ReplicaId, ShardId, Term, WorkerId } from '../base/ids';
import type { PlacementOperation } from '../placement/commands';
import type { PlacementMachine } from '../placement/machine';
import { nextStep } from '../placement/moves';
import type { MoveRecord } from '../placement/records';
import type { Failure } from '../protocol/data-messages';
import { at, lanes, replicaActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { Member, ShardRecord } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import { failure } from '../runtime/refusal';
import type { SoftState } from './placement-driver-soft';

const retryAfterMs = 1_000;

export interface MovesPort {
  readonly machine: () => PlacementMachine;
  readonly term: () => Term;
  propose(operation: PlacementOperation, context: ActorContext): unknown;
}

interface Losses {
  readonly dead: readonly WorkerId[];
  readonly damaged: readonly ReplicaId[];
}

interface Conversation {
  /** Whom to ask next when nobody says who leads. */
  place: number;
  /** Times the leader was asked to hand over: every other time the group is to change without that. */
  handOvers: number;
}

/**
 * Carries out the moves that are decided, and decides those that repair: a damaged member, or one
 * on a worker that is gone for good or silent for too long, is replaced. Owned by the leading placement driver; everything here is soft, and begun anew by the
 * next leader from the records and from what the groups say (DESIGN D8, D11).
 *
 *  1. One step at a time, each decided on the confVersion that the group reported and refused by it at any other.
 *  2. A shard's record changes only with what its group has committed.
 *  3. A question or an order that is lost is asked again at the next sweep.
 */
export class MoveDriver {
  private readonly conversations = new Map<ShardId, Conversation>();
  private requests = 0;

  constructor(private readonly port: MovesPort) {}

  /** Workers that have been silent for `deadAfterMs` are given up. */
  sweep(soft: SoftState, deadAfterMs: number, context: ActorContext): void {
    const machine = this.port.machine();
    const dead = soft.unhealthy(machine, context.now, deadAfterMs);
    const damaged = soft
      .faults(machine, context.now)
      .filter(({ state }) => state === 'damaged')
      .map(({ replica }) => replica);
    for (const shard of machine.shards()) {
      const move = machine.move(shard.id);
      const lost = this.lost(shard, move, { dead, damaged }, machine);
      if (lost !== null) this.replace(shard.id, lost, dead, context);
      if (move !== null) this.ask(shard, soft.leaderOf(shard.id), context);
    }
    for (const id of this.conversations.keys()) if (machine.move(id) === null) this.conversations.delete(id);
  }

  /** Somebody outside wants another leader: passed on, and nobody waits for what comes of it. Null: it is on its way. */
  transferLeader(
    { shard: id, replica: to }: MessageOf<'pd.transferLeader'>,
    soft: SoftState,
    context: ActorContext,
  ): Failure | null {
    const shard = this.port.machine().shard(id);
    if (shard === null) return failure('NOT_FOUND', `no shard ${id}`);
    const leader = shard.members.find(({ replica }) => replica === soft.leaderOf(id));
    if (leader === undefined) return failure('RESOURCE_EXHAUSTED', `no leader of shard ${id} is known`, retryAfterMs);
    const order = { shard: id, term: this.port.term(), to };
    this.send(leader.node, leader.replica, { kind: 'members.handOver', request: ++this.requests, ...order }, context);
    return null;
  }

  answered(state: MessageOf<'members.state'>, context: ActorContext): void {
    const machine = this.port.machine();
    const [shard, move] = [machine.shard(state.shard), machine.move(state.shard)];
    if (shard === null || move === null) return;
    if (state.failure?.code === 'NOT_LEADER' || state.leader !== state.replica) this.askHinted(shard, state, context);
    else if (state.failure === null) this.proceed(shard, move, state, context);
  }

  /** A member that has to go, or the new one of a move that cannot come; null: all is well. */
  private lost(
    shard: ShardRecord,
    move: MoveRecord | null,
    { dead, damaged }: Losses,
    machine: PlacementMachine,
  ): ReplicaId | null {
    const isGone = ({ worker, replica }: Member): boolean =>
      dead.includes(worker) || damaged.includes(replica) || machine.worker(worker)?.state === 'draining';
    const candidates = shard.members.filter(({ replica }) => move === null || replica === move.incoming);
    return candidates.find(isGone)?.replica ?? null;
  }

  private replace(shard: ShardId, replica: ReplicaId, dead: readonly WorkerId[], context: ActorContext): void {
    this.propose({ kind: 'moveReplica', shard, replica, target: 0 as WorkerId, avoid: dead }, context);
  }

  private propose(operation: PlacementOperation, context: ActorContext): void {
    if (this.port.machine().check(operation) === null) this.port.propose(operation, context);
  }

  private ask(shard: ShardRecord, leader: ReplicaId | null, context: ActorContext): void {
    const talk = this.conversation(shard.id);
    const hinted = shard.members.find(({ replica }) => replica === leader);
    // The hint may be old: every other question goes to the next one in turn.
    const turn = talk.place++;
    const member = (turn % 2 === 0 ? hinted : undefined) ?? shard.members[(turn >> 1) % shard.members.length];
    if (member !== undefined) this.question(shard.id, member.replica, member.node, context);
  }

  private askHinted(shard: ShardRecord, state: MessageOf<'members.state'>, context: ActorContext): void {
    const leader = shard.members.find(({ replica }) => replica === state.leader && replica !== state.replica);
    if (leader !== undefined) this.question(shard.id, leader.replica, leader.node, context);
  }

  private proceed(
    shard: ShardRecord,
    move: MoveRecord,
    state: MessageOf<'members.state'>,
    context: ActorContext,
  ): void {
    const talk = this.conversation(shard.id);
    const step = nextStep(move, shard, state, talk.handOvers % 2 === 0);
    const { confVersion } = state.epoch;
    const node = shard.members.find(({ replica }) => replica === state.replica)?.node;
    if (step.kind === 'settle') {
      const { voters } = state.configuration;
      this.propose({ kind: 'settleMembers', shard: shard.id, confVersion, voters }, context);
    } else if (node !== undefined && step.kind !== 'wait') {
      if (!move.target.includes(state.leader)) talk.handOvers++;
      const header = { request: ++this.requests, shard: shard.id, term: this.port.term() };
      const { members } = shard;
      const order: Message =
        step.kind === 'handOver'
          ? { kind: 'members.handOver', ...header, to: step.to }
          : { kind: 'members.change', ...header, confVersion, voters: step.voters, learners: step.learners, members };
      this.send(node, state.replica, order, context);
    }
  }

  private question(shard: ShardId, replica: ReplicaId, node: NodeName, context: ActorContext): void {
    this.send(node, replica, { kind: 'members.ask', request: ++this.requests, shard }, context);
  }

  private send(node: NodeName, replica: ReplicaId, message: Message, context: ActorContext): void {
    context.send(at(node, replicaActor(replica)), message, lanes.completion);
  }

  private conversation(shard: ShardId): Conversation {
    const known = this.conversations.get(shard) ?? { place: 0, handOvers: 0 };
    this.conversations.set(shard, known);
    return known;
  }
}
