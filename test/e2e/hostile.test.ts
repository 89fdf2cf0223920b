import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { compareReplicas, waitUntilEqual } from '../../examples/support/compare-replicas';
import { dimension, Ledger } from '../../examples/support/ledger';
import { Writers } from '../../examples/support/writers';
import { requestBytesMax } from '../../src/base/limits';
import { connect, type VectronClient, VectronClientError } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster } from '../../src/server/dev-cluster-types';
import { badInputs } from '../gateway/bad-input';
import { dropFolders, eventually, freshFolder, say, secondsSince } from './support';

jest.setTimeout(60_000);

const folder = freshFolder();
let cluster: DevCluster;
let client: VectronClient;

beforeAll(async () => {
  cluster = await startDevCluster({ dataDirectory: folder });
  client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
});

afterAll(async () => {
  client?.close();
  await cluster?.stop().finally(dropFolders);
});

describe('bad input through the real ports', () => {
  beforeAll(async () => {
    const things = { name: 'things', dimension: 3, distance: 'cosine', shardCount: 2, replicationFactor: 3 } as const;
    await client.createCollection(things, { timeoutMs: 30_000 });
    const points = Array.from({ length: 50 }, (_, i) => ({ id: `p${i}`, vector: [1, i, 2] }));
    await client.upsert('things', [...points, { id: 'a', vector: [1, 2, 3] }]);
    await eventually('every shard has the flags that are on', 20_000, allAreOn);
  });

  test('over HTTP names the field and changes nothing', async () => {
    await changesNothing(async () => {
      for (const { what, method, path, body, code, field } of badInputs) {
        const error = await overHttp(method, path, body);
        expect({ what, ...error }).toMatchObject({ what, code, field });
      }
      const tooLarge = await overHttp('POST', '/v1/collections', ' '.repeat(requestBytesMax + 1));
      expect(tooLarge).toMatchObject({ code: 'RESOURCE_EXHAUSTED', field: 'body' });
    });
  });

  test('over gRPC names the field and changes nothing', async () => {
    await changesNothing(async () => {
      for (const { what, call, code, field } of badCalls) {
        const error = await call().then(
          () => null,
          (thrown: unknown) => thrown,
        );
        expect(error).toBeInstanceOf(VectronClientError);
        const { code: got, field: named } = error as VectronClientError;
        expect({ what, code: got, field: named }).toEqual({ what, code, field });
      }
    });
  });

  test('with a wrong key, or none, says so and changes nothing', async () => {
    await changesNothing(async () => {
      for (const apiKey of ['', 'wrong', `${cluster.apiKey}x`]) {
        const stranger = connect({ url: cluster.grpcAddress, apiKey });
        await expect(stranger.deleteCollection('things')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
        stranger.close();
        const answer = await fetch(`${cluster.httpAddress}/v1/collections/things`, {
          method: 'DELETE',
          headers: apiKey === '' ? {} : { 'x-api-key': apiKey },
        });
        expect(answer.status).toBe(401);
      }
    });
  });
});

describe('links that fail', () => {
  test('a leader cut off from everyone is replaced, and follows when it is back', async () => {
    const collection = 'cut';
    const shape = { dimension, distance: 'cosine', shardCount: 2, replicationFactor: 3 } as const;
    await client.createCollection({ name: collection, ...shape }, { timeoutMs: 30_000 });
    const ledger = new Ledger(join(folder, 'acknowledged'), 3);
    const writers = new Writers([client], collection, ledger, 4);
    writers.start();
    await eventually('50 acknowledgements', 20_000, () => writers.acknowledged >= 50);
    const before = (await cluster.replicasOf(collection)).filter(({ role }) => role === 'leader');
    const [{ node, replica }] = before as [(typeof before)[0]];

    const cutMs = performance.now();
    cluster.isolate(node);
    await writers.everyWriterAcknowledged(15_000);
    say(`writes went on ${secondsSince(cutMs)} after ${node} was cut off`);
    const during = await cluster.replicasOf(collection);
    // Unreachable for us as well, so it says nothing; another one leads its shard.
    expect(during.find((view) => view.replica === replica)?.role).toBe('');
    expect(during.filter(({ role }) => role === 'leader')).toHaveLength(2);

    cluster.heal();
    await writers.everyWriterAcknowledged(15_000);
    await writers.stop();
    await waitUntilEqual(cluster, collection, 20_000);
    expect(await compareReplicas(cluster, collection, ledger)).toEqual({
      acknowledged: writers.acknowledged,
      replicas: 6,
      lost: 0,
      different: 0,
    });
    expect(writers.longestWaitMs).toBeLessThanOrEqual(6_000);
  });
});

/** The switching on of flags is a change of nobody's asking: it has to be over. */
async function allAreOn(): Promise<boolean> {
  const answer = await fetch(`${cluster.httpAddress}/v1/flags`, { headers: { 'x-api-key': cluster.apiKey } });
  const { level, shards } = (await answer.json()) as { level: number; shards: readonly { level: number | null }[] };
  return level > 0 && shards.length === 2 && shards.every((shard) => shard.level === level);
}

/**
 * Nothing was applied, anywhere: where each replica stands and what it holds, and which collections there are. Groups have
 * entries of their own, of new leaders and of comparisons, which nobody's input brings: they spoil one try and not five.
 */
async function changesNothing(work: () => Promise<void>): Promise<void> {
  for (let triesLeft = 5; ; triesLeft--) {
    const before = await everything();
    await work();
    const after = await everything();
    expect(after.contents).toEqual(before.contents);
    if (triesLeft > 1 && JSON.stringify(after.stand) !== JSON.stringify(before.stand)) continue;
    return expect(after.stand).toEqual(before.stand);
  }
}

async function everything(): Promise<{ readonly stand: unknown; readonly contents: unknown }> {
  await waitUntilEqual(cluster, 'things', 10_000);
  const views = await cluster.replicasOf('things');
  return {
    stand: views.map(({ replica, appliedIndex, commitIndex }) => ({ replica, appliedIndex, commitIndex })),
    contents: [
      views.map(({ replica, points, digest }) => ({ replica, points, digest })),
      await client.listCollections(),
    ],
  };
}

async function overHttp(method: string, path: string, body: string | undefined): Promise<object> {
  const headers = { 'x-api-key': cluster.apiKey, 'content-type': 'application/json' };
  const reply = await fetch(`${cluster.httpAddress}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
  });
  return ((await reply.json()) as { error?: object }).error ?? {};
}

interface BadCall {
  readonly what: string;
  readonly call: () => Promise<unknown>;
  readonly code: string;
  readonly field: string;
}

const invalid = (what: string, field: string, call: () => Promise<unknown>, code = 'INVALID_ARGUMENT'): BadCall => ({
  what,
  call,
  code,
  field,
});
const vector = [1, 2, 3];
const many = Array.from({ length: 4_097 }, (_, i) => ({ id: `m${i}`, vector }));
const create = (options: object): Promise<unknown> =>
  client.createCollection({ name: 'fresh', dimension: 3, distance: 'dot', ...options });
const upsert = (fields: object): Promise<unknown> => client.upsert('things', [{ id: 'x', vector, ...fields }]);

const badCalls: readonly BadCall[] = [
  invalid('empty name', 'name', () => create({ name: '' })),
  invalid('over-long name', 'name', () => create({ name: 'n'.repeat(129) })),
  invalid('dimension 0', 'dimension', () => create({ dimension: 0 })),
  invalid('unknown metric', 'distance', () => create({ distance: 'manhattan' })),
  invalid('two replicas', 'replication_factor', () => create({ replicationFactor: 2 })),
  invalid('duplicate collection', 'name', () => create({ name: 'things' }), 'ALREADY_EXISTS'),
  invalid('unknown collection', 'collection', () => client.upsert('nowhere', [{ id: 'x', vector }]), 'NOT_FOUND'),
  invalid('empty id', 'points[0].id', () => upsert({ id: '' })),
  invalid('over-long id', 'points[0].id', () => upsert({ id: 'i'.repeat(513) })),
  invalid('wrong dimension', 'points[0].vector', () => upsert({ vector: [1, 2] })),
  invalid('NaN', 'points[0].vector[1]', () => upsert({ vector: [1, Number.NaN, 3] })),
  invalid('infinity', 'points[0].vector[0]', () => upsert({ vector: [Number.POSITIVE_INFINITY, 1, 3] })),
  invalid('no direction', 'points[0].vector', () => upsert({ vector: [0, 0, 0] })),
  invalid('batch over the limit', 'points', () => client.upsert('things', many)),
  invalid('one bad point among good ones', 'points[1].vector', () =>
    client.upsert('things', [
      { id: 'good', vector },
      { id: 'bad', vector: [1] },
    ]),
  ),
  invalid('top_k 0', 'top_k', () => client.search('things', { vector, topK: 0 })),
  invalid('top_k huge', 'top_k', () => client.search('things', { vector, topK: 10_001 })),
  invalid('ef huge', 'ef', () => client.search('things', { vector, ef: 10_001 })),
  invalid('query of a wrong dimension', 'vector', () => client.search('things', { vector: [1] })),
  invalid('get of an empty id', 'id', () => client.get('things', '')),
  invalid('delete of an over-long id', 'ids[0]', () => client.delete('things', 'i'.repeat(513))),
  invalid('delete of no collection', 'name', () => client.deleteCollection('nowhere'), 'NOT_FOUND'),
];
