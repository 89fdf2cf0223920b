import { list, nullable, oneOf, struct, type TypeOf, text, varint, versionedUnion } from '../protocol/codec';
import { flagNumber, flagRangeCodec } from '../protocol/flags';
import { collectionIdCodec, nodeNameCodec, replicaIdCodec, shardIdCodec, workerIdCodec } from '../protocol/ids';
import { hnswCodec, isDefaultStorage, metricCodec, storageCodec } from '../protocol/records';
import { indexedTypeCodec } from '../protocol/schemas';

/** A node of the placement driver by its replica id, or a worker. */
export const supportNodeCodec = struct({ kind: oneOf('driver', 'worker'), id: varint });
export type SupportNode = TypeOf<typeof supportNodeCodec>;

/** What the placement driver's log entries of type `command` hold. Durable: never change a variant, add one. */
export const placementOperationCodec = versionedUnion('placement operation', {
  /** The same node and store keep their worker id; a new store of a known node gets a new one. */
  1: ['registerWorker', struct({ node: nodeNameCodec, address: text, zone: text, rack: text, storeIncarnation: text })],
  /** `avoid`: workers that the proposing leader holds for dead. Soft knowledge enters the machine only this way. */
  2: [
    'createCollection',
    struct({
      name: text,
      dimension: varint,
      metric: metricCodec,
      hnsw: hnswCodec,
      shardCount: varint,
      replicationFactor: varint,
      avoid: list(workerIdCodec),
    }),
  ],
  3: ['deleteCollection', struct({ name: text })],
  /** The worker says that these replicas, which it was told to remove, are gone from its disks. */
  4: ['confirmRemovals', struct({ worker: workerIdCodec, replicas: list(replicaIdCodec) })],
  /** Drawn by the leader that finds a state without an incarnation; the first in the log holds for ever. Never 0. */
  5: ['found', struct({ incarnation: varint })],
  /**
   * Replaces a member by a new replica on `target`, or, if that is 0, where it fits best. A move of the same member that
   * has lost its new replica's worker begins again with another one; any other is the same move, asked for again.
   */
  6: [
    'moveReplica',
    struct({ shard: shardIdCodec, replica: replicaIdCodec, target: workerIdCodec, avoid: list(workerIdCodec) }),
  ],
  /** The shard's group, in its committed configuration of `confVersion`, has these voters and nobody else. */
  /** The levels at which a node can run groups (flags.ts), as it says itself. */
  8: ['noteSupport', struct({ node: supportNodeCodec, range: flagRangeCodec })],
  /** Switches flags on, unless a node that hosts a member does not know them. `drivers`: the whole driver's own group. */
  9: ['raiseLevel', struct({ level: varint, drivers: list(replicaIdCodec, 16) })],
  7: ['settleMembers', struct({ shard: shardIdCodec, confVersion: varint, voters: list(replicaIdCodec) })],
  /** Null: the payload index of this key is dropped. */
  12: ['changeSchema', struct({ name: text, key: text, type: nullable(indexedTypeCodec) })],
  /** As createCollection, for one whose storage is not the default. */
  16: [
    'createStored',
    struct({
      name: text,
      dimension: varint,
      metric: metricCodec,
      hnsw: hnswCodec,
      storage: storageCodec,
      shardCount: varint,
      replicationFactor: varint,
      avoid: list(workerIdCodec),
    }),
  ],
  /** As createStored, for one whose points live for `ttlMs`. */
  17: [
    'createMortal',
    struct({
      name: text,
      dimension: varint,
      metric: metricCodec,
      hnsw: hnswCodec,
      storage: storageCodec,
      shardCount: varint,
      replicationFactor: varint,
      avoid: list(workerIdCodec),
      ttlMs: varint,
    }),
  ],
  /** How long points live from then on whose writes do not say; 0: for ever. */
  18: ['changeTtl', struct({ name: text, ttlMs: varint })],
  /** Every shard of the collection has applied the schema of this revision. */
  13: ['settleSchema', struct({ collection: collectionIdCodec, revision: varint })],
});
export type PlacementOperation = TypeOf<typeof placementOperationCodec>;
export type PlacementOperationOf<K extends PlacementOperation['kind']> = Extract<
  PlacementOperation,
  { readonly kind: K }
>;

/** What is wanted of a collection, whichever operation says so. */
export type WantedCollection = Omit<PlacementOperationOf<'createMortal'>, 'kind'>;

/** In the words that every program knows, as long as they suffice. */
export function creationOf(wanted: WantedCollection): PlacementOperation {
  const { name, dimension, metric, hnsw, shardCount, replicationFactor, avoid, storage, ttlMs } = wanted;
  const plain = { name, dimension, metric, hnsw, shardCount, replicationFactor, avoid };
  if (ttlMs > 0) return { kind: 'createMortal', ...plain, storage, ttlMs };
  return isDefaultStorage(storage)
    ? { kind: 'createCollection', ...plain }
    : { kind: 'createStored', ...plain, storage };
}

/** The level (flags.ts) before which an operation may not be proposed; one that is in the log nevertheless is rejected. */
export const placementLevels: { readonly [K in PlacementOperation['kind']]: number } = {
  registerWorker: 0,
  createCollection: 0,
  deleteCollection: 0,
  confirmRemovals: 0,
  found: 0,
  moveReplica: 0,
  settleMembers: 0,
  noteSupport: 0,
  raiseLevel: 0,
  // Asked for by people: refused where it is planned, in words for them. Nothing settles before.
  changeSchema: 0,
  settleSchema: 0,
  createStored: flagNumber('storage'),
  // As changeSchema.
  createMortal: 0,
  changeTtl: 0,
};

export const placementCommandCodec = versionedUnion('placement command', {
  1: ['v1', struct({ operation: placementOperationCodec })],
});
export type PlacementCommand = TypeOf<typeof placementCommandCodec>;
