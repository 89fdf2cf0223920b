import type { ErrorCode } from '../base/errors';
import { collectionId, logIndex, nodeName, replicaId, revision, term, workerId } from '../base/ids';
import { type Failure, noFigures } from '../protocol/data-messages';
import type { Message, MessageKind, MessageOf } from '../protocol/messages';
import { emptySchema } from '../protocol/schemas';

/** A failure without the fields that only a shard can fill in. */
export const failure = (code: ErrorCode, message: string, retryAfterMs = 0): Failure => ({
  code,
  message,
  field: '',
  retryAfterMs,
  leader: '',
  epoch: null,
});

type Refuse<K extends MessageKind> = (request: MessageOf<K>, failed: Failure) => Message;
/** What a shard answers. */
export type DataRequestKind =
  | 'data.write'
  | 'data.search'
  | 'data.get'
  | 'data.scan'
  | 'data.select'
  | 'data.query'
  | 'data.tunedQuery'
  | 'data.memory'
  | 'data.status';
/** What the placement driver answers. */
export type PlacementRequest =
  | 'pd.registerWorker'
  | 'pd.heartbeat'
  | 'pd.replicaFaults'
  | 'pd.support'
  | 'pd.flags'
  | 'pd.createCollection'
  | 'pd.createMortal'
  | 'pd.deleteCollection'
  | 'pd.moveReplica'
  | 'pd.transferLeader'
  | 'pd.changeSchema'
  | 'pd.getSchema'
  | 'pd.changeTtl'
  | 'pd.getTtl'
  | 'pd.watch'
  | 'pd.status';

const none = logIndex(0);
const header = (
  { request, shard }: { readonly request: number; readonly shard: MessageOf<'data.get'>['shard'] },
  failed: Failure,
) => ({ request, shard, failure: failed });

const ofData: { readonly [K in DataRequestKind]: Refuse<K> } = {
  'data.write': (m, failed) => ({
    kind: 'data.written',
    ...header(m, failed),
    ...{ index: none, affected: 0, versions: [], previous: [], previousOmitted: 0, replayed: false, conflict: null },
  }),
  'data.search': (m, failed) => ({
    kind: 'data.found',
    ...header(m, failed),
    hits: [],
    stats: { strategy: 'scan', distances: 0, points: 0 },
    appliedIndex: none,
    ageMs: null,
  }),
  'data.get': (m, failed) => ({ kind: 'data.got', ...header(m, failed), points: [], appliedIndex: none, ageMs: null }),
  'data.scan': (m, failed) => ({
    kind: 'data.scanned',
    ...header(m, failed),
    points: [],
    done: false,
    appliedIndex: none,
  }),
  'data.select': (m, failed) => ({
    kind: 'data.selected',
    ...header(m, failed),
    ...{ hits: [], points: [], done: false, count: 0, visited: 0, stored: 0 },
    appliedIndex: none,
    ageMs: null,
  }),
  'data.query': (m, failed) => ({
    kind: 'data.queried',
    ...header(m, failed),
    results: [],
    appliedIndex: none,
    ageMs: null,
  }),
  'data.tunedQuery': (m, failed) => ({
    kind: 'data.tunedQueried',
    ...header(m, failed),
    ...{ results: [], indexed: false, appliedIndex: none, ageMs: null },
  }),
  'data.memory': (m, failed) => ({ kind: 'data.memoryReply', ...header(m, failed), bytes: 0, bytesMax: 0 }),
  'data.status': (m, failed) => ({
    kind: 'data.statusReply',
    ...header(m, failed),
    replica: replicaId(0),
    node: nodeName(''),
    role: 'follower',
    term: term(0),
    leader: replicaId(0),
    appliedIndex: none,
    commitIndex: none,
    points: 0,
    unlinked: 0,
    index: noFigures,
    digest: '',
  }),
};

const noSchema = { collection: collectionId(0), schema: emptySchema, settled: false, revision: revision(0) };

