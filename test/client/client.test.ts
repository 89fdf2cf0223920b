import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { VectronError } from '../../src/base/errors';
import { collectionId, logIndex, shardId } from '../../src/base/ids';
import {
  AlreadyExistsError,
  AuthenticationError,
  connect,
  DeadlineExceededError,
  type Filter,
  InternalServerError,
  InvalidArgumentError,
  NotFoundError,
  type PointInput,
  PreconditionError,
  ResourceExhaustedError,
  UnavailableError,
  type VectronClient,
  VectronClientError,
} from '../../src/client/node';
import { WriteFailedError } from '../../src/gateway/calls';
import { type RunningGateway, startGateway } from '../../src/gateway/node/start-gateway';
import { filterOf } from '../../src/gateway/validate/filter';
import { tokenText } from '../../src/protocol/commit-token';
import { parseSessionKey } from '../../src/protocol/session-key';
import { FakeBackend } from '../gateway/fake-backend';

let backend: FakeBackend;
let gateway: RunningGateway;
let client: VectronClient;
const fast = { firstMs: 1, delayMsMax: 4 };

const open = (port = 0): Promise<RunningGateway> =>
  startGateway({ backend, grpcAddress: `127.0.0.1:${port}`, httpAddress: '127.0.0.1:0', apiKeys: ['key'] });

beforeEach(async () => {
  backend = new FakeBackend();
  gateway = await open();
  client = connect({ url: `127.0.0.1:${gateway.grpcPort}`, apiKey: 'key', retry: fast });
});
afterEach(async () => {
  client.close();
  await gateway.stop();
});

const things = { name: 'things', dimension: 2, distance: 'dot' } as const;
const points = (count: number): PointInput[] =>
  Array.from({ length: count }, (_, i) => ({ id: `p${i}`, vector: [i, 1], payload: { n: i } }));

