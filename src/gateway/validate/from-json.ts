import type { Point } from '../../protocol/commands';
import type { CallOf } from '../calls';
import * as check from './fields';
import { type CollectionDefaults, idList } from './from-proto';
import { fieldsOf } from './json';

/** Parsed JSON bodies as validated calls, with the field names of the .proto file. Unknown fields are refused: a typing
 * error would otherwise silently mean the default. */
export function createCollection(body: unknown, defaults: CollectionDefaults): CallOf<'createCollection'> {
  const fields = fieldsOf(body, '', ['name', 'dimension', 'distance', 'shard_count', 'replication_factor', 'hnsw']);
  const hnsw = fieldsOf(fields['hnsw'] ?? {}, 'hnsw', ['m', 'ef_construction']);
  return {
    kind: 'createCollection',
    name: check.collectionName(fields['name'], 'name'),
    dimension: check.dimension(fields['dimension']),
    metric: check.metric(fields['distance']),
    hnsw: { m: check.hnswM(hnsw['m']), efConstruction: check.efConstruction(hnsw['ef_construction']) },
    shardCount: check.shardCount(fields['shard_count'], defaults.shardCount),
    replicationFactor: check.replicationFactor(fields['replication_factor'], defaults.replicationFactor),
  };
}

export function upsert(collection: unknown, body: unknown): CallOf<'upsert'> {
  const name = check.collectionName(collection, 'collection');
  const points = check.batch(fieldsOf(body, '', ['points'])['points'], 'points').map(point);
  check.distinctIds(
    points.map(({ id }) => id),
    (i) => `points[${i}].id`,
  );
  return { kind: 'upsert', collection: name, points };
}

function point(value: unknown, i: number): Point {
  const at = `points[${i}]`;
  const fields = fieldsOf(value, at, ['id', 'vector', 'payload']);
  return {
    id: check.pointId(fields['id'], `${at}.id`),
    vector: check.vectorNumbers(fields['vector'], `${at}.vector`),
    payload: check.payloadObject(fields['payload'], `${at}.payload`),
  };
}

const searchFields = [
  'vector',
  'top_k',
  'ef',
  'exact',
  'include_vectors',
  'include_metadata',
  'timeout_ms',
  'consistency',
  'allow_partial',
  'explain',
  'query',
];

export interface JsonSearch {
  readonly call: CallOf<'search'>;
  /** 0: none given. */
  readonly timeoutMs: number;
  readonly explain: boolean;
}

export function search(collection: unknown, body: unknown): JsonSearch {
  const fields = fieldsOf(body, '', searchFields);
  const call: CallOf<'search'> = {
    kind: 'search',
    collection: check.collectionName(collection, 'collection'),
    vector: check.vectorNumbers(fields['vector'], 'vector'),
    k: check.topK(fields['top_k']),
    ef: check.ef(fields['ef']),
    exact: check.flag(fields['exact'], 'exact', false),
    level: check.readLevel(fields['consistency'], 'leader'),
    includeVector: check.flag(fields['include_vectors'], 'include_vectors', false),
    includePayload: check.flag(fields['include_metadata'], 'include_metadata', true),
    allowPartial: check.flag(fields['allow_partial'], 'allow_partial', false),
  };
  return {
    call,
    timeoutMs: check.timeoutMs(fields['timeout_ms']),
    explain: check.flag(fields['explain'], 'explain', false),
  };
}

export function get(collection: unknown, id: unknown, consistency: unknown): CallOf<'get'> {
  return {
    kind: 'get',
    collection: check.collectionName(collection, 'collection'),
    ids: [check.pointId(id, 'id')],
    level: check.readLevel(consistency, 'linearizable'),
  };
}

export function getMany(collection: unknown, body: unknown): CallOf<'get'> {
  const fields = fieldsOf(body, '', ['ids', 'consistency']);
  return {
    kind: 'get',
    collection: check.collectionName(collection, 'collection'),
    ids: idList(fields['ids']),
    level: check.readLevel(fields['consistency'], 'linearizable'),
  };
}

export function remove(collection: unknown, id: unknown): CallOf<'delete'> {
  return {
    kind: 'delete',
    collection: check.collectionName(collection, 'collection'),
    ids: [check.pointId(id, 'id')],
  };
}

export function removeMany(collection: unknown, body: unknown): CallOf<'delete'> {
  return {
    kind: 'delete',
    collection: check.collectionName(collection, 'collection'),
    ids: idList(fieldsOf(body, '', ['ids'])['ids']),
  };
}
