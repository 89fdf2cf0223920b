import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { compareReplicas, waitUntilEqual } from '../../examples/support/compare-replicas';
import { dimension, Ledger } from '../../examples/support/ledger';
import { Writers } from '../../examples/support/writers';
import { connect, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster, ReplicaView, SimulatedMachine } from '../../src/server/dev-cluster-types';
import { dropFolders, eventually, freshFolder, say, secondsSince } from './support';

jest.setTimeout(180_000);

const collection = 'ledger';
const shardCount = 3;
const folder = freshFolder();
let cluster: DevCluster;
let client: VectronClient;
let ledger: Ledger;
let writers: Writers;

beforeAll(async () => {
  cluster = await startDevCluster({ dataDirectory: folder });
  client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
  const shape = { dimension, distance: 'cosine', shardCount, replicationFactor: 3 } as const;
  await client.createCollection({ name: collection, ...shape }, { timeoutMs: 30_000 });
  ledger = new Ledger(join(folder, 'acknowledged'), 1);
  writers = new Writers([client], collection, ledger, 2);
  writers.start();
  await eventually('50 acknowledgements', 30_000, () => writers.acknowledged >= 50);
});

afterAll(async () => {
  client?.close();
  await cluster?.stop().finally(dropFolders);
});

const idsOf = (views: readonly ReplicaView[]): number[] => views.map(({ replica }) => replica);

/** Three replicas a shard, none of which is one of `gone`, and all but those that were kept answer. */
async function replacedOf(gone: readonly number[]): Promise<boolean> {
  const views = await cluster.replicasOf(collection);
  const isWhole = views.length === 3 * shardCount && views.every(({ role }) => role !== '' && role !== 'learner');
  return isWhole && idsOf(views).every((replica) => !gone.includes(replica));
}

test('leadership is handed over where it is asked to', async () => {
  const views = (await cluster.replicasOf(collection)).filter(({ shardIndex }) => shardIndex === 0);
  const [heir] = views.filter(({ role }) => role === 'follower');
  expect(heir).toBeDefined();
  await eventually('the chosen replica leads', 30_000, async () => {
    await cluster.transferLeadership(heir as ReplicaView);
    const now = await cluster.replicasOf(collection);
    return now.some(({ replica, role }) => replica === heir?.replica && role === 'leader');
  });
});

test('a replica is replaced under load, and its successor holds everything', async () => {
  const [view] = await cluster.replicasOf(collection);
  const startedMs = performance.now();
  const successor = await cluster.moveReplica(view as ReplicaView);
  await eventually('the replica is replaced', 60_000, () => replacedOf([(view as ReplicaView).replica]));
  say(`replaced in ${secondsSince(startedMs)}`);
  expect(idsOf(await cluster.replicasOf(collection))).toContain(successor);
});

test('a machine that comes back with empty disks is given replicas of every shard again', async () => {
  const machine = cluster.machines[2] as SimulatedMachine;
  const lost = (await cluster.replicasOf(collection)).filter(({ node }) => node === machine.node);
  expect(lost).toHaveLength(shardCount);
  await machine.kill();
  rmSync(join(folder, machine.node), { recursive: true });
  await machine.restart();
  const startedMs = performance.now();
  await eventually('every lost replica is replaced', 90_000, () => replacedOf(idsOf(lost)));
  say(`a machine's replicas were replaced in ${secondsSince(startedMs)}, ${writers.acknowledged} acknowledged`);
  await writers.stop();
  await waitUntilEqual(cluster, collection, 30_000);
  expect(await compareReplicas(cluster, collection, ledger)).toEqual({
    acknowledged: writers.acknowledged,
    replicas: 3 * shardCount,
    lost: 0,
    different: 0,
  });
});
