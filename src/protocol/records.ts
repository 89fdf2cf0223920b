import { bool, type Codec, list, oneOf, struct, type TypeOf, text, varint } from './codec';
import {
  clusterIdCodec,
  collectionIdCodec,
  epochCodec,
  nodeNameCodec,
  replicaIdCodec,
  revisionCodec,
  shardIdCodec,
  workerIdCodec,
} from './ids';
import { hashRangeCodec } from './key-hash';

export const metricCodec = oneOf('cosine', 'euclidean', 'dot');
export type Metric = TypeOf<typeof metricCodec>;

/** Where the vectors of a collection are kept: their codes are in memory in any case. */
export const originalsCodec = oneOf('memory', 'disk');
export type Originals = TypeOf<typeof originalsCodec>;

export const hnswCodec = struct({ m: varint, efConstruction: varint });
export type HnswParameters = TypeOf<typeof hnswCodec>;

export const collectionRecordCodec = struct({
  id: collectionIdCodec,
  name: text,
  dimension: varint,
  metric: metricCodec,
  hnsw: hnswCodec,
  replicationFactor: varint,
  shardIds: list(shardIdCodec),
});
export type CollectionRecord = TypeOf<typeof collectionRecordCodec>;

export const memberCodec = struct({ replica: replicaIdCodec, worker: workerIdCodec, node: nodeNameCodec });
export type Member = TypeOf<typeof memberCodec>;

export const shardRecordCodec = struct({
  id: shardIdCodec,
  collection: collectionIdCodec,
  range: hashRangeCodec,
  epoch: epochCodec,
  members: list(memberCodec, 16),
});
export type ShardRecord = TypeOf<typeof shardRecordCodec>;

export const workerRecordCodec = struct({
  id: workerIdCodec,
  node: nodeNameCodec,
  /** `host:port` of the node's link; empty for a node of the same process. */
  address: text,
  zone: text,
  rack: text,
  /** Grows with each registration: a machine whose disk was replaced comes back under a new one. */
  storeIncarnation: text,
  state: oneOf('joining', 'ready', 'draining'),
});
export type WorkerRecord = TypeOf<typeof workerRecordCodec>;

/**
 * The explicit order to destroy a replica (DESIGN D8): the only thing that ever destroys one. A supervisor obeys it only
 * if cluster, shard and replica match and its own confVersion is not newer, or the shard is recorded as retired.
 */
export const removeRecordCodec = struct({
  cluster: clusterIdCodec,
  shard: shardIdCodec,
  replica: replicaIdCodec,
  worker: workerIdCodec,
  confVersion: varint,
  shardRetired: bool,
  revision: revisionCodec,
});
export type RemoveRecord = TypeOf<typeof removeRecordCodec>;

/** In an entry that changes a shard's members: where each of them is. Empty bytes: nothing new. Durable. */
export const memberListCodec = list(memberCodec, 16);

/** A last field that bytes of earlier versions lack: read as no members. */
export const laterMembers: Codec<readonly Member[]> = {
  write: memberListCodec.write,
  read: (r) => (r.remaining === 0 ? [] : memberListCodec.read(r)),
};

/** A last field that bytes of earlier versions lack: read as 0. */
const laterVarint: Codec<number> = { write: varint.write, read: (r) => (r.remaining === 0 ? 0 : varint.read(r)) };

/** All that a replica needs to start; kept by the store so that a worker starts without a placement driver. */
export const replicaSpecCodec = struct({
  cluster: clusterIdCodec,
  collection: collectionRecordCodec,
  shard: shardRecordCodec,
  replica: replicaIdCodec,
  /** True: the group's first members, who start from the shard record. False: waits for the leader's snapshot. */
  bootstrap: bool,
  /** Of the placement driver that assigned it: its worker obeys no other one. 0: unknown. */
  placementIncarnation: laterVarint,
});
export type ReplicaSpec = TypeOf<typeof replicaSpecCodec>;
