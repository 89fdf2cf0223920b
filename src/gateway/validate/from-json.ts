import { type Condition, type Point, plainWrite, type WriteOptions } from '../../protocol/commands';
import type { ReadLevel } from '../../protocol/data-messages';
import type { BatchedSearch, CallOf, ReadDial } from '../calls';
import { neededFilter, payloadChange } from './by-filter';
import { capacityOf } from './capacity';
import { condition, readDial, versionsOf, writeOptions } from './consistency';
import * as check from './fields';
import { filterOf, keyOf } from './filter';
import { type CollectionDefaults, idList } from './from-proto';
import { fieldsOf } from './json';
import { orderOf } from './order';

/** Parsed JSON bodies as validated calls, with the field names of the .proto file. Unknown fields are refused: a typing
 * error would otherwise silently mean the default. */
export function createCollection(body: unknown, defaults: CollectionDefaults): CallOf<'createCollection'> {
  const shape = ['name', 'dimension', 'distance', 'shard_count', 'replication_factor'];
  const fields = fieldsOf(body, '', [...shape, 'hnsw', 'quantisation', 'originals', 'ttl_ms']);
  const hnsw = fieldsOf(fields['hnsw'] ?? {}, 'hnsw', ['m', 'ef_construction']);
  return {
    kind: 'createCollection',
    name: check.collectionName(fields['name'], 'name'),
    dimension: check.dimension(fields['dimension']),
    metric: check.metric(fields['distance']),
    hnsw: { m: check.hnswM(hnsw['m']), efConstruction: check.efConstruction(hnsw['ef_construction']) },
    shardCount: check.shardCount(fields['shard_count'], defaults.shardCount),
    replicationFactor: check.replicationFactor(fields['replication_factor'], defaults.replicationFactor),
    storage: check.storage(fields['quantisation'], fields['originals']),
    ttlMs: check.ttlMs(fields['ttl_ms']),
  };
}

export function updateCollection(name: unknown, body: unknown): CallOf<'changeTtl'> {
  const fields = fieldsOf(body, '', ['ttl_ms']);
  return {
    kind: 'changeTtl',
    name: check.collectionName(name, 'name'),
    ttlMs: check.neededTtlMs(fields['ttl_ms']),
  };
}

export function upsert(collection: unknown, body: unknown): CallOf<'upsert'> {
  const name = check.collectionName(collection, 'collection');
  const fields = fieldsOf(body, '', ['points', ...writeFields]);
  const inputs = check.batch(fields['points'], 'points').map(pointFields);
  const points = inputs.map(point);
  check.distinctIds(
    points.map(({ id }) => id),
    (i) => `points[${i}].id`,
  );
  const conditions = inputs.map((input, i) => condition(input['if_version'], input['only_if'], `points[${i}].`));
  const lives = check.lives(inputs.map((input) => input['ttl_ms']));
  return { kind: 'upsert', collection: name, points, ...lives, options: optionsOf(fields, conditions) };
}

type Fields = Readonly<Record<string, unknown>>;

const keyFields = ['idempotency_key', 'issued_ms', 'idempotency_window_ms'];
const writeFields = [...keyFields, 'return_previous'];

function optionsOf(fields: Fields, conditions: readonly Condition[]): WriteOptions {
  const { idempotency_key: key, issued_ms: issuedMs, idempotency_window_ms: windowMs } = fields;
  const previous = check.flag(fields['return_previous'], 'return_previous', false);
  return writeOptions({ key, issuedMs, windowMs }, conditions, previous);
}

const readFields = ['consistency', 'tokens', 'max_staleness_ms'];

function dialOf(fields: Fields, byDefault: ReadLevel): ReadDial {
  const { consistency: level, tokens, max_staleness_ms: stalenessMs } = fields;
  return readDial({ level, tokens, stalenessMs }, byDefault);
}

const pointFields = (value: unknown, i: number): Fields =>
  fieldsOf(value, `points[${i}]`, ['id', 'vector', 'payload', 'if_version', 'only_if', 'ttl_ms']);

function point(fields: Fields, i: number): Point {
  const at = `points[${i}]`;
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
  ...readFields,
  'allow_partial',
  'explain',
  'query',
  'filter',
  'min_score',
  'oversampling',
  'rerank',
  'quantised',
  'wait_indexed_ms',
];

export interface JsonSearch extends BatchedSearch {
  readonly call: CallOf<'search'>;
}

export function searchBatch(collection: unknown, body: unknown): CallOf<'searchBatch'> {
  const fields = fieldsOf(body, '', ['searches']);
  const searches = check.searches(fields['searches'], (one) => search(collection, one));
  return { kind: 'searchBatch', collection: check.collectionName(collection, 'collection'), searches };
}