const notCreated = (request: number, failed: Failure): MessageOf<'pd.collectionCreated'> => ({
  ...{ kind: 'pd.collectionCreated', request, failure: failed },
  ...{ collection: null, revision: revision(0) },
});
const noTtl = { collection: collectionId(0), ttlMs: 0, settled: false, revision: revision(0) };

const ofPlacement: { readonly [K in PlacementRequest]: Refuse<K> } = {
  'pd.registerWorker': (m, failed) => ({
    kind: 'pd.workerRegistered',
    request: m.request,
    failure: failed,
    cluster: m.cluster,
    incarnation: 0,
    worker: workerId(0),
    revision: revision(0),
  }),
  'pd.heartbeat': (m, failed) => ({
    kind: 'pd.heartbeatReply',
    request: m.request,
    failure: failed,
    term: term(0),
    revision: revision(0),
  }),
  'pd.replicaFaults': (m, failed) => ({
    kind: 'pd.heartbeatReply',
    request: m.request,
    failure: failed,
    term: term(0),
    revision: revision(0),
  }),
  'pd.support': (m, failed) => ({
    kind: 'pd.heartbeatReply',
    request: m.request,
    failure: failed,
    term: term(0),
    revision: revision(0),
  }),
  'pd.flags': ({ request }, failed) => ({
    kind: 'pd.flagsReply',
    request,
    failure: failed,
    level: 0,
    nodes: [],
    shards: [],
  }),
  'pd.createCollection': (m, failed) => notCreated(m.request, failed),
  'pd.createMortal': (m, failed) => notCreated(m.request, failed),
  'pd.deleteCollection': (m, failed) => ({
    kind: 'pd.collectionDeleted',
    request: m.request,
    failure: failed,
    revision: revision(0),
  }),
  'pd.moveReplica': ({ request }, failed) => ({
    kind: 'pd.replicaMoving',
    request,
    failure: failed,
    replica: replicaId(0),
    revision: revision(0),
  }),
  'pd.transferLeader': ({ request }, failed) => ({
    kind: 'pd.leaderTransferring',
    request,
    failure: failed,
    revision: revision(0),
  }),
  'pd.changeSchema': ({ request }, failed) => ({ kind: 'pd.schema', request, failure: failed, ...noSchema }),
  'pd.getSchema': ({ request }, failed) => ({ kind: 'pd.schema', request, failure: failed, ...noSchema }),
  'pd.changeTtl': ({ request }, failed) => ({ kind: 'pd.ttl', request, failure: failed, ...noTtl }),
  'pd.getTtl': ({ request }, failed) => ({ kind: 'pd.ttl', request, failure: failed, ...noTtl }),
  'pd.watch': (m, failed) => ({
    kind: 'pd.watchEvent',
    request: m.request,
    failure: failed,
    term: term(0),
    change: {
      cluster: m.cluster,
      incarnation: 0,
      fromRevision: m.fromRevision,
      revision: m.fromRevision,
      full: false,
      workers: [],
      collections: [],
      collectionsDeleted: [],
      shards: [],
      shardsRetired: [],
      removals: [],
    },
    leaders: [],
  }),
  'pd.status': (m, failed) => ({
    kind: 'pd.statusReply',
    request: m.request,
    failure: failed,
    leader: replicaId(0),
    term: term(0),
    revision: revision(0),
    digest: '',
  }),
};

export const isPlacementRequest = (message: Message): message is MessageOf<PlacementRequest> =>
  Object.hasOwn(ofPlacement, message.kind);

const refusals: { readonly [K in MessageKind]?: (request: never, failed: Failure) => Message } = {
  ...ofData,
  ...ofPlacement,
};

/**
 * The reply that tells a request's sender it was not handled, or null for messages that nobody waits for. The request
 * must not have reached its actor: the sender may repeat it safely.
 */
export function refusalOf(message: Message, failed: Failure): Message | null {
  // The table pairs every kind with its own request type; the compiler cannot follow the pairing through a lookup.
  const refuse = refusals[message.kind] as ((request: Message, failed: Failure) => Message) | undefined;
  return refuse === undefined ? null : refuse(message, failed);
}
