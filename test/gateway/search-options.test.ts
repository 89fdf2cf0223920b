import { beforeEach, describe, expect, test } from '@jest/globals';
import { filterOf } from '../../src/gateway/validate/filter';
import { errorOf, ids, search, upsert } from './calls';
import { FakeCluster } from './fake-cluster';

let cluster: FakeCluster;

beforeEach(() => {
  cluster = new FakeCluster();
  for (const shard of cluster.addCollection('things', 2)) shard.linksAfterMs = 400;
  cluster.answer(upsert(...ids));
});

describe('how a search is tuned', () => {
  test('reaches every shard, and without it shards are asked as ever', () => {
    cluster.answer(search());
    cluster.answer(search({ quantised: true, oversampling: 2 }));
    expect(cluster.sentOf('data.tunedQuery')).toEqual([]);
    cluster.answer(search({ quantised: false, rerank: 30, waitIndexedMs: 70 }));
    for (const { message } of cluster.sentOf('data.tunedQuery')) {
      const { waitIndexedMs, queries } = message;
      expect([waitIndexedMs, queries.map(({ quantised, rerank }) => [quantised, rerank])]).toEqual([70, [[false, 30]]]);
    }
    expect(cluster.sentOf('data.tunedQuery').length).toBeGreaterThanOrEqual(2);
  });

  test('a search that waits says whether every shard had its points in the graph', () => {
    expect(cluster.answer(search()).indexed).toBeNull();
    expect(cluster.answer(search({ waitIndexedMs: 300 })).indexed).toBe(false);
    expect(cluster.answer(search({ waitIndexedMs: 500 })).indexed).toBe(true);
  });

  test('of a collection without codes nothing is said of them, and they cannot be asked for', () => {
    cluster.addCollection('floats', 1, { storage: { quantisation: 'none', originals: 'memory' } });
    const one = { collection: 'floats', filter: filterOf({}) };
    const [stats] = cluster.answer(search({ ...one, quantised: false })).shards;
    expect([stats?.quantised, stats?.reranked]).toEqual([false, 0]);
    expect(cluster.answer(search(one)).shards[0]?.quantised).toBe(false);
    expect(cluster.sentOf('data.tunedQuery')).toEqual([]);
    expect(errorOf(cluster.outcome(search({ ...one, quantised: true })))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'quantised',
    });
  });

  test('explain says what was used', () => {
    const used = (fields: Parameters<typeof search>[0]) =>
      cluster.answer(search(fields)).shards.map(({ ef, quantised, reranked }) => [ef, quantised, reranked]);
    const filter = filterOf({});
    // The shards of these tests scan.
    expect(used({})).toEqual([
      [null, false, 0],
      [null, false, 0],
    ]);
    expect(used({ filter, rerank: 30 })[0]).toEqual([null, true, 30]);
    expect(used({ filter, k: 3, oversampling: 2.5 })[0]).toEqual([null, true, 8]);
    expect(used({ filter, quantised: false })[0]).toEqual([null, false, 0]);
    expect(used({ filter, exact: true })[0]).toEqual([null, false, 0]);
  });
});
