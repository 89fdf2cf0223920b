import { bytesOfFloats, floatsOf } from '../../src/base/bytes';
import { logIndex } from '../../src/base/ids';
import type { StoredPoint } from '../../src/protocol/data-messages';
import { Raft } from '../../src/raft/raft';
import { allSpaces } from '../../src/shard/point-keys';
import { digestText } from '../../src/shard/record-digest';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { entriesFrom, hardStateKey, logRecordRange, replicaOfLogKey, replicaStateKey } from '../../src/storage/keys';
import { readRecord } from '../../src/storage/log-records';
import type { SimCluster } from './cluster';
import type { WorkerMachine } from './machine';
import { dimension, vectorOf } from './sim-client';
import { must, Violation } from './violation';

const scanCount = 97;
const countMax = Number.MAX_SAFE_INTEGER;
const queries = [1, 2, 3].map((serial) => vectorOf(serial * 7));

/**
 * What a healed cluster at rest must look like from the inside, replica by replica:
 *
 *  1. What a descriptor keeps up to date equals what counting every record gives.
 *  2. The replicas of a shard hold the same points, version by version.
 *  3. An exact search over everything finds what a brute force over the store finds, in its order.
 *  4. Of a replica that is gone there is a tombstone, and not one key more.
 *  5. The placement driver's records, read back from its store, are those in its memory.
 */
export function checkFinalState(cluster: SimCluster): void {
  const scans = new Map<number, string>();
  for (const worker of cluster.workers) {
    checkLeftovers(worker);
    for (const { actor, spec } of worker.replicas.values()) {
      const where = `shard ${spec.shard.id} on ${worker.name}`;
      if (cluster.damage.isQuarantined(spec.replica)) continue;
      must(actor.failure === null, () => `${where} has failed: ${actor.failure}`);
      if (actor.machine === null) throw new Violation(`${where} has no machine`);
      checkCounts(actor.machine, where);
      const points = scanAll(actor.machine);
      checkIndex(actor.machine, points, where);
      const text = points.map((point) => `${point.id}@${point.version}`).join(' ');
      const known = scans.get(spec.shard.id) ?? text;
      scans.set(spec.shard.id, known);
      must(known === text, () => `${where} scans to ${text}, another replica to ${known}`);
    }
  }
  for (const pd of cluster.placement) {
    const digest = pd.storedDigest();
    must(digest === pd.actor?.member.machine.digest(), () => `${pd.name} holds other records than its store`);
  }
}

/** Of a replica that is gone and is still being removed; null: of none. */
function keptLog({ disk, replicas }: WorkerMachine): number | null {
  for (const { key, value } of disk.log.range({ ...logRecordRange, countMax })) {
    const replica = replicaOfLogKey(key);
    if (replicas.has(replica)) continue;
    if (!readRecord({ key, value }).removed) return replica;
    // The supervisor may not have heard yet that the tombstone is there.
    if (disk.state.get(replicaStateKey(replica, 'quarantine')) !== undefined) return replica;
  }
  return null;
}

function checkLeftovers({ name, disk, replicas }: WorkerMachine): void {
  for (const { key, value } of disk.log.range({ ...logRecordRange, countMax })) {
    const replica = replicaOfLogKey(key);
    if (replicas.has(replica)) continue;
    must(readRecord({ key, value }).removed, () => `${name} keeps the log of replica ${replica}, which is gone`);
    const entries = disk.log.range({ ...entriesFrom(replica, logIndex(0)), countMax });
    const points = disk.state.range({ ...allSpaces(replica), countMax });
    const fields = (['descriptor', 'quarantine', 'restore'] as const).map((field) => replicaStateKey(replica, field));
    const single = [disk.log.get(hardStateKey(replica)), ...fields.map((field) => disk.state.get(field))];
    const left = entries.length + points.length + single.filter((found) => found !== undefined).length;
    must(left === 0, () => `${name} keeps ${left} keys of replica ${replica}, which is gone`);
  }
}

function checkCounts(machine: ShardMachine, where: string): void {
  const { points, digest } = machine.recount();
  must(points === machine.points, () => `${where} counts ${machine.points} points, has ${points}`);
  must(digestText(digest) === machine.digest(), () => `${where} has digest ${machine.digest()}, its records another`);
}

function scanAll(machine: ShardMachine): StoredPoint[] {
  const all: StoredPoint[] = [];
  for (let after = ''; ; ) {
    const { points, done } = machine.scan(after, scanCount);
    all.push(...points);
    if (done) return all;
    after = points[points.length - 1]?.id ?? after;
  }
}

function checkIndex(machine: ShardMachine, points: readonly StoredPoint[], where: string): void {
  must(machine.indexReady, () => `${where}: the index is not level with the store`);
  for (const query of queries) {
    const expected = points
      .map(({ id, vector }) => ({ id, distance: squaredDistance(query, floatsOf(vector)) }))
      .sort((a, b) => a.distance - b.distance);
    const { hits } = machine.search({
      vector: bytesOfFloats(query),
      k: Math.max(1, points.length + 10),
      ef: 0,
      exact: true,
      includeVector: false,
      includePayload: false,
    });
    must(hits.length === expected.length, () => `${where}: ${expected.length} points, the index finds ${hits.length}`);
    const wanted = new Map(expected.map(({ id, distance }) => [id, distance]));
    for (const [i, { id, score }] of hits.entries()) {
      const distance = wanted.get(id);
      must(distance !== undefined, () => `${where}: the index finds ${id}, the store has none`);
      const best = expected[i]?.distance ?? 0;
      must(isClose(-score, distance) && isClose(distance, best), () => `${where}: hit ${i} is ${id} at ${-score}`);
    }
  }
}

/** Scores are rounded to 32 bits. */
const isClose = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(a), Math.abs(b));

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < dimension; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return sum;
}

/** What is still under way in a cluster that nobody asks for anything; null: nothing. */
export function unsettled(cluster: SimCluster): string | null {
  const { openCount } = cluster;
  if (openCount > 0) return `the gateway has ${openCount} calls and attempts open`;
  for (const worker of cluster.workers) {
    const kept = keptLog(worker);
    if (kept !== null) return `${worker.name} keeps the log of replica ${kept}, which is gone`;
    for (const { actor, spec } of worker.replicas.values()) {
      const raft = actor.member?.raft;
      const where = `shard ${spec.shard.id} on ${worker.name}`;
      if (cluster.damage.isQuarantined(spec.replica)) continue;
      if (actor.openCount > 0) return `${where} has ${actor.openCount} requests open`;
      if (raft instanceof Raft && raft.uncommittedBytes !== 0)
        return `${where}: ${raft.uncommittedBytes} B uncommitted`;
      if (actor.machine?.expiry.nextMs !== null || actor.machine.expiry.ended.size > 0) {
        return `${where} has points that end, or that it has to purge`;
      }
      if (actor.machine?.indexReady !== true) return `${where}: the index is behind`;
    }
  }
  return null;
}
