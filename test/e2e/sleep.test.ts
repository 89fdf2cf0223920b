import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { connect, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster } from '../../src/server/dev-cluster-types';
import { dropFolders, eventually, freshFolder, say, secondsSince } from './support';

jest.setTimeout(120_000);

const collection = 'sleepers';
const shardCount = 12;
const probeMs = 500;
/** Awake, the replicas alone are ticked more than twice as often in that time. */
const asleepMax = 150;
const pauseMsMax = 6_000;
let cluster: DevCluster;
let client: VectronClient;

beforeAll(async () => {
  cluster = await startDevCluster({ dataDirectory: freshFolder() });
  client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
  const shape = { dimension: 4, distance: 'euclidean', shardCount, replicationFactor: 3 } as const;
  await client.createCollection({ name: collection, ...shape }, { timeoutMs: 60_000 });
});

afterAll(async () => {
  client?.close();
  await cluster?.stop().finally(dropFolders);
});

const handled = async (): Promise<number[]> => Promise.all(cluster.machines.map((machine) => machine.handledCount()));

/** Whether shard threads have run next to no handlers for a while; asked again and again. */
function sleepProbe(): () => Promise<boolean> {
  let sinceMs = performance.now();
  let before = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() - sinceMs < probeMs) return false;
    const now = (await handled()).reduce((sum, count) => sum + count, 0);
    const isQuiet = now - before <= asleepMax;
    before = now;
    sinceMs = performance.now();
    return isQuiet;
  };
}

test('the thread of a leader is killed while its groups sleep: every shard takes writes again within the bound', async () => {
  const points = Array.from({ length: 200 }, (_, i) => ({ id: `p${i}`, vector: [i, 1, 2, 3] }));
  await client.upsert(collection, points);
  await eventually('every group is asleep', 60_000, sleepProbe());

  const { node } = await cluster.killLeaderThread(collection, 0);
  const killedMs = performance.now();
  // All shards of the dead thread, and those of the others, which are asleep still.
  await client.upsert(collection, points, { timeoutMs: 30_000 });
  const pauseMs = performance.now() - killedMs;
  say(`every shard wrote ${secondsSince(killedMs)} after the death of a thread of ${node}`);
  expect(pauseMs).toBeLessThan(pauseMsMax);
  await eventually('every group is asleep again', 60_000, sleepProbe());
});