describe('every call', () => {
  test('against a gateway, start to end', async () => {
    await client.createCollection(things);
    expect(await client.listCollections()).toEqual(['things']);
    expect(await client.upsert('things', points(5))).toMatchObject({ count: 5, replayed: false });
    expect(await client.collectionStatus('things')).toMatchObject({ ...things, points: 5, ready: true, recall: 0.95 });
    expect((await client.collectionStatus('things')).ttlMs).toBe(0);
    await client.updateCollection('things', { ttlMs: 5_000 });
    expect((await client.collectionStatus('things')).ttlMs).toBe(5_000);
    const found = await client.search('things', { vector: Float32Array.of(1, 0), topK: 2, includeVectors: true });
    expect(found.results.map(({ id, score, payload }) => [id, score, payload])).toEqual([
      ['p4', 4, { n: 4 }],
      ['p3', 3, { n: 3 }],
    ]);
    expect(found.results[0]?.vector).toEqual(Float32Array.of(4, 1));
    expect(await client.get('things', 'p3')).toMatchObject({
      id: 'p3',
      vector: Float32Array.of(3, 1),
      payload: { n: 3 },
      version: 1,
    });
    expect((await client.getMany('things', ['p1', 'none', 'p0'])).map(({ id }) => id)).toEqual(['p1', 'p0']);
    expect((await client.delete('things', 'p3')).count).toBe(1);
    expect((await client.delete('things', ['p3', 'p4'])).count).toBe(1);
    expect(await client.find('things', 'p3')).toBeNull();
    await client.deleteCollection('things');
    await expect(client.find('things', 'p1')).rejects.toThrow(NotFoundError);
  });

  test('filters, counts and scrolls', async () => {
    await client.createCollection(things);
    await client.upsert('things', points(25));
    const filter: Filter = { must: [{ key: 'n', range: { gte: 20 } }] };
    const found = await client.search('things', { vector: [1, 0], topK: 10, filter, minScore: 21, explain: true });
    expect(found.results.map(({ id }) => id)).toEqual(['p24', 'p23', 'p22', 'p21', 'p20']);
    expect(found.shards).toMatchObject([{ matches: 5, visited: 25, elapsedMs: 1 }]);
    expect(backend.calls.at(-1)?.call).toMatchObject({ filter: filterOf(filter), minScore: 21 });
    expect(await client.count('things', filter)).toBe(5);
    expect(await client.count('things')).toBe(25);
    const ids: string[] = [];
    for await (const { id } of client.scrollAll('things', { limit: 4 })) ids.push(id);
    expect(ids).toEqual([...ids].sort());
    expect(ids.length).toBe(25);
    await client.scroll('things', { slice: { index: 2, count: 3 }, after: 'p1', limit: 9, consistency: 'eventual' });
    const sliced = { slice: { index: 2, count: 3 }, afterId: 'p1', limit: 9, level: 'eventual', filter: null };
    expect(backend.calls.at(-1)?.call).toMatchObject(sliced);
    await expect(client.scroll('things', { slice: { index: 3, count: 3 } })).rejects.toMatchObject({ field: 'slice' });
    await expect(client.scroll('things', { limit: 1_001 })).rejects.toMatchObject({ field: 'limit' });
  });

  test('a filter means over gRPC what its JSON form means, whatever it tests', async () => {
    await client.createCollection(things);
    const bounds = { gt: 1, gte: 2, lt: 0, lte: -1.5 };
    const days = { gt: '2024-05-31', lte: '2024-06-01T00:00:00Z' };
    const filter: Filter = {
      must: [
        { key: 'a', match: { value: 'x' } },
        { key: 'a', match: { value: 0 } },
        { key: 'a', match: { value: false } },
        { key: 'a.b', match: { any: ['x', 1, true] } },
        { key: 'a', match: { except: [''] } },
      ],
      should: [
        { key: 'a', match: { text: 'x y' } },
        { key: 'a', match: { prefix: 'x' } },
        { key: 'a', range: bounds },
        { key: 'a', datetime: days },
      ],
      must_not: [
        { key: 'a', values_count: { gte: 1 } },
        { key: 'a', is_empty: true },
        { key: 'a', is_null: true },
        { has_id: ['p1', 'p2'] },
        { nested: { key: 'a', filter: { must: [{ should: [{ key: 'b', range: { lt: 0 } }] }] } } },
      ],
      min_should: 2,
    };
    await client.count('things', filter);
    expect(backend.calls.at(-1)?.call).toMatchObject({ kind: 'count', filter: filterOf(filter) });
  });

  test('what is wrong with a filter comes back with its place', async () => {
    await client.createCollection(things);
    const bad: readonly [unknown, string][] = [
      [{ must: [{ key: '', is_null: true }] }, 'filter.must[0].key'],
      [{ must: [{}, { key: 'a', match: { any: [] } }] }, 'filter.must[1].match.any'],
      [{ should: [{ key: 'a', datetime: { gt: 'now' } }] }, 'filter.should[0].datetime.gt'],
      [{ must: [{ key: 'a', match: { value: Number.NaN } }] }, 'filter.must[0].match.value'],
      [{ must_not: [{ key: 'a', range: {} }] }, 'filter.must_not[0].range'],
    ];
    for (const [filter, field] of bad) {
      const refused = client.count('things', filter as Filter);
      await expect(refused).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field });
    }
    const nested = (levels: number): Filter => (levels === 0 ? {} : { must: [nested(levels - 1)] });
    await expect(client.count('things', nested(2_000))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('upsertBatch cuts by count and reports progress', async () => {
    await client.createCollection(things);
    const progress: number[] = [];
    const options = { countMax: 10, concurrency: 2, onProgress: (count: number) => progress.push(count) };
    expect(await client.upsertBatch('things', points(25), options)).toBe(25);
    expect(progress.at(-1)).toBe(25);
    const sizes = backend.calls
      .map(({ call }) => (call.kind === 'upsert' ? call.points.length : 0))
      .filter((n) => n > 0);
    expect(sizes.sort((a, b) => a - b)).toEqual([5, 10, 10]);
    expect(backend.collections.get('things')?.points.size).toBe(25);
  });

  test('upsertBatch cuts by bytes, reads no further than it sends, and stops at the first failure', async () => {
    await client.createCollection(things);
    let taken = 0;
    async function* source(): AsyncGenerator<PointInput> {
      for (const point of points(1_000)) {
        taken++;
        yield point;
      }
    }
    backend.failures.push(new VectronError('INVALID_ARGUMENT', 'no', { field: 'points' }));
    const failed = client.upsertBatch('things', source(), { bytesMax: 64, concurrency: 1 });
    await expect(failed).rejects.toThrow(InvalidArgumentError);
    expect(taken).toBeLessThan(10);
  });
});

describe('typed errors', () => {
  const cases: readonly [string, new (...rest: never[]) => VectronClientError][] = [
    ['NOT_FOUND', NotFoundError],
    ['INVALID_ARGUMENT', InvalidArgumentError],
    ['ALREADY_EXISTS', AlreadyExistsError],
    ['PERMISSION_DENIED', AuthenticationError],
    ['INTERNAL', InternalServerError],
    ['CORRUPT', InternalServerError],
  ];
  test.each(cases)('%s', async (code, Class) => {
    backend.failures.push(new VectronError(code as 'NOT_FOUND', 'so it is', { field: 'f[1]' }));
    const error: unknown = await client.listCollections().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Class);
    expect(error).toBeInstanceOf(VectronClientError);
    expect(error).toMatchObject({ code, field: 'f[1]', message: 'so it is', fromServer: true });
    expect(backend.calls.length).toBe(1);
  });

  test('a key that is not known', async () => {
    const stranger = connect({ url: `grpc://127.0.0.1:${gateway.grpcPort}`, apiKey: 'other' });
    await expect(stranger.listCollections()).rejects.toThrow(AuthenticationError);
    stranger.close();
  });

  test('a write that failed in part', async () => {
    const token = { collection: collectionId(1), shard: shardId(2), index: logIndex(3) };
    const failure = new WriteFailedError(new VectronError('DEADLINE_EXCEEDED', 'late'), 3, [1, 9], [token]);
    for (let i = 0; i < 3; i++) backend.failures.push(failure);
    const error: unknown = await client.upsert('things', points(5)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      acknowledged: 3,
      failed: [1, 9],
      commit: [tokenText(token)],
    });
  });

  test('a request that cannot be put into bytes', async () => {
    const shape = { name: 'things', distance: 'dot' } as const;
    await expect(client.createCollection({ ...shape, dimension: 2.5 })).rejects.toThrow(InvalidArgumentError);
    await expect(client.search('things', { vector: [1], topK: -1 })).rejects.toThrow(InvalidArgumentError);
    await expect(client.upsert('things', [{ id: '\ud800', vector: [1] }])).rejects.toThrow(InvalidArgumentError);
    expect(backend.calls.length).toBe(0);
  });

  test('an url that is none', () => {
    expect(() => connect({ url: 'nowhere', apiKey: 'key' })).toThrow(InvalidArgumentError);
  });
});

