import { createConnection } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { VectronError } from '../../src/base/errors';
import { collectionId, logIndex, shardId } from '../../src/base/ids';
import { WriteFailedError } from '../../src/gateway/calls';
import { type RunningGateway, startGateway } from '../../src/gateway/node/start-gateway';
import { tokenText } from '../../src/protocol/commit-token';
import { badInputs } from './bad-input';
import { FakeBackend } from './fake-backend';

let backend: FakeBackend;
let gateway: RunningGateway;

beforeEach(async () => {
  backend = new FakeBackend();
  gateway = await startGateway({
    backend,
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    apiKeys: ['first-key', 'second-key'],
    bodyBytesMax: 4 * 1024 * 1024,
  });
});
afterEach(() => gateway.stop());

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown> & { readonly error?: Record<string, unknown> };
}

async function request(method: string, path: string, body?: string, headers: object = {}): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${gateway.httpPort}${path}`, {
    method,
    ...(body === undefined ? {} : { body }),
    headers: { 'x-api-key': 'second-key', ...headers },
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Answer['body'] };
}

const post = (path: string, body: unknown): Promise<Answer> => request('POST', path, JSON.stringify(body));

async function createThings(): Promise<void> {
  await post('/v1/collections', { name: 'things', dimension: 3, distance: 'dot' });
  await post('/v1/collections/things/points', {
    points: [
      { id: 'a', vector: [1, 0, 0], payload: { color: 'red', deep: { n: [1, null, 'x'] } } },
      { id: 'b/ü', vector: [0.1, 0.9, 0] },
    ],
  });
}

describe('the JSON twin', () => {
  test('collections are created, listed, described and deleted', async () => {
    const created = await post('/v1/collections', { name: 'things', dimension: 3, distance: 'cosine', shard_count: 2 });
    expect(created.status).toBe(201);
    expect(backend.calls[0]?.call).toEqual({
      kind: 'createCollection',
      name: 'things',
      dimension: 3,
      metric: 'cosine',
      hnsw: { m: 16, efConstruction: 200 },
      storage: { quantisation: 'int8', originals: 'memory' },
      ttlMs: 0,
      shardCount: 2,
      replicationFactor: 3,
    });
    expect((await request('GET', '/v1/collections')).body).toEqual({ collections: ['things'] });
    expect((await request('GET', '/v1/flags')).body).toMatchObject({
      level: 1,
      flags: [
        { number: 1, name: 'sessionKeys', on: true },
        { number: 2, name: 'payloadIndexes', on: false },
        { number: 3, name: 'storage', on: false },
        { number: 4, name: 'expiry', on: false },
        { number: 5, name: 'issueTimes', on: false },
        { number: 6, name: 'collectionTtl', on: false },
      ],
      nodes: [{ name: 'pd-1', service: 'pd', supports: null }],
    });
    const { body } = await request('GET', '/v1/collections/things/status');
    expect(body).toMatchObject({ name: 'things', dimension: 3, distance: 'cosine', ready: true, recall: 0.95 });
    expect(body).toMatchObject({ shards: [{ replicas: [{ tombstones: 3, index_bytes: 4_096, recall: 0.95 }] }] });
    expect(body['ttl_ms']).toBe(0);
    const ttl = JSON.stringify({ ttl_ms: 60_000 });
    expect((await request('PATCH', '/v1/collections/things', ttl)).body).toEqual({ ttl_ms: 60_000, settled: true });
    expect((await request('GET', '/v1/collections/things/status')).body['ttl_ms']).toBe(60_000);
    expect((await request('DELETE', '/v1/collections/things')).body).toEqual({ success: true });
    expect((await request('GET', '/v1/collections')).body).toEqual({ collections: [] });
  });

  test('points come back as they went in, whatever characters their ids have', async () => {
    await createThings();
    const a = await request('GET', '/v1/collections/things/points/a');
    expect(a.body).toMatchObject({
      id: 'a',
      vector: [1, 0, 0],
      payload: { color: 'red', deep: { n: [1, null, 'x'] } },
      version: 1,
    });
    const b = await request('GET', `/v1/collections/things/points/${encodeURIComponent('b/ü')}`);
    expect(b.body).toMatchObject({ id: 'b/ü', vector: [0.1, 0.9, 0], payload: null, version: 1 });
    const both = await post('/v1/collections/things/points/get', { ids: ['b/ü', 'none', 'a'] });
    expect((both.body['points'] as { id: string }[]).map(({ id }) => id)).toEqual(['b/ü', 'a']);
    expect((await request('DELETE', '/v1/collections/things/points/a')).body).toMatchObject({ count: 1 });
    expect((await request('GET', '/v1/collections/things/points/a')).status).toBe(404);
  });

  test('a search shows payloads and hides vectors unless told otherwise', async () => {
    await createThings();
    const path = '/v1/collections/things/points/search';
    const plain = await post(path, { vector: [1, 0, 0] });
    expect(plain.body).toMatchObject({
      results: [
        { id: 'a', score: 1, payload: { color: 'red', deep: { n: [1, null, 'x'] } } },
        { id: 'b/ü', score: expect.closeTo(0.1, 6), payload: null },
      ],
      partial: false,
      shards_total: 1,
      shards_answered: 1,
    });
    const options = { top_k: 1, include_vectors: true, include_metadata: false, explain: true };
    const full = await post(path, { vector: [1, 0, 0], ...options });
    expect(full.body).toMatchObject({
      results: [{ id: 'a', score: 1, vector: [1, 0, 0] }],
      shards: [{ shard: 1, strategy: 'scan', distances: 2, points: 2 }],
    });
    expect(full.body['results']).not.toHaveProperty('0.payload');
  });

  test('a batch answers each search in its place, and one that fails hides no other', async () => {
    await createThings();
    const path = '/v1/collections/things/points/search/batch';
    const searches = [
      { vector: [1, 0, 0], top_k: 1, include_vectors: true },
      { vector: [1, 0] },
      { vector: [0, 1, 0], include_metadata: false, explain: true, timeout_ms: 70 },
    ];
    const { status, body } = await post(path, { searches });
    expect(status).toBe(200);
    expect(body['results']).toEqual([
      expect.objectContaining({ results: [expect.objectContaining({ id: 'a', vector: [1, 0, 0] })], partial: false }),
      { error: expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'vector' }) },
      expect.objectContaining({
        results: [
          { id: 'b/ü', score: 0.9 },
          { id: 'a', score: 0 },
        ].map((hit) => ({ ...hit, score: expect.closeTo(hit.score, 6) })),
        shards: [expect.anything()],
      }),
    ]);
    expect(backend.calls.at(-1)?.call).toMatchObject({ searches: [{ timeoutMs: 0 }, {}, { timeoutMs: 70 }] });
    const cases: readonly [unknown, string][] = [
      [{}, 'searches'],
      [{ searches: [] }, 'searches'],
      [{ searches: Array.from({ length: 257 }, () => searches[0]) }, 'searches'],
      [{ searches: [searches[0], { vector: [1, 0, 0], top_k: 0 }] }, 'searches[1].top_k'],
      [{ searches: [searches[0], 7] }, 'searches[1]'],
      [{ searches: [{ vector: [1, 'x', 0] }] }, 'searches[0].vector[1]'],
      [{ searches, top_k: 3 }, 'top_k'],
    ];
    for (const [bad, field] of cases) {
      const refused = await post(path, bad);
      expect([refused.status, refused.body.error]).toMatchObject([400, { code: 'INVALID_ARGUMENT', field }]);
    }
  });

  test('filters search, count and scroll', async () => {
    await createThings();
    const filter = { must: [{ key: 'color', match: { value: 'red' } }] };
    const path = '/v1/collections/things/points';
    const { body } = await post(`${path}/search`, { vector: [0, 1, 0], filter, explain: true });
    expect(body).toMatchObject({ results: [{ id: 'a' }], shards: [{ matches: 1, visited: 2, elapsed_ms: 1 }] });
    expect((body['results'] as object[]).length).toBe(1);
    expect((await post(`${path}/count`, { filter })).body).toMatchObject({ count: 1 });
    expect((await post(`${path}/count`, {})).body).toMatchObject({ count: 2 });
    const first = await post(`${path}/scroll`, { limit: 1 });
    expect(first.body).toMatchObject({ points: [{ id: 'a', payload: { color: 'red' } }], next: 'a' });
    const second = await post(`${path}/scroll`, { limit: 1, after: 'a' });
    expect(second.body).toMatchObject({ points: [{ id: 'b/ü' }] });
    expect(second.body).not.toHaveProperty('next');
  });

  test('payloads are changed, and points deleted, by filter', async () => {
    await createThings();
    const path = '/v1/collections/things/points';
    const filter = { must: [{ key: 'color', match: { value: 'red' } }] };
    const set = await post(`${path}/payload/by-filter`, { filter, set: { size: 3 }, remove: ['deep'] });
    expect(set.body).toMatchObject({ count: 1, replayed: false, commit: [expect.any(String)] });
    expect((await request('GET', `${path}/a`)).body).toMatchObject({ payload: { color: 'red', size: 3 } });
    await post(`${path}/payload/by-filter`, { filter: {}, set: { n: 1 }, replace: true });
    expect((await request('GET', `${path}/a`)).body['payload']).toEqual({ n: 1 });
    expect((await post(`${path}/delete/by-filter`, { filter: { must: [{ has_id: ['a'] }] } })).body).toMatchObject({
      count: 1,
    });
    expect((await post(`${path}/count`, {})).body).toMatchObject({ count: 1 });
  });

  test('what a collection would take is told', async () => {
    const { body } = await post('/v1/capacity', { points: 5, dimension: 3 });
    expect(body).toEqual({
      predicted_bytes: 7,
      predicted_bytes_total: 21,
      machines: [
        { node: 'm1', index_bytes: 10, index_bytes_max: 100, left_bytes: 80, predicted_bytes: 7 },
        { node: 'm2', predicted_bytes: 0 },
      ],
      fits: true,
    });
    const of = { dimension: 3, m: 16, originals: 'memory', quantisation: 'int8', replicationFactor: 3 };
    expect(backend.calls.at(-1)?.call).toEqual({ kind: 'capacity', points: 5, of });
    await post('/v1/capacity', { points: 5, collection: 'things' });
    expect(backend.calls.at(-1)?.call).toEqual({ kind: 'capacity', points: 5, of: 'things' });
  });

  test('budgets come from the header, the body and the default, and the smallest counts', async () => {
    await createThings();
    const path = '/v1/collections/things/points/search';
    await post(path, { vector: [1, 0, 0], timeout_ms: 70 });
    await request('POST', path, '{"vector":[1,0,0],"timeout_ms":90}', { 'x-timeout-ms': '80' });
    await post(path, { vector: [1, 0, 0] });
    expect(backend.calls.slice(-3).map(({ timeoutMs }) => timeoutMs)).toEqual([70, 80, 10_000]);
  });
});

describe('bad input', () => {
  test.each(badInputs)('$what: $code naming $field', async ({ method, path, body, code, field }) => {
    await createThings();
    const before = backend.contents();
    const answer = await request(method, path, body);
    expect(answer.body.error).toMatchObject({ code, field });
    expect(answer.status).toBe({ INVALID_ARGUMENT: 400, NOT_FOUND: 404, ALREADY_EXISTS: 409 }[code]);
    expect(backend.contents()).toBe(before);
  });

  test('a body over the limit gets 413 RESOURCE_EXHAUSTED', async () => {
    const answer = await request('POST', '/v1/collections', ' '.repeat(4 * 1024 * 1024 + 1));
    expect(answer.status).toBe(413);
    expect(answer.body.error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', field: 'body' });
  });

  test('bytes that are not UTF-8 are refused, not repaired', async () => {
    const response = await fetch(`http://127.0.0.1:${gateway.httpPort}/v1/collections`, {
      method: 'POST',
      headers: { 'x-api-key': 'first-key' },
      body: new Uint8Array([0x22, 0xff, 0x22]),
    });
    expect(await response.json()).toMatchObject({ error: { code: 'INVALID_ARGUMENT', field: 'body' } });
  });

  test('what is no request at all gets the catalogue’s error too', async () => {
    const answers = await Promise.all(
      ['what?\r\n\r\n', `GET / HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`].map(rawAnswer),
    );
    expect(answers.map((answer) => answer.slice(0, 12))).toEqual(['HTTP/1.1 400', 'HTTP/1.1 431']);
    for (const answer of answers) {
      expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({ error: { code: 'INVALID_ARGUMENT' } });
    }
  });

  test('a percent that encodes nothing, and a route that is none', async () => {
    expect((await request('GET', '/v1/collections/things/points/%zz')).body.error).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect((await request('GET', '/v2')).body.error).toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('keys', () => {
  test.each([
    ['none', {}],
    ['a wrong one', { 'x-api-key': 'first-kez' }],
    ['a prefix of one', { 'x-api-key': 'first-ke' }],
    ['an empty one', { 'x-api-key': '' }],
    ['a wrong bearer beside a right key', { authorization: 'Bearer no', 'x-api-key': 'first-key' }],
  ])('%s: UNAUTHENTICATED before the body is read', async (_what, headers) => {
    const response = await fetch(`http://127.0.0.1:${gateway.httpPort}/v1/collections`, {
      method: 'POST',
      headers: headers as Record<string, string>,
      body: 'not even JSON',
    });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: { code: 'UNAUTHENTICATED' } });
    expect(backend.calls).toEqual([]);
  });

  test.each([
    [{ authorization: 'Bearer first-key' }],
    [{ authorization: 'bearer second-key' }],
    [{ 'x-api-key': 'first-key' }],
  ])('%j is let in', async (headers) => {
    const response = await fetch(`http://127.0.0.1:${gateway.httpPort}/v1/collections`, {
      headers: headers as Record<string, string>,
    });
    expect(response.status).toBe(200);
  });

  test('health is open, and readiness says the truth', async () => {
    const status = async (path: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${gateway.httpPort}${path}`)).status;
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 200]);
    backend.ready = false;
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 503]);
  });
});

describe('errors of the backend', () => {
  test('overload says when to come back', async () => {
    backend.failures.push(new VectronError('RESOURCE_EXHAUSTED', 'full', { retryAfterMs: 1_200 }));
    const answer = await request('GET', '/v1/collections');
    expect(answer.status).toBe(429);
    expect(answer.headers.get('retry-after')).toBe('2');
    expect(answer.body.error).toEqual({ code: 'RESOURCE_EXHAUSTED', message: 'full', retry_after_ms: 1_200 });
  });

  test('a write that failed in part says which points, and has tokens of the others', async () => {
    const token = { collection: collectionId(1), shard: shardId(2), index: logIndex(3) };
    await createThings();
    backend.failures.push(new WriteFailedError(new VectronError('DEADLINE_EXCEEDED', 'late'), 2, [0, 3], [token]));
    const answer = await post('/v1/collections/things/points', { points: [{ id: 'a', vector: [1, 2, 3] }] });
    expect(answer.status).toBe(504);
    expect(answer.body.error).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      acknowledged: 2,
      failed: [0, 3],
      commit: [tokenText(token)],
    });
  });

  test('what was not foreseen is INTERNAL', async () => {
    backend.failures.push(new TypeError('oops'));
    expect(await request('GET', '/v1/collections')).toMatchObject({
      status: 500,
      body: { error: { code: 'INTERNAL' } },
    });
  });

  test('what is not there yet is UNIMPLEMENTED', async () => {
    expect(await post('/v1/feedback', {})).toMatchObject({ status: 501, body: { error: { code: 'UNIMPLEMENTED' } } });
    expect((await request('PUT', '/v1/user/profile', '{}')).status).toBe(501);
  });
});

test('a taken port gets one clear line, and the other port is closed again', async () => {
  const taken = `127.0.0.1:${gateway.httpPort}`;
  const options = { backend, apiKeys: ['k'] };
  await expect(startGateway({ ...options, grpcAddress: '127.0.0.1:0', httpAddress: taken })).rejects.toThrow(
    `cannot listen on ${taken} for HTTP: another program uses this port`,
  );
  await expect(startGateway({ ...options, grpcAddress: taken, httpAddress: '127.0.0.1:0' })).rejects.toThrow(
    `cannot listen on ${taken} for gRPC: another program uses this port`,
  );
});

test('stopping does not wait for a call that never ends', async () => {
  let reached = (): void => undefined;
  const isReached = new Promise<void>((resolve) => {
    reached = resolve;
  });
  backend.call = () => {
    reached();
    return new Promise<never>(() => undefined);
  };
  const cut = request('GET', '/v1/collections').then(
    () => 'answered',
    () => 'cut',
  );
  await isReached;
  const before = performance.now();
  await gateway.stop();
  expect(performance.now() - before).toBeLessThan(10_000);
  expect(await cut).toBe('cut');
});

/** All that comes back for bytes sent as they are. */
async function rawAnswer(bytes: string): Promise<string> {
  const socket = createConnection(gateway.httpPort, '127.0.0.1');
  socket.write(bytes);
  return text(socket);
}
