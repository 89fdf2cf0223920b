import { assert } from '../base/assert';
import { entryBytesMax, inflightProposalsMax } from '../base/limits';
import { encode } from '../protocol/codec';
import { operationLevels, shardCommandCodec } from '../protocol/commands';
import type { Failure } from '../protocol/data-messages';
import { inRange, type KeyHash } from '../protocol/key-hash';
import type { MessageOf } from '../protocol/messages';
import type { ReplicaSpec } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import { failure, refusalOf } from '../runtime/refusal';
import { idsOf, operationFault, optionsFault } from '../shard/command-faults';
import type { ShardMachine } from '../shard/shard-machine';
import type { Refused } from '../shard/write-part';
import { admits } from '../vector/capacity';
import type { VectorEngine, VectorIndex } from '../vector/ports';
import type { RaftMember } from './raft-member';
import type { ProposalOutcome } from './raft-member-waiters';
import { unlinkedOf } from './replica-index';
import { failureOf, type OpenRequest, OpenRequests } from './replica-requests';

type WriteRequest = OpenRequest<MessageOf<'data.write'>>;

export interface WritePort {
  readonly spec: ReplicaSpec;
  readonly member: RaftMember;
  readonly machine: ShardMachine;
  readonly index: VectorIndex;
  readonly keyHash: KeyHash;
  readonly engine: Pick<VectorEngine, 'memory'>;
  readonly unlinkedPointsMax: number;
  notLeader(): Failure;
  stale(why: string): Failure;
}

const retryAfterMs = 50;
/** For a point with as many keys as it may have: one has to grow old. */
const fullRetryAfterMs = 1_000;
const fullMemoryRetryAfterMs = 5_000;

/**
 * Writes of one replica: checked, proposed, answered. What can be known of a command without the points is refused here
 * first. Whether a condition holds, and whether a key was seen before, only apply can tell (DESIGN D13): here it could be
 * true a moment too early.
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
    if (message.epoch.version !== machine.epoch.version)
      return this.port.stale('the request has another version of the shard');
    const { operation, options } = message;
    const fault = operationFault(operation, spec.collection.dimension) ?? optionsFault(options, operation);
    if (fault !== null) return failureOf(fault);
    if (operationLevels[operation.kind] > machine.level)
      return failure('UNAVAILABLE', `${operation.kind} is not switched on yet`, retryAfterMs);
    const foreign = this.foreignId(message);
    if (foreign !== null) return this.port.stale(`point ${foreign} belongs to another shard`);
    const full = this.fullness(operation);
    if (full !== null) return full;
    const unlinked = unlinkedOf(index);
    if (unlinked <= unlinkedPointsMax) return null;
    return failure('RESOURCE_EXHAUSTED', `${unlinked} points wait to be linked into the graph`, retryAfterMs);
  }

  /** Deletions are always taken: they are how room is made. */
  private fullness(operation: MessageOf<'data.write'>['operation']): Failure | null {
    if (operation.kind === 'delete') return null;
    const { dimension, hnsw, storage } = this.port.spec.collection;
    const { memory } = this.port.engine;
    if (admits(memory, { points: operation.points.length, dimension, m: hnsw.m, ...storage })) return null;
    const megabytes = (bytes: number): number => Math.round(bytes / 1e6);
    const why = `the indexes of this machine take ${megabytes(memory.bytes)} of ${megabytes(memory.bytesMax)} MB`;
    return { ...failure('RESOURCE_EXHAUSTED', why, fullMemoryRetryAfterMs), field: 'memory' };
  }

  private foreignId({ operation }: MessageOf<'data.write'>): string | null {
    const { keyHash, spec } = this.port;
    return idsOf(operation).find((id) => !inRange(spec.shard.range, keyHash(id))) ?? null;
  }

  private propose(request: WriteRequest, context: ActorContext): Failure | null {
    const { epoch, operation, options } = request.message;
    const data = encode(shardCommandCodec, { kind: 'v2', epoch, timeMs: context.wall, operation, options });
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
      const { index, affected, versions, previous, previousOmitted, replayed } = result;
      const header = { kind: 'data.written', request: message.request, shard: message.shard, failure: null } as const;
      const effect = { index, affected, versions, previous, previousOmitted, replayed, conflict: null };
      request.reply({ ...header, ...effect }, context);
    } else if (result.code === 'STALE_SHARD') request.fail(this.port.stale(result.message), context);
    else this.refused(request, result, context);
  }

  private refused(request: WriteRequest, result: Refused, context: ActorContext): void {
    const hintMs = result.code === 'RESOURCE_EXHAUSTED' ? fullRetryAfterMs : 0;
    const failed = { ...failure(result.code, result.message, hintMs), field: result.field ?? '' };
    const answer = refusalOf(request.message, failed);
    assert(answer?.kind === 'data.written', 'a write has no refusal');
    request.reply({ ...answer, conflict: result.conflict ?? null }, context);
  }
}

const busy = (why: string): Failure => failure('RESOURCE_EXHAUSTED', why, retryAfterMs);
