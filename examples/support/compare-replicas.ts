import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplicaReader, ReplicaView, ScannedPoint } from '../../src/server/dev-cluster-types';
import type { Ledger } from './ledger';

/** Waits until the replicas of each shard have applied the same index and say that their records are equal. */
export async function waitUntilEqual(cluster: ReplicaReader, collection: string, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const replicas = await cluster.replicasOf(collection);
    const unequal = replicas.filter((replica) => !isLike(replica, replicas));
    if (replicas.length > 0 && unequal.length === 0) return;
    if (performance.now() > deadlineMs) throw new Error(`replicas differ: ${JSON.stringify(replicas)}`);
    await sleep(200);
  }
}

/** It answered, and stands where the first replica of its shard stands. */
function isLike(replica: ReplicaView, all: readonly ReplicaView[]): boolean {
  const first = all.find(({ shard }) => shard === replica.shard);
  return replica.role !== '' && replica.appliedIndex === first?.appliedIndex && replica.digest === first.digest;
}

export interface Comparison {
  readonly acknowledged: number;
  readonly replicas: number;
  /** Replicas that an acknowledged point is missing on, or too many of, summed over the points. */
  readonly lost: number;
  /** Acknowledged points that a replica has with another vector or payload. */
  readonly different: number;
}

/**
 * Reads every replica's own store and looks for each acknowledged point. Which shard a point belongs to is not computed: it
 * must be on as many replicas as its shard has, whole.
 */
export async function compareReplicas(cluster: ReplicaReader, collection: string, ledger: Ledger): Promise<Comparison> {
  const acknowledged = ledger.acknowledged();
  const replicas = await cluster.replicasOf(collection);
  const copies = new Map<string, number>();
  let different = 0;
  for (const { replica } of replicas) {
    for await (const point of cluster.scanReplica(replica)) {
      copies.set(point.id, (copies.get(point.id) ?? 0) + 1);
      if (!isAsWritten(point, ledger)) different++;
    }
  }
  const perShard = replicas.length / new Set(replicas.map(({ shard }) => shard)).size;
  const lost = acknowledged.reduce((sum, id) => sum + Math.abs(perShard - (copies.get(id) ?? 0)), 0);
  return { acknowledged: acknowledged.length, replicas: replicas.length, lost, different };
}

/** The store may keep unit vectors for cosine, so only the direction is compared. */
function isAsWritten({ id, vector, payload }: ScannedPoint, ledger: Ledger): boolean {
  const expected = ledger.pointOf(id);
  const stored = floatsOf(vector);
  const isSameVector = stored.length === expected.vector.length && cosine(stored, expected.vector) > 1 - 1e-6;
  return isSameVector && Buffer.from(payload).toString() === JSON.stringify(expected.payload);
}

const floatsOf = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer);

function cosine(left: ArrayLike<number>, right: ArrayLike<number>): number {
  let [dot, leftSquared, rightSquared] = [0, 0, 0];
  for (let index = 0; index < left.length; index++) {
    const [a, b] = [left[index] ?? 0, right[index] ?? 0];
    dot += a * b;
    leftSquared += a * a;
    rightSquared += b * b;
  }
  return dot / Math.sqrt(leftSquared * rightSquared);
}
