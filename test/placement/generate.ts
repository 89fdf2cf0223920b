import { nodeName, replicaId, workerId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import { type PlacementOperation, placementCommandCodec } from '../../src/placement/commands';
import { encode } from '../../src/protocol/codec';

export const commandOf = (operation: PlacementOperation): Uint8Array =>
  encode(placementCommandCodec, { kind: 'v1', operation });

export const register = (node: string, changes: Partial<{ zone: string; rack: string; store: string }> = {}) =>
  ({
    kind: 'registerWorker',
    node: nodeName(node),
    address: `${node}:7000`,
    zone: changes.zone ?? '',
    rack: changes.rack ?? '',
    storeIncarnation: changes.store ?? `${node}-a`,
  }) as const satisfies PlacementOperation;

export const creation = (name: string, shardCount = 1, replicationFactor = 3) =>
  ({
    kind: 'createCollection',
    name,
    dimension: 8,
    metric: 'cosine',
    hnsw: { m: 16, efConstruction: 100 },
    shardCount,
    replicationFactor,
    avoid: [],
  }) as const satisfies PlacementOperation;

/** An operation that may or may not be possible, over few names so that they meet. */
export function anyOperation(random: Prng): PlacementOperation {
  const n = random.between(1, 8);
  switch (random.between(0, 5)) {
    case 0: {
      const changes = { zone: `z${n % 3}`, rack: `r${n % 2}`, store: random.chance(0.2) ? 'b' : 'a' };
      return register(`machine-${n}`, changes);
    }
    case 1:
    case 2:
      return {
        ...creation(`c${n}`, random.between(0, 4), random.pick([1, 3, 5, 2])),
        avoid: random.chance(0.2) ? shuffled([workerId(1), workerId(2)], random) : [],
      };
    case 3:
      return { kind: 'deleteCollection', name: `c${n}` };
    default: {
      const replicas = Array.from({ length: 5 }, () => replicaId(random.between(100, 160)));
      return { kind: 'confirmRemovals', worker: workerId(random.between(1, 8)), replicas };
    }
  }
}

export function shuffled<T>(items: readonly T[], random: Prng): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.between(0, i);
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}
