import { bytesOfFloats, utf8 } from '../../src/base/bytes';
import { crc32c } from '../../src/base/crc32c';
import {
  clusterId,
  collectionId,
  keyHash64,
  logIndex,
  nodeName,
  replicaId,
  shardId,
  term,
  workerId,
} from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import { encode } from '../../src/protocol/codec';
import {
  type Point,
  plainWrite,
  type ShardCommand,
  type ShardOperation,
  shardCommandCodec,
  type WriteOptions,
} from '../../src/protocol/commands';
import { flagRange } from '../../src/protocol/flags';
import { type KeyHash, tile } from '../../src/protocol/key-hash';
import type { Configuration, Entry } from '../../src/protocol/raft-messages';
import { defaultStorage, type ReplicaSpec } from '../../src/protocol/records';
import { ShardMachine, type ShardMachineOptions } from '../../src/shard/shard-machine';
import type { KeyValueStore } from '../../src/storage/ports';
import { FlatEngine } from '../../src/vector/flat-index';
import type { VectorIndex } from '../../src/vector/ports';

export const dimension = 4;
export const epoch = { version: 1, confVersion: 1 };
export const configuration: Configuration = {
  voters: [replicaId(11), replicaId(12), replicaId(13)],
  votersOutgoing: [],
  learners: [],
};

/** Spreads over the whole space as the real one does, without WebAssembly. */
export const testKeyHash: KeyHash = (id) => {
  const bytes = utf8(id);
  return keyHash64((BigInt(crc32c(bytes, 0x1234)) << 32n) | BigInt(crc32c(bytes, 0x9876)));
};

export const vectorOf = (random: Prng): Uint8Array =>
  bytesOfFloats(Float32Array.from({ length: dimension }, () => random.gaussian()));

export const pointOf = (id: string, random: Prng, payloadBytes = 8): Point => ({
  id,
  vector: vectorOf(random),
  payload: Uint8Array.from({ length: payloadBytes }, () => random.between(0, 255)),
});

export const upsert = (...points: Point[]): ShardOperation => ({ kind: 'upsert', points });
export const remove = (...ids: string[]): ShardOperation => ({ kind: 'delete', ids });

/** A command of the latest version. */
export const writeOf = (operation: ShardOperation, options: Partial<WriteOptions>, timeMs = 1_000_000): Uint8Array =>
  encode(shardCommandCodec, { kind: 'v2', epoch, timeMs, operation, options: { ...plainWrite, ...options } });

export const commandOf = (
  operation: ShardOperation,
  overrides: Partial<Omit<Extract<ShardCommand, { kind: 'v1' }>, 'kind'>> = {},
): Uint8Array => encode(shardCommandCodec, { kind: 'v1', epoch, timeMs: 1_000_000, operation, ...overrides });

export const entryOf = (index: number, data: Uint8Array, type: Entry['type'] = 'command', termNow = 1): Entry => ({
  index: logIndex(index),
  term: term(termNow),
  type,
  data,
});

/** An index with an appliedIndex of its own, as one process would hold it. */
export function indexOf(engine: FlatEngine, key = 'index'): VectorIndex {
  return engine.open({ key, dimension, metric: 'euclidean', m: 8, efConstruction: 32, capacity: 16 }, null);
}

export function machineOf(
  state: KeyValueStore,
  index: VectorIndex = indexOf(new FlatEngine()),
  overrides: Partial<ShardMachineOptions> = {},
): ShardMachine {
  const [range] = tile(1);
  if (range === undefined) throw new Error('unreachable: one range was asked for');
  const shape = { dimension, range, keyHash: testKeyHash, flags: flagRange };
  return new ShardMachine({ replica: replicaId(11), epoch, configuration, state, index, ...shape, ...overrides });
}

export function settleIndex(machine: ShardMachine): void {
  for (let slices = 0; !machine.catchUpIndex(); slices++) {
    if (slices > 10_000) throw new Error('the index never catches up');
  }
}

export const replicaSpecs = (
  replicas: readonly number[],
  metric: 'euclidean' | 'cosine' = 'euclidean',
): ReplicaSpec[] => {
  const [range] = tile(1);
  if (range === undefined) throw new Error('unreachable: one range was asked for');
  const members = replicas.map((replica, at) => ({
    replica: replicaId(replica),
    worker: workerId(at + 1),
    node: nodeName(`machine-${at + 1}`),
  }));
  const collection = {
    id: collectionId(1),
    name: 'things',
    dimension,
    metric,
    hnsw: { m: 8, efConstruction: 32 },
    storage: defaultStorage,
    replicationFactor: replicas.length,
    shardIds: [shardId(7)],
  };
  const shard = { id: shardId(7), collection: collectionId(1), range, epoch, members };
  return members.map(({ replica }) => ({
    cluster: clusterId('test'),
    collection,
    shard,
    replica,
    bootstrap: true,
    placementIncarnation: 0,
  }));
};