describe('retries', () => {
  const fail = (
    code: 'UNAVAILABLE' | 'DEADLINE_EXCEEDED' | 'RESOURCE_EXHAUSTED',
    count: number,
    retryAfterMs?: number,
  ): void => {
    const details = retryAfterMs === undefined ? {} : { retryAfterMs };
    for (let i = 0; i < count; i++) backend.failures.push(new VectronError(code, 'try again', details));
  };

  test('UNAVAILABLE twice, then an answer', async () => {
    fail('UNAVAILABLE', 2);
    expect(await client.listCollections()).toEqual([]);
    expect(backend.calls.length).toBe(3);
  });

  test('three attempts are all there are', async () => {
    fail('UNAVAILABLE', 5);
    await expect(client.listCollections()).rejects.toThrow(UnavailableError);
    expect(backend.calls.length).toBe(3);
  });

  test('DEADLINE_EXCEEDED: reads again, and writes again under their key unless told not to', async () => {
    fail('DEADLINE_EXCEEDED', 1);
    await client.listCollections();
    expect(backend.calls.length).toBe(2);
    fail('DEADLINE_EXCEEDED', 1);
    await expect(client.delete('things', 'a')).rejects.toThrow(NotFoundError);
    await expect(client.delete('things', 'a')).rejects.toThrow(NotFoundError);
    const keys = backend.calls.flatMap(({ call }) => (call.kind === 'delete' ? [call.options.key] : []));
    expect([keys.length, keys[0] === keys[1], keys[1] === keys[2]]).toEqual([3, true, false]);
    fail('DEADLINE_EXCEEDED', 1);
    await expect(client.deleteCollection('things')).rejects.toThrow(DeadlineExceededError);
    const timid = connect({
      url: `127.0.0.1:${gateway.grpcPort}`,
      apiKey: 'key',
      retry: { ...fast, retryWritesOnTimeout: false },
    });
    fail('DEADLINE_EXCEEDED', 1);
    await expect(timid.delete('things', 'a')).rejects.toThrow(DeadlineExceededError);
    timid.close();
  });

  test('a caller’s key, its conditions and its freshness arrive as they were given', async () => {
    await client.createCollection(things);
    const idempotency = { key: 'mine', issuedMs: 1_700_000_000_000, windowMs: 5_000 };
    const [first, second] = points(2) as [PointInput, PointInput];
    const guarded = [
      { ...first, ifVersion: 0 },
      { ...second, ifVersion: 7 },
    ];
    const { commit, versions } = await client.upsert('things', guarded, { idempotency, returnPrevious: true });
    expect(backend.calls.at(-1)?.call).toMatchObject({
      options: {
        ...idempotency,
        issuedMs: idempotency.issuedMs,
        returnPrevious: true,
        conditions: [{ kind: 'absent' }, { kind: 'version', version: 7 }],
      },
    });
    expect(versions).toEqual([9, 9]);
    await client.get('things', 'p0', { tokens: commit });
    expect(backend.calls.at(-1)?.call).toMatchObject({
      level: 'session',
      tokens: [{ collection: 1, shard: 1, index: 9 }],
    });
    await client.search('things', { vector: [1, 0], maxStalenessMs: 250 });
    expect(backend.calls.at(-1)?.call).toMatchObject({ level: 'bounded', stalenessMs: 250 });
    const stale = new VectronError('FAILED_PRECONDITION', 'no', { field: 'points[1]', currentVersion: 0 });
    backend.failures.push(stale);
    const error: unknown = await client.upsert('things', guarded).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PreconditionError);
    expect(error).toMatchObject({ field: 'points[1]', currentVersion: 0 });
  });

  test('RESOURCE_EXHAUSTED waits as long as the server says', async () => {
    fail('RESOURCE_EXHAUSTED', 1, 150);
    const before = performance.now();
    await client.listCollections();
    expect(performance.now() - before).toBeGreaterThanOrEqual(149);
    expect(backend.calls.length).toBe(2);
  });

  test('a message that is too large is not sent again', async () => {
    await client.createCollection(things);
    const payload = { x: 'x'.repeat(1_000_000) };
    const large = Array.from({ length: 40 }, (_, i) => ({ id: `l${i}`, vector: [0, 1], payload }));
    await expect(client.upsert('things', large)).rejects.toThrow(ResourceExhaustedError);
    expect(backend.calls.length).toBe(1);
  });
});

