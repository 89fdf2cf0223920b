import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { bytesOfFloats, utf8 } from '../../src/base/bytes';
import { VectronError } from '../../src/base/errors';
import { collectionId, logIndex, shardId } from '../../src/base/ids';
import { WriteFailedError } from '../../src/gateway/calls';
import { type RunningGateway, startGateway } from '../../src/gateway/node/start-gateway';
import { tokenText } from '../../src/protocol/commit-token';
import {
  ErrorDetail,
  type PointInput,
  type SearchRequest,
  UpsertRequest,
} from '../../src/protocol/generated/vectron/v1/vectron';
import { methodDefinition } from '../../src/protocol/node/grpc-service';
import { decodePositions, type ReplyOf, type RequestOf, type UnaryMethod } from '../../src/protocol/public-api';
import { FakeBackend } from './fake-backend';

const none = new Uint8Array(0);
const anyAge = { tokens: [], maxStalenessMs: 0 };
const plain = { idempotencyKey: '', issuedMs: 0, idempotencyWindowMs: 0, returnPrevious: false };
const vector = (...numbers: number[]): Uint8Array => bytesOfFloats(Float32Array.from(numbers));
const point = (fields: Partial<PointInput> = {}): PointInput => ({
  id: 'x',
  vector: vector(1, 2, 3),
  vectorBytes: none,
  payload: none,
  ifVersion: undefined,
  onlyIf: '',
  ...fields,
});
const query = (fields: Partial<SearchRequest> = {}): SearchRequest => ({
  collection: 'things',
  vector: vector(1, 0, 0),
  vectorBytes: none,
  topK: undefined,
  ef: 0,
  exact: false,
  includeVectors: undefined,
  includeMetadata: undefined,
  timeoutMs: 0,
  consistency: '',
  allowPartial: false,
  explain: false,
  query: '',
  filter: undefined,
  minScore: undefined,
  oversampling: 0,
  quantised: undefined,
  rerank: 0,
  waitIndexedMs: 0,
  ...anyAge,
  ...fields,
});
const storage = { quantisation: '', originals: '' };
const shape = { name: 'things', dimension: 3, distance: 'dot', hnsw: undefined, ...storage, ttlMs: 0 };
const create = { ...shape, shardCount: 0, replicationFactor: 0 };

let backend: FakeBackend;
let gateway: RunningGateway;
let client: Client;

beforeEach(async () => {
  backend = new FakeBackend();
  const options = { backend, grpcAddress: '127.0.0.1:0', httpAddress: '127.0.0.1:0', apiKeys: ['the-key'] };
  gateway = await startGateway(options);
  client = new Client(`127.0.0.1:${gateway.grpcPort}`, credentials.createInsecure());
});
afterEach(async () => {
  client.close();
  await gateway.stop();
});

interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  /** Sent in place of the encoded request. */
  readonly raw?: Uint8Array;
}

function send<K extends UnaryMethod>(method: K, request: RequestOf<K>, options: SendOptions = {}): Promise<ReplyOf<K>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(options.headers ?? { authorization: 'Bearer the-key' }))
    metadata.set(name, value);
  const { raw } = options;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      raw === undefined ? requestSerialize : () => Buffer.from(raw),
      responseDeserialize as (buffer: Buffer) => ReplyOf<K>,
      request,
      metadata,
      { deadline: Date.now() + (options.deadlineMs ?? 10_000) },
      (error, reply) => (error === null && reply !== undefined ? resolve(reply) : reject(error)),
    );
  });
}

interface Failed {
  readonly code: number;
  readonly named: unknown;
  readonly field: unknown;
  readonly detail: ErrorDetail;
}

async function failure(sent: Promise<unknown>): Promise<Failed> {
  const error = await sent.then(
    () => null,
    (thrown: ServiceError) => thrown,
  );
  if (error === null) throw new Error('the call did not fail');
  const detail = error.metadata.get('vectron-error-bin')[0];
  return {
    code: error.code,
    named: error.metadata.get('vectron-code')[0],
    field: error.metadata.get('vectron-field')[0],
    detail: ErrorDetail.decode(detail instanceof Uint8Array ? new Uint8Array(detail) : none),
  };
}

