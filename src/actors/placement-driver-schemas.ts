import { present } from '../base/assert';
import type { CollectionId, ReplicaId, ShardId, Term } from '../base/ids';
import type { PlacementOperation } from '../placement/commands';
import type { PlacementMachine } from '../placement/machine';
import type { SchemaRecord } from '../placement/records';
import { noCollection } from '../placement/schemas';
import { at, lanes, replicaActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { ShardRecord } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import { refusalOf } from '../runtime/refusal';
import { failureOf, schemaReply, ttlReply } from './placement-driver-replies';
import type { SoftState } from './placement-driver-soft';

export interface SchemasPort {
  readonly machine: () => PlacementMachine;
  readonly term: () => Term;
  propose(operation: PlacementOperation, context: ActorContext): unknown;
}

/** Shards that are told of a schema in one sweep: a collection may have a thousand. */
const ordersMax = 256;

/**
 * Carries schemas to the shards: each shard's leader puts it into its own log, so that all of its replicas index alike. Owned
 * by the leading placement driver; everything here is soft, and begun anew by the next leader from the records.
 *
 *  1. A schema is settled once every shard of its collection has said that it has applied it, or a later one.
 *  2. An order that is lost is given again at the next sweep; a shard that has the schema only says so.
 */
export class SchemaDriver {
  /** The schema revision that each shard has said it has. */
  private readonly known = new Map<ShardId, number>();
  /** Whom to ask next in a shard where nobody is known to lead. */
  private readonly places = new Map<ShardId, number>();
  private requests = 0;

  constructor(private readonly port: SchemasPort) {}

  sweep(soft: SoftState, context: ActorContext): void {
    const unsettled = this.port.machine().schemas.unsettled();
    if (unsettled.length === 0) return this.clear();
    let left = ordersMax;
    for (const record of unsettled) {
      const shards = this.shardsOf(record.id);
      const waiting = shards.filter((shard) => !this.has(shard, record));
      if (waiting.length === 0) this.settle(record, context);
      for (const shard of waiting.slice(0, left)) this.order(shard, record, soft.leaderOf(shard.id), context);
      left = Math.max(0, left - waiting.length);
    }
  }

  reply(message: MessageOf<'pd.getSchema' | 'pd.getTtl'>): Message {
    const machine = this.port.machine();
    const { kind, request, name } = message;
    const record = machine.schemas.named(name);
    if (record !== null) return (kind === 'pd.getTtl' ? ttlReply : schemaReply)(request, record, machine.revision);
    return present(refusalOf(message, failureOf(noCollection(name))), `refusal of ${kind}`);
  }

  answered(state: MessageOf<'schema.state'>, context: ActorContext): void {
    const machine = this.port.machine();
    const shard = machine.shard(state.shard);
    if (shard === null || state.failure !== null) return;
    this.known.set(shard.id, Math.max(state.revision, this.known.get(shard.id) ?? 0));
    this.places.delete(shard.id);
    const record = machine.schemas.unsettled().find(({ id }) => id === shard.collection);
    if (record === undefined) return;
    if (this.shardsOf(record.id).every((one) => this.has(one, record))) this.settle(record, context);
  }

  private clear(): void {
    this.known.clear();
    this.places.clear();
  }

  private shardsOf(collection: CollectionId): readonly ShardRecord[] {
    return this.port
      .machine()
      .shards()
      .filter((shard) => shard.collection === collection);
  }

  private has(shard: ShardRecord, { schema }: SchemaRecord): boolean {
    return (this.known.get(shard.id) ?? 0) >= schema.revision;
  }

  private settle({ id, schema }: SchemaRecord, context: ActorContext): void {
    this.port.propose({ kind: 'settleSchema', collection: id, revision: schema.revision }, context);
  }

  /** The hint may be old: every other order goes to the next member in turn. */
  private order(shard: ShardRecord, record: SchemaRecord, leader: ReplicaId | null, context: ActorContext): void {
    const turn = this.places.get(shard.id) ?? 0;
    this.places.set(shard.id, turn + 1);
    const hinted = shard.members.find(({ replica }) => replica === leader);
    const member = (turn % 2 === 0 ? hinted : undefined) ?? shard.members[(turn >> 1) % shard.members.length];
    if (member === undefined) return;
    const order = { request: ++this.requests, shard: shard.id, term: this.port.term(), schema: record.schema };
    context.send(at(member.node, replicaActor(member.replica)), { kind: 'schema.order', ...order }, lanes.completion);
  }
}