describe('the connection', () => {
  test('a gateway that comes back on its port is found again, and events tell of both', async () => {
    const events: string[] = [];
    client.events.on('connected', () => events.push('connected'));
    const gone = new Promise((resolve) =>
      client.events.once('disconnected', () => resolve(events.push('disconnected'))),
    );
    await client.ready();
    await client.listCollections();
    const { grpcPort } = gateway;
    await gateway.stop();
    await gone;
    const refused = connect({ url: `127.0.0.1:${grpcPort}`, apiKey: 'key', retry: fast });
    await expect(refused.listCollections()).rejects.toThrow(UnavailableError);
    refused.close();
    gateway = await open(grpcPort);
    await client.ready();
    expect(await client.listCollections()).toEqual([]);
    expect(events).toEqual(['connected', 'disconnected', 'connected']);
  });

  test('a call that is not answered ends at its deadline', async () => {
    const slow = new Promise<never>(() => undefined);
    backend.call = () => slow;
    const before = performance.now();
    const options = { url: `127.0.0.1:${gateway.grpcPort}`, apiKey: 'key', timeoutMs: 60, retry: { attempts: 1 } };
    const hasty = connect(options);
    await expect(hasty.listCollections()).rejects.toThrow(DeadlineExceededError);
    expect(performance.now() - before).toBeLessThan(5_000);
    hasty.close();
  });
});

test('a payload that JSON has no word for is refused before anything is sent', async () => {
  const circular: Record<string, never> = {};
  Object.assign(circular, { self: circular });
  for (const payload of [circular, { n: Number.NaN }, { n: [Number.POSITIVE_INFINITY] }]) {
    const write = client.upsert('things', [{ id: 'a', vector: [1, 2], payload }]);
    await expect(write).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field: 'payload' });
  }
});

test('a client’s own keys settle the writes that have ended, well or not, and stay the same when a call is repeated', async () => {
  await client.createCollection(things);
  const write = (): Promise<unknown> => client.upsert('things', points(1)).catch(() => 'failed');
  const repeated = new VectronError('UNAVAILABLE', 'not now', { retryAfterMs: 1 });
  backend.failures.push(repeated, new VectronError('INVALID_ARGUMENT', 'no', { field: 'points' }));
  expect(await write()).toBe('failed');
  await Promise.all([write(), write()]);
  await write();
  const keys = backend.calls.flatMap(({ call }) => (call.kind === 'upsert' ? [call.options.key] : []));
  expect(keys.length).toBe(5);
  const drawn = [...new Set(keys)].map((key) => parseSessionKey(key) ?? failWith(key));
  expect(new Set(drawn.map(({ session }) => session)).size).toBe(1);
  const numbers = drawn.map(({ number, settled }) => [number, settled]).sort(([a = 0], [b = 0]) => a - b);
  expect(numbers).toEqual([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 4],
  ]);
});

function failWith(key: string): never {
  throw new Error(`${key} is no key of a session`);
}