describe('the public calls', () => {
  test('a batch answers each search in its place, and one that fails hides no other', async () => {
    await send('createCollection', create);
    await send('upsert', { collection: 'things', points: [point()], ...plain });
    const searches = [query({ explain: true }), query({ vector: vector(1) }), query({ collection: '' })];
    const { results } = await send('searchBatch', { collection: 'things', searches });
    expect(results.map(({ outcome }) => outcome)).toMatchObject([
      { $case: 'reply', reply: { results: [{ id: 'x' }], shards: [{ points: 1 }] } },
      { $case: 'error', error: { code: 'INVALID_ARGUMENT', field: 'vector' } },
      { $case: 'reply', reply: { results: [{ id: 'x' }], shards: [] } },
    ]);
    const other = { collection: 'things', searches: [query({ collection: 'others' })] };
    await expect(send('searchBatch', other)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test('a collection and its points, start to end', async () => {
    expect(await send('createCollection', create)).toEqual({ success: true });
    const payload = utf8('{"color":"red"}');
    const points = [point({ id: 'a', payload }), point({ id: 'b', vector: none, vectorBytes: vector(0, 1, 0) })];
    expect(await send('upsert', { collection: 'things', points, ...plain })).toMatchObject({ count: 2 });
    const found = await send('search', query({ topK: 1, includeVectors: true, explain: true }));
    expect(found).toMatchObject({ partial: false, shardsTotal: 1, shardsAnswered: 1, shards: [{ strategy: 'scan' }] });
    expect(found.results.map(({ id, score }) => [id, score])).toEqual([['a', 1]]);
    expect([...(found.results[0]?.vector ?? none)]).toEqual([...vector(1, 2, 3)]);
    const a = await send('get', { collection: 'things', id: 'a', consistency: '', ...anyAge });
    expect([...a.payload]).toEqual([...payload]);
    const many = await send('getMany', {
      collection: 'things',
      ids: ['b', 'none', 'a'],
      consistency: 'eventual',
      ...anyAge,
    });
    expect(many.points.map(({ id }) => id)).toEqual(['b', 'a']);
    expect(await send('delete', { collection: 'things', ids: ['a', 'none'], ifVersions: [], ...plain })).toMatchObject({
      count: 1,
    });
    expect(await send('getCollectionStatus', { name: 'things' })).toMatchObject({ points: 1, recall: 0.95 });
    expect(await send('listCollections', {})).toEqual({ names: ['things'] });
    expect(await send('deleteCollection', { name: 'things' })).toEqual({ success: true });
  });

  test('defaults: ten results, payloads shown, vectors not, Search at leader and Get linearizable', async () => {
    await send('createCollection', create);
    await send('search', query());
    await failure(send('get', { collection: 'things', id: 'a', consistency: '', ...anyAge }));
    expect(backend.calls.at(-2)?.call).toMatchObject({
      k: 10,
      ef: 0,
      includeVector: false,
      includePayload: true,
      level: 'leader',
    });
    expect(backend.calls.at(-1)?.call).toMatchObject({ level: 'linearizable' });
  });

  test('a vector as another protobuf library writes it is read: packed floats', async () => {
    await send('createCollection', create);
    // collection = "things", points = [{ id: "p", vector: packed [1.5, -2, 0.25] }], written by hand.
    const raw = Uint8Array.from([
      ...[0x0a, 6, ...utf8('things')],
      ...[0x12, 17, 0x0a, 1, 0x70, 0x12, 12, ...vector(1.5, -2, 0.25)],
    ]);
    expect(await send('upsert', { collection: '', points: [], ...plain }, { raw })).toMatchObject({ count: 1 });
    const { vector: stored } = await send('get', { collection: 'things', id: 'p', consistency: '', ...anyAge });
    expect([...stored]).toEqual([...vector(1.5, -2, 0.25)]);
  });

  test('the deadline of the call is the budget, less a margin for the answer', async () => {
    await send('listCollections', {}, { deadlineMs: 5_000 });
    const [first] = backend.calls;
    expect(first?.timeoutMs).toBeGreaterThan(3_000);
    expect(first?.timeoutMs).toBeLessThan(4_960);
  });
});

describe('bad input changes nothing and names its field', () => {
  const many = Array.from({ length: 4_097 }, (_, i) => point({ id: `p${i}` }));
  const upserts: readonly [string, readonly PointInput[], string][] = [
    ['no points', [], 'points'],
    ['too many points', many, 'points'],
    ['an empty id', [point({ id: '' })], 'points[0].id'],
    ['a long id', [point({ id: 'x'.repeat(513) })], 'points[0].id'],
    ['the same id twice', [point(), point({ id: 'y' }), point()], 'points[2].id'],
    ['no vector', [point({ vector: none })], 'points[0].vector'],
    ['both vectors', [point({ vectorBytes: vector(1, 2, 3) })], 'points[0].vector_bytes'],
    ['a torn vector', [point({ vector: none, vectorBytes: new Uint8Array(7) })], 'points[0].vector_bytes'],
    ['NaN', [point(), point({ id: 'y', vector: vector(1, Number.NaN, 3) })], 'points[1].vector[1]'],
    ['infinity', [point({ vector: vector(1, 2, Number.NEGATIVE_INFINITY) })], 'points[0].vector[2]'],
    ['a wrong dimension', [point(), point({ id: 'y', vector: vector(1, 2) })], 'points[1].vector'],
    ['a payload that is not JSON', [point({ payload: utf8('{') })], 'points[0].payload'],
    ['a payload that is a list', [point({ payload: utf8('[]') })], 'points[0].payload'],
    ['a payload that is not UTF-8', [point({ payload: Uint8Array.from([0x7b, 0xff]) })], 'points[0].payload'],
    [
      'a payload nested deep',
      [point({ payload: utf8(`{"a":${'['.repeat(100)}${']'.repeat(100)}}`) })],
      'points[0].payload',
    ],
    ['a payload too large', [point({ payload: new Uint8Array(1024 * 1024 + 1) })], 'points[0].payload'],
  ];
  test.each(upserts)('upsert: %s', async (_what, points, field) => {
    await send('createCollection', create);
    const before = backend.contents();
    const failed = await failure(send('upsert', { collection: 'things', points: [...points], ...plain }));
    expect(failed).toMatchObject({ code: status.INVALID_ARGUMENT, named: 'INVALID_ARGUMENT', field });
    expect(failed.detail).toMatchObject({ code: 'INVALID_ARGUMENT', field });
    expect(backend.contents()).toBe(before);
  });

  const searches: readonly [string, Partial<SearchRequest>, string][] = [
    ['top_k 0', { topK: 0 }, 'top_k'],
    ['top_k huge', { topK: 10_001 }, 'top_k'],
    ['ef huge', { ef: 10_001 }, 'ef'],
    ['consistency', { consistency: 'maybe', ...anyAge }, 'consistency'],
    ['dimension', { vector: vector(1) }, 'vector'],
    ['NaN', { vector: vector(Number.NaN, 1, 1) }, 'vector[0]'],
    ['name', { collection: 'a b' }, 'collection'],
  ];
  test.each(searches)('search: %s', async (_what, fields, field) => {
    await send('createCollection', create);
    expect(await failure(send('search', query(fields)))).toMatchObject({ code: status.INVALID_ARGUMENT, field });
  });

  test('unknown, existing and impossible collections', async () => {
    await send('createCollection', create);
    expect(await failure(send('search', query({ collection: 'no' })))).toMatchObject({
      code: status.NOT_FOUND,
      field: 'collection',
    });
    expect(await failure(send('createCollection', create))).toMatchObject({
      code: status.ALREADY_EXISTS,
      field: 'name',
    });
    expect(await failure(send('createCollection', { ...create, distance: 'l2' }))).toMatchObject({
      code: status.INVALID_ARGUMENT,
      field: 'distance',
    });
    expect(await failure(send('get', { collection: 'things', id: 'no', consistency: '', ...anyAge }))).toMatchObject({
      code: status.NOT_FOUND,
      field: 'id',
    });
  });

  test('an id that is not UTF-8: replaced, two of them would become one', async () => {
    const raw = Uint8Array.of(0x0a, 1, 0x61, 0x12, 2, 0xff, 0xfe);
    expect(await failure(send('get', { collection: '', id: '', consistency: '', ...anyAge }, { raw }))).toMatchObject({
      named: 'INVALID_ARGUMENT',
    });
    expect(backend.calls.length).toBe(0);
  });

  test('bytes that are not a message', async () => {
    const raw = Uint8Array.from([0x0a, 0xff, 0xff, 0x01]);
    const failed = await failure(send('upsert', { collection: '', points: [], ...plain }, { raw }));
    expect(failed).toMatchObject({ code: status.INVALID_ARGUMENT, field: 'body' });
  });

  test('a message over the limit is RESOURCE_EXHAUSTED and never reaches the backend', async () => {
    const raw = UpsertRequest.encode({ collection: 'x'.repeat(33 * 1024 * 1024), points: [], ...plain }).finish();
    const error = await send('upsert', { collection: '', points: [], ...plain }, { raw }).then(
      () => null,
      (thrown: ServiceError) => thrown,
    );
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(backend.calls).toEqual([]);
  });
});

describe('keys', () => {
  test.each([
    [{}],
    [{ authorization: 'Bearer the-kez' }],
    [{ authorization: 'the-key' }],
    [{ 'x-api-key': 'the-key2' }],
  ])('%j is kept out', async (headers) => {
    const failed = await failure(send('listCollections', {}, { headers: headers as Record<string, string> }));
    expect(failed).toMatchObject({ code: status.UNAUTHENTICATED, named: 'UNAUTHENTICATED' });
    expect(backend.calls).toEqual([]);
  });

  test('either header lets in', async () => {
    await send('listCollections', {}, { headers: { 'x-api-key': 'the-key' } });
    await send('listCollections', {}, { headers: { authorization: 'bearer the-key' } });
    expect(backend.calls.length).toBe(2);
  });
});

describe('errors of the backend', () => {
  test('a partial write names its points in the detail', async () => {
    await send('createCollection', create);
    const token = { collection: collectionId(1), shard: shardId(2), index: logIndex(3) };
    const failed = Array.from({ length: 4_096 }, (_, i) => i).filter((i) => i % 2 === 1);
    backend.failures.push(
      new WriteFailedError(new VectronError('UNAVAILABLE', 'gone', { retryAfterMs: 30.5 }), 2_048, failed, [token]),
    );
    const { code, detail } = await failure(send('upsert', { collection: 'things', points: [point()], ...plain }));
    expect(code).toBe(status.UNAVAILABLE);
    expect(detail).toMatchObject({ acknowledged: 2_048, retryAfterMs: 31 });
    expect(decodePositions(detail.failed)).toEqual(failed);
    expect(detail.commit).toEqual([tokenText(token)]);
  });

  test('what was not foreseen is INTERNAL; what is not there yet UNIMPLEMENTED', async () => {
    backend.failures.push(new TypeError('öops'));
    expect(await failure(send('listCollections', {}))).toMatchObject({ code: status.INTERNAL, named: 'INTERNAL' });
    expect(await failure(send('updateUserProfile', { plan: 'x' }))).toMatchObject({ code: status.UNIMPLEMENTED });
  });

  test('a stream that is not there yet', async () => {
    const { path, requestSerialize, responseDeserialize } = methodDefinition('searchStream');
    const metadata = new Metadata();
    metadata.set('x-api-key', 'the-key');
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, query(), metadata);
    const code = await new Promise((resolve) => {
      stream.on('error', (error: ServiceError) => resolve(error.code));
      stream.on('end', () => resolve('ended'));
      stream.resume();
    });
    expect(code).toBe(status.UNIMPLEMENTED);
  });
});
