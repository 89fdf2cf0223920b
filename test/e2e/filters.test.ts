import { afterAll, expect, jest, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import type { Filter, VectronClient } from '../../src/client/node';
import { filterOf } from '../../src/gateway/validate/filter';
import { matches } from '../../src/vector/filter-match';
import { startLocal } from './local-cluster';
import { dropFolders, freshFolder, say } from './support';

jest.setTimeout(240_000);

const folder = freshFolder();
const random = new Prng(11);
const dimension = 8;
const vectorOf = (): Float32Array => Float32Array.from({ length: dimension }, () => random.gaussian());
const points = Array.from({ length: 3_000 }, (_, n) => ({
  id: `p${n}`,
  vector: vectorOf(),
  payload: { n, tags: [random.pick(['a', 'b', 'c'])], at: `2024-01-${10 + (n % 20)}` },
}));
const filters: readonly Filter[] = [
  {},
  { must: [{ key: 'n', range: { lt: 3 } }] },
  { must: [{ key: 'tags', match: { value: 'b' } }], must_not: [{ key: 'n', range: { gte: 1_500 } }] },
  { should: [{ has_id: ['p7', 'none'] }, { key: 'at', datetime: { gte: '2024-01-29' } }] },
  { must: [{ key: 'n', match: { value: -1 } }] },
];
let client: VectronClient;
let stop = (): Promise<void> => Promise.resolve();

async function start(): Promise<void> {
  ({ client, stop } = await startLocal(folder));
}

afterAll(() => stop().finally(dropFolders));

const distance = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + (x - (b[i] ?? 0)) ** 2, 0);

async function check(filter: Filter): Promise<void> {
  const parsed = filterOf(filter);
  const wanted = points.filter(({ id, payload }) => parsed !== null && matches(parsed, id, payload));
  const query = vectorOf();
  const nearest = [...wanted].sort((a, b) => distance(a.vector, query) - distance(b.vector, query)).slice(0, 10);
  const startedMs = performance.now();
  const { results, shards } = await client.search('docs', { vector: query, topK: 10, filter, explain: true });
  const tookMs = (performance.now() - startedMs).toFixed(1);
  say(
    `${wanted.length} of ${points.length} match: ${tookMs} ms, ${shards.map((one) => one.visited).join(' + ')} visited`,
  );
  expect(results.map(({ id }) => id)).toEqual(nearest.map(({ id }) => id));
  expect(await client.count('docs', filter)).toBe(wanted.length);
  const seen: string[] = [];
  for await (const { id } of client.scrollAll('docs', { filter, limit: 400 })) seen.push(id);
  expect(seen.sort()).toEqual(wanted.map(({ id }) => id).sort());
}

const patient = { timeoutMs: 60_000 };
const oneDay: Filter = { must: [{ key: 'at', datetime: { gte: '2024-01-29' } }] };

/** Until every replica that answers has built its indexes: they are made in the background. */
async function awaitIndexes(): Promise<void> {
  const until = performance.now() + 30_000;
  for (let inRow = 0; inRow < 20; ) {
    const { shards } = await client.search('docs', { vector: vectorOf(), filter: oneDay, explain: true });
    inRow = shards.every(({ strategy }) => strategy !== 'records') ? inRow + 1 : 0;
    if (performance.now() > until) throw new Error('the payload indexes are not built');
  }
}

test('filters, counts and scrolls through a whole cluster are those of a list, also after a restart', async () => {
  await start();
  const shape = { dimension, distance: 'euclidean', shardCount: 3, replicationFactor: 3 } as const;
  await client.createCollection({ name: 'docs', ...shape }, patient);
  expect(await client.upsertBatch('docs', points)).toBe(points.length);
  for (const filter of filters) await check(filter);
  await client.createPayloadIndex('docs', 'n', 'integer', patient);
  await client.createPayloadIndex('docs', 'tags', 'keyword', patient);
  const { indexes, settled } = await client.createPayloadIndex('docs', 'at', 'datetime', patient);
  expect([indexes.map(({ key }) => key), settled]).toEqual([['at', 'n', 'tags'], true]);
  await expect(client.createPayloadIndex('docs', 'n', 'float', patient)).rejects.toMatchObject({
    code: 'ALREADY_EXISTS',
  });
  await awaitIndexes();
  for (const filter of filters) await check(filter);
  await stop();
  await start();
  for (const filter of filters) await check(filter);
  await awaitIndexes();
  for (const filter of filters) await check(filter);
  const { shards } = await client.search('docs', { vector: vectorOf(), filter: oneDay, explain: true });
  for (const { selectivity, estimatedSelectivity, visited, points: live } of shards) {
    expect(Math.abs((selectivity ?? 0) - (estimatedSelectivity ?? 9))).toBeLessThan(0.1);
    expect(visited).toBeLessThan(live);
  }
  const order = { key: 'n', direction: 'desc' } as const;
  const ranked: string[] = [];
  for await (const { id } of client.scrollAll('docs', { orderBy: order, limit: 700 })) ranked.push(id);
  expect(ranked).toEqual([...points].sort((a, b) => b.payload.n - a.payload.n).map(({ id }) => id));
  await expect(client.scroll('docs', { orderBy: { key: 'tags' } })).rejects.toMatchObject({
    code: 'FAILED_PRECONDITION',
    field: 'order_by',
  });
  await expect(client.dropPayloadIndex('docs', 'none')).rejects.toMatchObject({ code: 'NOT_FOUND', field: 'key' });
  await client.dropPayloadIndex('docs', 'tags', patient);
  expect((await client.listPayloadIndexes('docs')).indexes).toEqual([
    { key: 'at', type: 'datetime' },
    { key: 'n', type: 'integer' },
  ]);
  for (const filter of filters) await check(filter);
});
