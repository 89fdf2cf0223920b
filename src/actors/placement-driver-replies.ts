import type { VectronError } from '../base/errors';
import type { ClusterId, Revision, Term } from '../base/ids';
import { type PlacementOperation, placementCommandCodec } from '../placement/commands';
import type { PlacementMachine, PlacementOutcome } from '../placement/machine';
import type { SchemaRecord } from '../placement/records';
import { encode } from '../protocol/codec';
import type { Failure } from '../protocol/data-messages';
import type { Message, MessageOf } from '../protocol/messages';
import { failure, type PlacementRequest } from '../runtime/refusal';
import type { PlacementMember } from './placement-driver';
import type { FlagDriver } from './placement-driver-flags';
import type { RaftMember } from './raft-member';

/** What the leading placement driver's replies say of itself. */
export interface DriverState {
  readonly cluster: ClusterId;
  readonly incarnation: number;
  readonly term: Term;
  readonly revision: Revision;
}

type Done = Exclude<PlacementOutcome, { readonly kind: 'rejected' }>;

export function replyTo(
  { kind, request }: MessageOf<PlacementRequest>,
  outcome: Done,
  { cluster, incarnation, term }: DriverState,
): Message {
  const head = { request, failure: null, revision: outcome.revision };
  switch (outcome.kind) {
    case 'workerRegistered':
      return { kind: 'pd.workerRegistered', ...head, cluster, incarnation, worker: outcome.worker };
    case 'collectionCreated':
      return { kind: 'pd.collectionCreated', ...head, collection: outcome.collection };
    case 'collectionDeleted':
      return { kind: 'pd.collectionDeleted', ...head };
    case 'replicaMoving':
      return { kind: 'pd.replicaMoving', ...head, replica: outcome.replica };
    case 'schemaChanged':
      return (kind === 'pd.changeTtl' ? ttlReply : schemaReply)(request, outcome.record, outcome.revision);
    case 'founded':
    case 'membersSettled':
    case 'removalsConfirmed':
    case 'noted':
      return { kind: 'pd.heartbeatReply', ...head, term };
  }
}

export const heartbeatReply = (request: number, { term, revision }: DriverState): Message => ({
  kind: 'pd.heartbeatReply',
  request,
  failure: null,
  term,
  revision,
});

/** Also from nodes that do not lead, for comparing them; then `failure` says that it may be old. */
export function statusReply(
  request: number,
  refusal: Failure | null,
  { machine, member }: { readonly machine: PlacementMachine; readonly member: RaftMember },
): Message {
  const { revision } = machine;
  const { leader, term } = member;
  return { kind: 'pd.statusReply', request, failure: refusal, leader, term, revision, digest: machine.digest() };
}

export const schemaReply = (request: number, { id, schema, settled }: SchemaRecord, revision: Revision): Message => ({
  ...{ kind: 'pd.schema', request, failure: null },
  ...{ collection: id, schema, settled, revision },
});

export const ttlReply = (request: number, { id, schema, settled }: SchemaRecord, revision: Revision): Message => ({
  ...{ kind: 'pd.ttl', request, failure: null },
  ...{ collection: id, ttlMs: schema.ttlMs, settled, revision },
});

/** What is asked for by name alone. */
export function operationOf(
  message: MessageOf<'pd.deleteCollection' | 'pd.changeSchema' | 'pd.changeTtl'>,
): PlacementOperation {
  if (message.kind === 'pd.changeTtl') return { kind: 'changeTtl', name: message.name, ttlMs: message.ttlMs };
  if (message.kind === 'pd.deleteCollection') return { kind: 'deleteCollection', name: message.name };
  const { name, key, type } = message;
  return { kind: 'changeSchema', name, key, type };
}

export const commandOf = (operation: PlacementOperation): Uint8Array =>
  encode(placementCommandCodec, { kind: 'v1', operation });

export interface FlagsView {
  readonly machine: PlacementMachine;
  readonly flags: FlagDriver;
  readonly members: readonly PlacementMember[];
}

export function flagsReply(request: number, { machine, flags, members }: FlagsView): MessageOf<'pd.flagsReply'> {
  const drivers = members.map(({ replica, node }) => ({
    name: node,
    driver: true,
    range: machine.levels.driver(replica),
  }));
  const workers = machine.workerIds().flatMap((id) => {
    const worker = machine.worker(id);
    if (worker === null || worker.state === 'draining') return [];
    return [{ name: worker.node, driver: false, range: machine.levels.worker(id) }];
  });
  const shards = machine.shards().map(({ id }) => ({ shard: id, level: flags.levelOf(id) }));
  const nodes = [...drivers, ...workers];
  return { kind: 'pd.flagsReply', request, failure: null, level: machine.level, nodes, shards };
}

export const failureOf = (error: VectronError): Failure => ({
  ...failure(error.code, error.message, error.retryAfterMs ?? 0),
  field: error.field ?? '',
});
