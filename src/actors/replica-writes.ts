import { entryBytesMax, inflightProposalsMax } from '../base/limits';
import { encode } from '../protocol/codec';
import { shardCommandCodec } from '../protocol/commands';
import type { Failure } from '../protocol/data-messages';
import { sameEpoch } from '../protocol/ids';
import { inRange, type KeyHash } from '../protocol/key-hash';
import type { MessageOf } from '../protocol/messages';
import type { ReplicaSpec } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import { failure } from '../runtime/refusal';
import { operationFault } from '../shard/shard-apply';
import type { ShardMachine } from '../shard/shard-machine';
import type { VectorIndex } from '../vector/ports';
import type { RaftMember } from './raft-member';
import type { ProposalOutcome } from './raft-member-waiters';
import { failureOf, type OpenRequest, OpenRequests } from './replica-requests';

type WriteRequest = OpenRequest<MessageOf<'data.write'>>;

export interface WritePort {
  readonly spec: ReplicaSpec;
  readonly member: RaftMember;
  readonly machine: ShardMachine;
  readonly index: VectorIndex;
  readonly keyHash: KeyHash;
  readonly unlinkedPointsMax: number;
  notLeader(): Failure;
  stale(why: string): Failure;
}

const retryAfterMs = 50;

/**
 * Writes of one replica: checked, proposed, answered. Everything that apply could refuse is refused here first, so that
 * only a change of epoch on the way makes an entry without effect; beyond the limits here nothing is refused at apply.
 */
export class ReplicaWrites {
  private readonly open = new OpenRequests<MessageOf<'data.write'>>(inflightProposalsMax);

  constructor(private readonly port: WritePort) {}

  get openCount(): number {
    return this.open.count;
  }

  accept(request: WriteRequest, context: ActorContext): void {
    const failed = this.refusal(request) ?? this.propose(request, context);
    if (failed !== null) request.fail(failed, context);
  }

  sweep(context: ActorContext): void {
    this.open.sweep(context);
  }

  private refusal({ message }: WriteRequest): Failure | null {
    const { member, machine, index, spec, unlinkedPointsMax } = this.port;
    if (!member.isLeader) return this.port.notLeader();
    if (!sameEpoch(message.epoch, machine.epoch)) return this.port.stale('the request has another epoch');
    const fault = operationFault(message.operation, spec.collection.dimension);
    if (fault !== null) return failureOf(fault);
    const foreign = this.foreignId(message);
    if (foreign !== null) return this.port.stale(`point ${foreign} belongs to another shard`);
    if (index.unlinked <= unlinkedPointsMax) return null;
    return failure('RESOURCE_EXHAUSTED', `${index.unlinked} points wait to be linked into the graph`, retryAfterMs);
  }

  private foreignId({ operation }: MessageOf<'data.write'>): string | null {
    const { keyHash, spec } = this.port;
    const ids = operation.kind === 'upsert' ? operation.points.map((point) => point.id) : operation.ids;
    return ids.find((id) => !inRange(spec.shard.range, keyHash(id))) ?? null;
  }

  private propose(request: WriteRequest, context: ActorContext): Failure | null {
    const { epoch, operation } = request.message;
    const data = encode(shardCommandCodec, { kind: 'v1', epoch, timeMs: context.wall, operation });
    if (data.length > entryBytesMax) {
      const why = `one write makes a log entry of at most ${entryBytesMax} bytes, not ${data.length}`;
      return { ...failure('INVALID_ARGUMENT', why), field: 'operation' };
    }
    if (!this.open.add(request)) return busy('too many writes are on their way');
    const result = this.port.member.propose(data, (outcome, later) => this.settled(request, outcome, later), context);
    if (result.ok) return null;
    return result.reason === 'busy' ? busy('the log is behind') : this.port.notLeader();
  }

  private settled(request: WriteRequest, outcome: ProposalOutcome, context: ActorContext): void {
    const { message } = request;
    if (outcome.kind === 'unknown') {
      request.refuse('OUTCOME_UNKNOWN', 'leadership was lost before the write was known to be committed', context);
      return;
    }
    const result = this.port.machine.outcomeOf(outcome.index);
    if (result === undefined) request.refuse('INTERNAL', 'an applied write has no outcome', context);
    else if (result.ok) {
      const { request: number, shard } = message;
      const { index } = outcome;
      const done = { kind: 'data.written', request: number, shard, failure: null, index } as const;
      request.reply({ ...done, affected: result.affected }, context);
    } else if (result.code === 'STALE_SHARD') request.fail(this.port.stale(result.message), context);
    else request.refuse(result.code, result.message, context);
  }
}

const busy = (why: string): Failure => failure('RESOURCE_EXHAUSTED', why, retryAfterMs);
