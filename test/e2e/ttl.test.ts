import { afterAll, expect, jest, test } from '@jest/globals';
import type { VectronClient } from '../../src/client/node';
import { startLocal } from './local-cluster';
import { dropFolders, eventually, freshFolder } from './support';

jest.setTimeout(240_000);

const folder = freshFolder();
const patient = { timeoutMs: 60_000 };
let client: VectronClient;
let stop = (): Promise<void> => Promise.resolve();

async function start(): Promise<void> {
  ({ client, stop } = await startLocal(folder));
}

afterAll(() => stop().finally(dropFolders));

const written = (...ids: string[]) => ids.map((id, i) => ({ id, vector: [i, 1, 2] }));
const there = async (...ids: string[]): Promise<string[]> =>
  (await client.getMany('news', ids, patient)).map(({ id }) => id);

test('points of a collection end when it says, unless their write does; it may be changed, and outlives a restart', async () => {
  await start();
  const ttlMs = 3_000;
  await client.createCollection({ name: 'news', dimension: 3, distance: 'dot', shardCount: 2, ttlMs }, patient);
  expect((await client.collectionStatus('news', patient)).ttlMs).toBe(ttlMs);
  const beforeMs = performance.now();
  await client.upsert('news', written('a', 'b', 'c'), patient);
  await client.upsert('news', [{ id: 'long', vector: [1, 1, 1], ttlMs: 3_600_000 }], patient);
  const first = await there('a', 'b', 'c', 'long');
  // A machine that is so busy that their time had passed has nothing to show.
  if (performance.now() - beforeMs < ttlMs / 2) expect(first).toEqual(['a', 'b', 'c', 'long']);
  await eventually('they are gone', 60_000, async () => (await there('a', 'b', 'c', 'long')).length === 1);
  expect(performance.now() - beforeMs).toBeGreaterThan(ttlMs - 1_000);
  const { results } = await client.search('news', { vector: [1, 1, 1], topK: 10, ...patient });
  expect(results.map(({ id }) => id)).toEqual(['long']);
  expect(await client.count('news', undefined, patient)).toBe(1);

  await client.updateCollection('news', { ttlMs: 0 }, patient);
  await client.upsert('news', written('stays'), patient);
  await client.updateCollection('news', { ttlMs }, patient);
  await stop();
  await start();
  expect((await client.collectionStatus('news', patient)).ttlMs).toBe(ttlMs);
  await client.upsert('news', written('d'), patient);
  await eventually('it is gone', 60_000, async () => (await there('d')).length === 0);
  expect(await there('stays', 'long')).toEqual(['stays', 'long']);
  await expect(client.updateCollection('none', { ttlMs }, patient)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