export function search(collection: unknown, body: unknown): JsonSearch {
  const fields = fieldsOf(body, '', searchFields);
  const k = check.topK(fields['top_k']);
  const exact = check.flag(fields['exact'], 'exact', false);
  const call: CallOf<'search'> = {
    kind: 'search',
    collection: check.collectionName(collection, 'collection'),
    vector: check.vectorNumbers(fields['vector'], 'vector'),
    k,
    ef: check.ef(fields['ef']),
    exact,
    ...dialOf(fields, 'leader'),
    includeVector: check.flag(fields['include_vectors'], 'include_vectors', false),
    includePayload: check.flag(fields['include_metadata'], 'include_metadata', true),
    allowPartial: check.flag(fields['allow_partial'], 'allow_partial', false),
    filter: filterOf(fields['filter']),
    minScore: check.minScore(fields['min_score']),
    oversampling: check.oversampling(fields['oversampling']),
    rerank: check.rerank(fields['rerank'], k),
    quantised: check.quantised(fields['quantised'], exact),
    waitIndexedMs: check.waitIndexedMs(fields['wait_indexed_ms']),
  };
  return {
    call,
    timeoutMs: check.timeoutMs(fields['timeout_ms']),
    explain: check.flag(fields['explain'], 'explain', false),
  };
}

export function createIndex(collection: unknown, body: unknown): CallOf<'changeIndex'> {
  const fields = fieldsOf(body, '', ['key', 'type']);
  const name = check.collectionName(collection, 'collection');
  return {
    kind: 'changeIndex',
    collection: name,
    key: keyOf(fields['key'], 'key'),
    type: check.indexedType(fields['type']),
  };
}

/** `query` has the fields of the address; tokens are separated by commas. */
export function get(collection: unknown, id: unknown, query: unknown): CallOf<'get'> {
  const { consistency, tokens, max_staleness_ms: staleness } = fieldsOf(query ?? {}, '', readFields);
  const fields = {
    consistency,
    tokens: typeof tokens === 'string' && tokens !== '' ? tokens.split(',') : undefined,
    max_staleness_ms: staleness === undefined ? undefined : Number(staleness),
  };
  return {
    kind: 'get',
    collection: check.collectionName(collection, 'collection'),
    ids: [check.pointId(id, 'id')],
    ...dialOf(fields, 'linearizable'),
  };
}

export function getMany(collection: unknown, body: unknown): CallOf<'get'> {
  const fields = fieldsOf(body, '', ['ids', ...readFields]);
  return {
    kind: 'get',
    collection: check.collectionName(collection, 'collection'),
    ids: idList(fields['ids']),
    ...dialOf(fields, 'linearizable'),
  };
}

export function remove(collection: unknown, id: unknown): CallOf<'delete'> {
  return {
    kind: 'delete',
    collection: check.collectionName(collection, 'collection'),
    ids: [check.pointId(id, 'id')],
    options: plainWrite,
  };
}

export function removeMany(collection: unknown, body: unknown): CallOf<'delete'> {
  const fields = fieldsOf(body, '', ['ids', 'if_versions', ...writeFields]);
  const ids = idList(fields['ids']);
  return {
    kind: 'delete',
    collection: check.collectionName(collection, 'collection'),
    ids,
    options: optionsOf(fields, versionsOf(fields['if_versions'], ids.length)),
  };
}

export function capacity(body: unknown): CallOf<'capacity'> {
  const fields = fieldsOf(body, '', [
    ...['points', 'collection', 'dimension', 'm', 'originals', 'quantisation', 'replication_factor'],
  ]);
  return capacityOf({ ...fields, replicationFactor: fields['replication_factor'] });
}

export function deleteByFilter(collection: unknown, body: unknown): CallOf<'deleteByFilter'> {
  const fields = fieldsOf(body, '', ['filter', ...keyFields]);
  return {
    kind: 'deleteByFilter',
    collection: check.collectionName(collection, 'collection'),
    filter: neededFilter(fields['filter']),
    options: optionsOf(fields, []),
  };
}

export function setPayloadByFilter(collection: unknown, body: unknown): CallOf<'setPayloadByFilter'> {
  const fields = fieldsOf(body, '', ['filter', 'set', 'remove', 'replace', ...keyFields]);
  return {
    kind: 'setPayloadByFilter',
    collection: check.collectionName(collection, 'collection'),
    filter: neededFilter(fields['filter']),
    change: payloadChange(fields['set'], fields['remove'], fields['replace']),
    options: optionsOf(fields, []),
  };
}

export function count(collection: unknown, body: unknown): CallOf<'count'> {
  const fields = fieldsOf(body, '', ['filter', ...readFields]);
  return {
    kind: 'count',
    collection: check.collectionName(collection, 'collection'),
    filter: filterOf(fields['filter']),
    ...dialOf(fields, 'linearizable'),
  };
}

export function scroll(collection: unknown, body: unknown): CallOf<'scroll'> {
  const fields = fieldsOf(body, '', ['filter', 'limit', 'after', 'slice', 'slice_count', 'order_by', ...readFields]);
  const slice = check.slice(fields['slice'], fields['slice_count']);
  const order = orderOf(fields['order_by'], fields['after'], slice.count);
  return {
    kind: 'scroll',
    collection: check.collectionName(collection, 'collection'),
    filter: filterOf(fields['filter']),
    limit: check.scrollLimit(fields['limit']),
    afterId: order === null ? check.afterId(fields['after']) : '',
    slice,
    order,
    ...dialOf(fields, 'linearizable'),
  };
}
