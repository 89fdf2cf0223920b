import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, jest, test } from '@jest/globals';
import { connect, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster } from '../../src/server/dev-cluster-types';
import { eventually } from '../e2e/support';

jest.setTimeout(180_000);

const folder = mkdtempSync(join(tmpdir(), 'vectron-originals-'));
const dimension = 16;
const vectorOf = (i: number): number[] => Array.from({ length: dimension }, (_, at) => Math.sin(i * 7 + at * at));
let cluster: DevCluster | null = null;

async function start(): Promise<VectronClient> {
  cluster = await startDevCluster({ dataDirectory: folder, shardThreads: 1 });
  return connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
}

afterAll(async () => {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a collection with its originals on disk says so, finds what it should, and still does after a restart', async () => {
  let client = await start();
  const shape = { name: 'disk', dimension, distance: 'euclidean', shardCount: 1, originals: 'disk' } as const;
  // Taken once every node has said that it knows of it.
  await eventually('the collection is created', 60_000, async () => {
    try {
      await client.createCollection(shape, { timeoutMs: 30_000 });
      return true;
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'FAILED_PRECONDITION' });
      return false;
    }
  });
  await client.createCollection({ ...shape, name: 'plain', originals: 'memory' }, { timeoutMs: 30_000 });
  for (const name of ['disk', 'plain']) {
    await client.upsertBatch(
      name,
      Array.from({ length: 500 }, (_, i) => ({ id: `p${i}`, vector: vectorOf(i) })),
    );
  }
  const check = async (): Promise<void> => {
    for (const name of ['disk', 'plain'] as const) {
      expect(await client.collectionStatus(name)).toMatchObject({
        originals: name === 'disk' ? 'disk' : 'memory',
        quantisation: 'int8',
      });
      for (const i of [0, 250, 499]) {
        const { results } = await client.search(name, { vector: vectorOf(i), topK: 1, timeoutMs: 30_000 });
        expect(results[0]?.id).toBe(`p${i}`);
      }
    }
  };
  await check();
  client.close();
  await cluster?.stop();
  client = await start();
  await check();
  client.close();
});
