import { afterAll, expect, jest, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import type { VectronClient } from '../../src/client/node';
import { startLocal } from './local-cluster';
import { dropFolders, eventually, freshFolder } from './support';

jest.setTimeout(240_000);

const folder = freshFolder();
const patient = { timeoutMs: 60_000 };
const random = new Prng(3);
const vectorOf = (): Float32Array => Float32Array.from({ length: 64 }, () => random.gaussian());
const points = Array.from({ length: 6_000 }, (_, i) => ({ id: `p${i}`, vector: vectorOf() }));
let client: VectronClient;
let stop = (): Promise<void> => Promise.resolve();

async function start(): Promise<void> {
  ({ client, stop } = await startLocal(folder));
}

afterAll(() => stop().finally(dropFolders));

test('a collection without codes walks its graph in float32, and says so', async () => {
  await start();
  const shape = { name: 'floats', dimension: 64, distance: 'cosine', shardCount: 1, quantisation: 'none' } as const;
  await eventually('the collection is created', 60_000, async () => {
    try {
      await client.createCollection(shape, patient);
      return true;
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'FAILED_PRECONDITION' });
      return false;
    }
  });
  await client.upsertBatch('floats', points);
  expect(await client.collectionStatus('floats', patient)).toMatchObject({ quantisation: 'none', originals: 'memory' });
  const options = { topK: 5, ef: 200, waitIndexedMs: 50_000, explain: true, ...patient };
  for (let i = 0; i < 10; i++) {
    const vector = vectorOf();
    const { results, indexed, shards } = await client.search('floats', { vector, ...options });
    expect([indexed, shards[0]?.strategy, shards[0]?.ef, shards[0]?.quantised]).toEqual([true, 'graph', 200, false]);
    const exact = await client.search('floats', { vector, topK: 5, exact: true, ...patient });
    expect(results[0]).toEqual(exact.results[0]);
  }
  await expect(client.search('floats', { vector: vectorOf(), quantised: true })).rejects.toMatchObject({
    field: 'quantised',
  });
  await expect(client.createCollection({ ...shape, name: 'no', originals: 'disk' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    field: 'originals',
  });
  await stop();
  await start();
  const { vector, id } = points[77] as (typeof points)[number];
  expect((await client.search('floats', { vector, topK: 1, ...patient })).results[0]?.id).toBe(id);
});
