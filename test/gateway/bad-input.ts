/** Bad input as JSON bodies, with the code and the field that must come back. `3` is the test collection's dimension. */
export interface BadInput {
  readonly what: string;
  readonly method: 'POST' | 'GET' | 'DELETE';
  readonly path: string;
  readonly body?: string;
  readonly code: string;
  readonly field: string;
}

const points = '/v1/collections/things/points';
const search = `${points}/search`;
const collections = '/v1/collections';
const json = JSON.stringify;
const good = { name: 'fresh', dimension: 3, distance: 'dot' };
const point = (fields: object): string => json({ points: [{ id: 'x', vector: [1, 2, 3], ...fields }] });
const bad = (what: string, path: string, body: string, field: string, code = 'INVALID_ARGUMENT'): BadInput => ({
  what,
  method: 'POST',
  path,
  body,
  code,
  field,
});
const nested = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
const many = (count: number): object[] => Array.from({ length: count }, (_, i) => ({ id: `p${i}`, vector: [1, 2, 3] }));

export const badInputs: readonly BadInput[] = [
  bad('no name', collections, json({ ...good, name: undefined }), 'name'),
  bad('empty name', collections, json({ ...good, name: '' }), 'name'),
  bad('name with a slash', collections, json({ ...good, name: '../etc' }), 'name'),
  bad('name too long', collections, json({ ...good, name: 'n'.repeat(129) }), 'name'),
  bad('name that is a number', collections, json({ ...good, name: 7 }), 'name'),
  bad('dimension 0', collections, json({ ...good, dimension: 0 }), 'dimension'),
  bad('dimension 1.5', collections, json({ ...good, dimension: 1.5 }), 'dimension'),
  bad('dimension huge', collections, json({ ...good, dimension: 65_537 }), 'dimension'),
  bad('dimension as text', collections, json({ ...good, dimension: '3' }), 'dimension'),
  bad('unknown metric', collections, json({ ...good, distance: 'manhattan' }), 'distance'),
  bad('no metric', collections, json({ ...good, distance: undefined }), 'distance'),
  bad('too many shards', collections, json({ ...good, shard_count: 1_025 }), 'shard_count'),
  bad('negative shards', collections, json({ ...good, shard_count: -1 }), 'shard_count'),
  bad('two replicas', collections, json({ ...good, replication_factor: 2 }), 'replication_factor'),
  bad('m 1', collections, json({ ...good, hnsw: { m: 1 } }), 'hnsw.m'),
  bad('m huge', collections, json({ ...good, hnsw: { m: 129 } }), 'hnsw.m'),
  bad('ef_construction huge', collections, json({ ...good, hnsw: { ef_construction: 4_001 } }), 'hnsw.ef_construction'),
  bad('unknown hnsw field', collections, json({ ...good, hnsw: { M: 16 } }), 'hnsw.M'),
  bad('unknown field', collections, json({ ...good, metric: 'dot' }), 'metric'),
  bad('duplicate collection', collections, json({ ...good, name: 'things' }), 'name', 'ALREADY_EXISTS'),
  bad('body that is not JSON', collections, '{"name":', 'body'),
  bad('body that is a list', collections, '[]', 'body'),
  bad('body that is null', collections, 'null', 'body'),
  bad('body nested deep', collections, nested(100_000), 'body'),
  bad('prototype in the body', collections, '{"__proto__":{"name":"x"}}', '__proto__'),
  bad('no points', points, '{}', 'points'),
  bad('empty batch', points, json({ points: [] }), 'points'),
  bad('points that are an object', points, json({ points: { length: 1 } }), 'points'),
  bad('batch over the limit', points, json({ points: many(4_097) }), 'points'),
  bad('a point that is null', points, json({ points: [null] }), 'points[0]'),
  bad('no id', points, point({ id: undefined }), 'points[0].id'),
  bad('empty id', points, point({ id: '' }), 'points[0].id'),
  bad('id that is a number', points, point({ id: 5 }), 'points[0].id'),
  bad('id of 513 bytes', points, point({ id: 'i'.repeat(513) }), 'points[0].id'),
  bad('id of 171 times three bytes', points, point({ id: '\u20ac'.repeat(171) }), 'points[0].id'),
  bad('id with a lone surrogate', points, '{"points":[{"id":"\\ud800","vector":[1,2,3]}]}', 'points[0].id'),
  bad('the same id twice', points, json({ points: [many(1)[0], ...many(1)] }), 'points[1].id'),
  bad('wrong dimension', points, json({ points: [...many(3), { id: 'x', vector: [1, 2] }] }), 'points[3].vector'),
  bad('no vector', points, point({ vector: undefined }), 'points[0].vector'),
  bad('empty vector', points, point({ vector: [] }), 'points[0].vector'),
  bad('vector of text', points, point({ vector: ['1', 2, 3] }), 'points[0].vector[0]'),
  bad('NaN as JSON writes it', points, point({ vector: [1, null, 3] }), 'points[0].vector[1]'),
  bad('NaN in the text', points, '{"points":[{"id":"x","vector":[NaN,1,2]}]}', 'body'),
  bad('beyond a double', points, '{"points":[{"id":"x","vector":[1,2,1e999]}]}', 'points[0].vector[2]'),
  bad('beyond float32', points, point({ vector: [1e39, 1, 1] }), 'points[0].vector[0]'),
  bad('length that overflows', points, point({ vector: [3e38, 3e38, 3e38] }), 'points[0].vector'),
  bad('payload that is a list', points, point({ payload: [1] }), 'points[0].payload'),
  bad('payload that is text', points, point({ payload: 'x' }), 'points[0].payload'),
  bad('payload too large', points, point({ payload: { x: 'x'.repeat(1024 * 1024) } }), 'points[0].payload'),
  bad('payload nested deep', points, `{"points":[{"id":"x","vector":[1,2,3],"payload":{"a":${nested(40)}}}]}`, 'body'),
  bad(
    'prototype in a payload',
    points,
    '{"points":[{"id":"x","vector":[1,2,3],"payload":{"a":{"__proto__":1}}}]}',
    'points[0].payload',
  ),
  bad(
    'payload number too large',
    points,
    '{"points":[{"id":"x","vector":[1,2,3],"payload":{"a":1e999}}]}',
    'points[0].payload',
  ),
  bad('unknown point field', points, point({ values: [1] }), 'points[0].values'),
  bad('upsert to an unknown collection', '/v1/collections/nowhere/points', point({}), 'collection', 'NOT_FOUND'),
  bad('upsert to an impossible collection', '/v1/collections/a.b/points', point({}), 'collection'),
  bad('no query vector', search, '{}', 'vector'),
  bad('query of a wrong dimension', search, json({ vector: [1, 2, 3, 4] }), 'vector'),
  bad('top_k 0', search, json({ vector: [1, 2, 3], top_k: 0 }), 'top_k'),
  bad('top_k huge', search, json({ vector: [1, 2, 3], top_k: 10_001 }), 'top_k'),
  bad('top_k 1.5', search, json({ vector: [1, 2, 3], top_k: 1.5 }), 'top_k'),
  bad('ef negative', search, json({ vector: [1, 2, 3], ef: -1 }), 'ef'),
  bad('ef huge', search, json({ vector: [1, 2, 3], ef: 10_001 }), 'ef'),
  bad('exact as text', search, json({ vector: [1, 2, 3], exact: 'yes' }), 'exact'),
  bad('unknown consistency', search, json({ vector: [1, 2, 3], consistency: 'strong' }), 'consistency'),
  bad('timeout negative', search, json({ vector: [1, 2, 3], timeout_ms: -5 }), 'timeout_ms'),
  bad('typing error', search, json({ vector: [1, 2, 3], topk: 5 }), 'topk'),
  bad(
    'search in an unknown collection',
    '/v1/collections/nowhere/points/search',
    json({ vector: [1] }),
    'collection',
    'NOT_FOUND',
  ),
  bad('get without ids', `${points}/get`, json({ ids: [] }), 'ids'),
  bad('get with an empty id', `${points}/get`, json({ ids: ['a', ''] }), 'ids[1]'),
  bad('delete the same twice', `${points}/delete`, json({ ids: ['a', 'b', 'a'] }), 'ids[2]'),
  { what: 'get what is not there', method: 'GET', path: `${points}/none`, code: 'NOT_FOUND', field: 'id' },
  {
    what: 'get by an unknown consistency',
    method: 'GET',
    path: `${points}/a?consistency=x`,
    code: 'INVALID_ARGUMENT',
    field: 'consistency',
  },
  {
    what: 'get an over-long id',
    method: 'GET',
    path: `${points}/${'i'.repeat(600)}`,
    code: 'INVALID_ARGUMENT',
    field: 'id',
  },
  {
    what: 'status of nothing',
    method: 'GET',
    path: '/v1/collections/nowhere/status',
    code: 'NOT_FOUND',
    field: 'name',
  },
  {
    what: 'delete an unknown collection',
    method: 'DELETE',
    path: '/v1/collections/nowhere',
    code: 'NOT_FOUND',
    field: 'name',
  },
];
