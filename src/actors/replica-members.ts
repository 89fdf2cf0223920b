import type { ErrorCode } from '../base/errors';
import { type NodeName, noReplica, type ReplicaId, type Term } from '../base/ids';
import { strangersMax } from '../base/limits';
import { decode, encode } from '../protocol/codec';
import { shardCommandCodec } from '../protocol/commands';
import type { Failure } from '../protocol/data-messages';
import { type Address, at, lanes, replicaActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import { configurationChangeCodec, type Entry } from '../protocol/raft-messages';
import { type Member, memberListCodec, type ReplicaSpec } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import { failure } from '../runtime/refusal';
import type { ShardMachine } from '../shard/shard-machine';
import type { RaftMember } from './raft-member';

export type MembersOrder = MessageOf<'members.ask' | 'members.change' | 'members.handOver' | 'level.raise'>;
const orderKinds: ReadonlySet<string> = new Set<MembersOrder['kind']>([
  'members.ask',
  'members.change',
  'members.handOver',
  'level.raise',
]);
export const isOrder = (message: Message): message is MembersOrder => orderKinds.has(message.kind);

/**
 * Where the replicas of one shard are, as one of them knows it: from its own record, from the log, from the driver's orders,
 * and from whoever writes to it. A replica id lives on one node for ever, so what was learnt stays true.
 */
export class ReplicaBook {
  private readonly nodes = new Map<ReplicaId, NodeName>();
  /** Known by nothing but what they said, and not believed against anything else. */
  private readonly strangers = new Map<ReplicaId, NodeName>();

  constructor(private readonly spec: ReplicaSpec) {
    this.learn(spec.shard.members);
  }

  learn(members: readonly Member[]): void {
    for (const { replica, node } of members) this.nodes.set(replica, node);
  }

  /** A configuration entry that is in the log, applied or not. */
  learnEntry({ type, data }: Entry): void {
    if (type !== 'config') return;
    const { context } = decode(configurationChangeCodec, data);
    if (context.length > 0) this.learn(decode(memberListCodec, context));
  }

  /** Who speaks for a replica of this shard to this one: a member may hear of the newest ones from nobody else. */
  learnSender(message: Message, from: Address): void {
    if (!('cluster' in message && 'shard' in message && 'from' in message && 'to' in message)) return;
    const { cluster, shard, replica } = this.spec;
    const isOurs = message.cluster === cluster && message.shard === shard.id && message.to === replica;
    if (!isOurs || from.actor !== replicaActor(message.from) || this.nodes.has(message.from)) return;
    this.strangers.delete(message.from);
    this.strangers.set(message.from, from.node);
    const [first] = this.strangers.keys();
    if (this.strangers.size > strangersMax && first !== undefined) this.strangers.delete(first);
  }

  nodeOf(replica: ReplicaId): NodeName | null {
    return this.nodes.get(replica) ?? this.strangers.get(replica) ?? null;
  }

  addressOf(replica: ReplicaId): Address | null {
    const node = this.nodeOf(replica);
    return node === null ? null : at(node, replicaActor(replica));
  }
}

/**
 * Does to a shard's members, and to its level, what the placement driver orders.
 *
 *  1. Only a leader that a quorum heard lately, and that has applied an entry of its own term, obeys.
 *  2. An order names the confVersion it was decided on; while a change is not over, or after another one, it is refused.
 *     No change can come between the check and its own: the core begins none before the last one is applied here.
 *  3. An order of an earlier term of the driver than was heard of is refused (DESIGN D8).
 */
export class ReplicaMembers {
  private driverTerm = 0 as Term;

  constructor(
    private readonly spec: ReplicaSpec,
    private readonly book: ReplicaBook,
    private readonly member: RaftMember,
    private readonly machine: ShardMachine,
  ) {}

  obey(message: MembersOrder, from: Address, context: ActorContext): void {
    const refused = this.perform(message, context);
    const { request } = message;
    const answer = message.kind === 'level.raise' ? this.level(request, refused) : this.state(request, refused);
    context.send(from, answer, lanes.completion);
  }

  private perform(message: MembersOrder, context: ActorContext): Failure | null {
    if (message.shard !== this.spec.shard.id) return failure('STALE_SHARD', 'this is a replica of another shard');
    if (!this.member.leaderIsReady) return failure('NOT_LEADER', 'this replica does not lead its shard');
    if (message.kind === 'members.ask') return null;
    if (message.term < this.driverTerm) return failure('FAILED_PRECONDITION', 'the order of a former driver');
    this.driverTerm = message.term;
    if (message.kind === 'level.raise') return this.raise(message, context);
    return message.kind === 'members.change' ? this.change(message, context) : this.handOver(message, context);
  }

  private change(order: MessageOf<'members.change'>, context: ActorContext): Failure | null {
    const { epoch } = this.machine;
    if (order.confVersion !== epoch.confVersion) {
      return failure('FAILED_PRECONDITION', `confVersion is ${epoch.confVersion}, not ${order.confVersion}`);
    }
    this.book.learn(order.members);
    const { voters, learners, members } = order;
    const result = this.member.changeMembers({ voters, learners }, encode(memberListCodec, members), context);
    return result.ok ? null : refusal(result.reason);
  }

  private handOver({ to }: MessageOf<'members.handOver'>, context: ActorContext): Failure | null {
    const result = this.member.transferLeadership(to, context);
    return result.ok ? null : refusal(result.reason);
  }

  /** Proposed at once and answered before it is applied: the driver asks again. */
  private raise({ level }: MessageOf<'level.raise'>, context: ActorContext): Failure | null {
    const { machine } = this;
    if (machine.level >= level) return null;
    const command = encode(shardCommandCodec, { kind: 'raise', epoch: machine.epoch, level });
    const result = this.member.propose(command, () => undefined, context);
    return result.ok ? null : refusal(result.reason);
  }

  private level(request: number, failed: Failure | null): Message {
    const { spec, member, machine } = this;
    const about = { shard: spec.shard.id, replica: spec.replica, leader: member.leader, level: machine.level };
    return { kind: 'level.state', request, failure: failed, ...about };
  }

  private state(request: number, refused: Failure | null): Message {
    const { spec, member, machine } = this;
    const { epoch, configuration } = machine;
    const { replica, shard } = spec;
    const { raft, leader } = member;
    // While leadership is on its way the group refuses every change, and another order to hand over would prolong that.
    const changing = raft !== null && (raft.isChanging || raft.transferee !== noReplica);
    const about = { shard: shard.id, replica, leader, epoch, configuration, changing };
    return { kind: 'members.state', request, failure: refused, ...about };
  }
}

/** What may be otherwise a moment later, and what must be decided anew. */
function refusal(reason: string): Failure {
  const code: ErrorCode = reason === 'notLeader' ? 'NOT_LEADER' : 'FAILED_PRECONDITION';
  return failure(code, `the group refuses: ${reason}`);
}
