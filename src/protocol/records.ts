import { VectronError } from '../base/errors';
import { type CollectionId, collectionId } from '../base/ids';
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

/** How a collection's vectors are held for walks: in 8 bits a component beside the originals, or by the originals alone. */
export const quantisationCodec = oneOf('int8', 'none');
export type Quantisation = TypeOf<typeof quantisationCodec>;
/** Where the originals are: those on disk are read to rank the best again, and for exact searches. */
export const originalsCodec = oneOf('memory', 'disk');
export type Originals = TypeOf<typeof originalsCodec>;

export const storageCodec = struct({ quantisation: quantisationCodec, originals: originalsCodec });
export type StorageSettings = TypeOf<typeof storageCodec>;
/** Of collections whose records do not say. */
export const defaultStorage: StorageSettings = { quantisation: 'int8', originals: 'memory' };
export const isDefaultStorage = ({ quantisation, originals }: StorageSettings): boolean =>
  quantisation === defaultStorage.quantisation && originals === defaultStorage.originals;

/** A last field of a message: absent stands for the default, and the default for what earlier programs wrote. */
export const laterStorage: Codec<StorageSettings> = {
  write: (w, v) => {
    if (!isDefaultStorage(v)) storageCodec.write(w, v);
  },
  read: (r) => (r.remaining === 0 ? defaultStorage : storageCodec.read(r)),
};

export const hnswCodec = struct({ m: varint, efConstruction: varint });
export type HnswParameters = TypeOf<typeof hnswCodec>;

const collectionFields = struct({
  name: text,
  dimension: varint,
  metric: metricCodec,
  hnsw: hnswCodec,
  replicationFactor: varint,
  shardIds: list(shardIdCodec),
});
export type CollectionRecord = TypeOf<typeof collectionFields> & {
  readonly id: CollectionId;
  readonly storage: StorageSettings;
};

/** Where a record of the first form has its id, which is never this: the form follows, and then the id. */
const formMark = 0;
const storedForm = 1;

/** Durable, and inside others. Records with the default storage have the first form, which knows no other. */
export const collectionRecordCodec: Codec<CollectionRecord> = {
  write: (w, record) => {
    const isFirst = isDefaultStorage(record.storage);
    if (!isFirst) {
      varint.write(w, formMark);
      varint.write(w, storedForm);
    }
    collectionIdCodec.write(w, record.id);
    collectionFields.write(w, record);
    if (!isFirst) storageCodec.write(w, record.storage);
  },
  read: (r) => {
    const first = varint.read(r);
    if (first !== formMark) return { id: collectionId(first), ...collectionFields.read(r), storage: defaultStorage };
    const form = varint.read(r);
    if (form !== storedForm) {
      throw new VectronError('UNSUPPORTED_VERSION', `collection of form ${form} is of a later version of this program`);
    }
    const id = collectionIdCodec.read(r);
    return { id, ...collectionFields.read(r), storage: storageCodec.read(r) };
  },
};

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
