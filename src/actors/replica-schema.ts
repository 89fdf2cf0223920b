import type { Term } from '../base/ids';
import { encode } from '../protocol/codec';
import { shardCommandCodec } from '../protocol/commands';
import type { Failure } from '../protocol/data-messages';
import { type Address, lanes } from '../protocol/envelope';
import { isOn } from '../protocol/flags';
import type { MessageOf } from '../protocol/messages';
import type { ReplicaSpec } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import { failure } from '../runtime/refusal';
import type { ShardMachine } from '../shard/shard-machine';
import type { RaftMember } from './raft-member';

type Order = MessageOf<'schema.order'>;

/**
 * Puts the schema that the placement driver orders into the shard's log, where it becomes that of every replica at one entry.
 * Only a leader obeys. Answered once it is applied here; one that is there already is not proposed again.
 */
export class ReplicaSchema {
  private driverTerm = 0 as Term;
  /** Of a proposal that is under way; 0: none. */
  private proposed = 0;

  constructor(
    private readonly spec: ReplicaSpec,
    private readonly member: RaftMember,
    private readonly machine: ShardMachine,
  ) {}

  obey(order: Order, from: Address, context: ActorContext): void {
    const refused = this.refusal(order);
    const { revision } = order.schema;
    if (refused !== null || this.machine.schema.revision >= revision) return this.answer(order, refused, from, context);
    if (this.proposed >= revision) return;
    const { epoch } = this.machine;
    const { schema } = order;
    const kind = schema.ttlMs > 0 ? 'mortalSchema' : 'schema';
    const data = encode(shardCommandCodec, { kind, epoch, schema });
    const result = this.member.propose(
      data,
      (_outcome, later) => {
        this.proposed = 0;
        const lost = this.machine.schema.revision < revision ? failure('UNAVAILABLE', 'it was not applied') : null;
        this.answer(order, lost, from, later);
      },
      context,
    );
    if (result.ok) this.proposed = revision;
    else this.answer(order, failure('UNAVAILABLE', `the group refuses: ${result.reason}`), from, context);
  }

  private refusal({ shard, term, schema }: Order): Failure | null {
    if (shard !== this.spec.shard.id) return failure('STALE_SHARD', 'this is a replica of another shard');
    if (!this.member.leaderIsReady) return failure('NOT_LEADER', 'this replica does not lead its shard');
    const needed = schema.ttlMs > 0 ? 'collectionTtl' : 'payloadIndexes';
    if (!isOn(needed, this.machine.level)) return failure('UNAVAILABLE', 'not switched on yet');
    if (term < this.driverTerm) return failure('FAILED_PRECONDITION', 'the order of a former driver');
    this.driverTerm = term;
    return null;
  }

  private answer({ request, shard }: Order, refused: Failure | null, from: Address, context: ActorContext): void {
    const { revision } = this.machine.schema;
    const state = { request, shard, failure: refused, replica: this.spec.replica, revision };
    context.send(from, { kind: 'schema.state', ...state }, lanes.completion);
  }
}
