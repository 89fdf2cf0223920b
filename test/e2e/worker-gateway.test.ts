import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { connect, type VectronClient, VectronClientError } from '../../src/client/node';
import { ProcessCluster } from '../../src/server/process-cluster';
import { dropFolders, eventually, freshFolder } from './support';

jest.setTimeout(120_000);

const collection = 'things';
const notYet: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);
let cluster: ProcessCluster;
let clients: VectronClient[] = [];

beforeAll(async () => {
  cluster = await ProcessCluster.start({ dataDirectory: freshFolder(), workersServe: true });
  const { apiKey } = cluster;
  clients = cluster.grpcAddresses.map((url) => connect({ url, apiKey, timeoutMs: 30_000 }));
});

afterAll(async () => {
  for (const client of clients) client.close();
  await cluster?.stop().finally(dropFolders);
});

test('workers that serve the API are the only way in, and each leads to every shard', async () => {
  expect(cluster.gateways).toEqual([]);
  expect(clients.length).toBe(3);
  await clients[0]?.createCollection({ name: collection, dimension: 2, distance: 'cosine', shardCount: 3 });
  for (const [at, client] of clients.entries()) {
    const points = Array.from({ length: 20 }, (_, i) => ({ id: `${at}/${i}`, vector: [at + 1, i + 1] }));
    await client.upsert(collection, points);
  }
  for (const client of clients) expect(await client.count(collection)).toBe(60);
});

test('a worker that dies takes its own clients with it and nobody else', async () => {
  const { node } = await cluster.killLeaderProcess(collection, 0);
  const [other] = clients.filter((_, at) => cluster.grpcAddresses[at] !== cluster.grpcAddressOf(node)) as [
    VectronClient,
  ];
  await other.upsert(collection, [{ id: 'after', vector: [1, 2] }]);
  await cluster.process(node).restart();
  const again = connect({ url: cluster.grpcAddressOf(node) ?? '', apiKey: cluster.apiKey, timeoutMs: 5_000 });
  clients.push(again);
  await eventually('the restarted worker answers', 20_000, async () => {
    try {
      return (await again.count(collection)) === 61;
    } catch (thrown) {
      // While it starts, and until its shard has a leader.
      if (thrown instanceof VectronClientError && notYet.has(thrown.code)) return false;
      throw thrown;
    }
  });
});
