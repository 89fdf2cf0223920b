import { invalid } from '../../base/errors';
import type { Condition, Point, WriteOptions } from '../../protocol/commands';
import type { ReadLevel } from '../../protocol/data-messages';
import type * as proto from '../../protocol/generated/vectron/v1/vectron';
import type { CallOf } from '../calls';
import { neededFilter, payloadChange } from './by-filter';
import { capacityOf } from './capacity';
import { condition, readDial, versionsOf, writeOptions } from './consistency';
import * as check from './fields';
import { filterOf, keyOf } from './filter';
import { filterAsJson } from './filter-proto';
import { orderOf } from './order';

/** Defaults of a new collection that the deployment chooses. */
export interface CollectionDefaults {
  readonly shardCount: number;
  readonly replicationFactor: number;
}

/** Messages of the public .proto as validated calls. Vectors come as bytes: see scripts/generate-proto.mjs. */
export function createCollection(
  request: proto.CreateCollectionRequest,
  defaults: CollectionDefaults,
): CallOf<'createCollection'> {
  return {
    kind: 'createCollection',
    name: check.collectionName(request.name, 'name'),
    dimension: check.dimension(request.dimension),
    metric: check.metric(request.distance),
    hnsw: { m: check.hnswM(request.hnsw?.m), efConstruction: check.efConstruction(request.hnsw?.efConstruction) },
    shardCount: check.shardCount(request.shardCount, defaults.shardCount),
    replicationFactor: check.replicationFactor(request.replicationFactor, defaults.replicationFactor),
    storage: check.storage(request.quantisation, request.originals),
    ttlMs: check.ttlMs(request.ttlMs),
  };
}

export const updateCollection = ({ name, ttlMs }: proto.UpdateCollectionRequest): CallOf<'changeTtl'> => ({
  kind: 'changeTtl',
  name: check.collectionName(name, 'name'),
  ttlMs: check.neededTtlMs(ttlMs),
});

export function upsert(request: proto.UpsertRequest): CallOf<'upsert'> {
  const collection = check.collectionName(request.collection, 'collection');
  check.batch(request.points, 'points');
  const points = request.points.map(point);
  check.distinctIds(
    points.map(({ id }) => id),
    (i) => `points[${i}].id`,
  );
  const conditions = request.points.map((input, i) => condition(input.ifVersion, input.onlyIf, `points[${i}].`));
  const lives = check.lives(request.points.map(({ ttlMs }) => ttlMs));
  return { kind: 'upsert', collection, points, ...lives, options: optionsOf(request, conditions) };
}

interface WriteRequest {
  readonly idempotencyKey: string;
  readonly issuedMs: number;
  readonly idempotencyWindowMs: number;
  readonly returnPrevious: boolean;
}

function optionsOf(request: WriteRequest, conditions: readonly Condition[]): WriteOptions {
  const { idempotencyKey: key, issuedMs, idempotencyWindowMs: windowMs } = request;
  return writeOptions({ key, issuedMs, windowMs }, conditions, request.returnPrevious);
}

interface ReadRequest {
  readonly consistency: string;
  readonly tokens: readonly string[];
  readonly maxStalenessMs: number;
}

const dialOf = ({ consistency: level, tokens, maxStalenessMs: stalenessMs }: ReadRequest, byDefault: ReadLevel) =>
  readDial({ level, tokens, stalenessMs }, byDefault);

function point(input: proto.PointInput, i: number): Point {
  const at = `points[${i}]`;
  return {
    id: check.pointId(input.id, `${at}.id`),
    vector: vector(input, `${at}.`),
    payload: check.payloadBytes(input.payload, `${at}.payload`),
  };
}

function vector(input: { vector: Uint8Array; vectorBytes: Uint8Array }, at: string): Uint8Array {
  if (input.vectorBytes.length === 0) return check.vectorBytes(input.vector, `${at}vector`);
  if (input.vector.length > 0) throw invalid(`${at}vector_bytes`, 'is given beside vector; give one of them');
  return check.vectorBytes(input.vectorBytes, `${at}vector_bytes`);
}

export function search(request: proto.SearchRequest): CallOf<'search'> {
  const k = check.topK(request.topK);
  return {
    kind: 'search',
    collection: check.collectionName(request.collection, 'collection'),
    vector: vector(request, ''),
    k,
    ef: check.ef(request.ef),
    exact: request.exact,
    ...dialOf(request, 'leader'),
    includeVector: request.includeVectors ?? false,
    includePayload: request.includeMetadata ?? true,
    allowPartial: request.allowPartial,
    filter: filterOf(filterAsJson(request.filter)),
    minScore: check.minScore(request.minScore),
    oversampling: check.oversampling(request.oversampling),
    rerank: check.rerank(request.rerank, k),
    quantised: check.quantised(request.quantised, request.exact),
    waitIndexedMs: check.waitIndexedMs(request.waitIndexedMs),
  };
}

export function searchBatch(request: proto.SearchBatchRequest): CallOf<'searchBatch'> {
  const collection = check.collectionName(request.collection, 'collection');
  const searches = check.searches(request.searches, (value) => {
    const one = value as proto.SearchRequest;
    if (one.collection !== '' && one.collection !== collection)
      throw invalid('collection', 'is another than that of the batch');
    const timeoutMs = check.timeoutMs(one.timeoutMs);
    return { call: search({ ...one, collection }), timeoutMs, explain: one.explain };
  });
  return { kind: 'searchBatch', collection, searches };
}

export function createIndex(request: proto.CreatePayloadIndexRequest): CallOf<'changeIndex'> {
  const collection = check.collectionName(request.collection, 'collection');
  return { kind: 'changeIndex', collection, key: keyOf(request.key, 'key'), type: check.indexedType(request.type) };
}

export function dropIndex(request: proto.DropPayloadIndexRequest): CallOf<'changeIndex'> {
  const collection = check.collectionName(request.collection, 'collection');
  return { kind: 'changeIndex', collection, key: keyOf(request.key, 'key'), type: null };
}

export function get(request: proto.GetRequest): CallOf<'get'> {
  return {
    kind: 'get',
    collection: check.collectionName(request.collection, 'collection'),
    ids: [check.pointId(request.id, 'id')],
    ...dialOf(request, 'linearizable'),
  };
}

export function getMany(request: proto.GetManyRequest): CallOf<'get'> {
  return {
    kind: 'get',
    collection: check.collectionName(request.collection, 'collection'),
    ids: idList(request.ids),
    ...dialOf(request, 'linearizable'),
  };
}

export function count(request: proto.CountRequest): CallOf<'count'> {
  return {
    kind: 'count',
    collection: check.collectionName(request.collection, 'collection'),
    filter: filterOf(filterAsJson(request.filter)),
    ...dialOf(request, 'linearizable'),
  };
}

export function scroll(request: proto.ScrollRequest): CallOf<'scroll'> {
  const slice = check.slice(request.slice, request.sliceCount);
  const order = orderOf(request.orderBy, request.after, slice.count);
  return {
    kind: 'scroll',
    collection: check.collectionName(request.collection, 'collection'),
    filter: filterOf(filterAsJson(request.filter)),
    limit: check.scrollLimit(request.limit),
    afterId: order === null ? check.afterId(request.after) : '',
    slice,
    order,
    ...dialOf(request, 'linearizable'),
  };
}

export function remove(request: proto.DeleteRequest): CallOf<'delete'> {
  const collection = check.collectionName(request.collection, 'collection');
  const ids = idList(request.ids);
  return { kind: 'delete', collection, ids, options: optionsOf(request, versionsOf(request.ifVersions, ids.length)) };
}

export const capacity = (request: proto.CapacityRequest): CallOf<'capacity'> => capacityOf(request);

export function deleteByFilter(request: proto.DeleteByFilterRequest): CallOf<'deleteByFilter'> {
  return {
    kind: 'deleteByFilter',
    collection: check.collectionName(request.collection, 'collection'),
    filter: neededFilter(filterAsJson(request.filter)),
    options: optionsOf({ ...request, returnPrevious: false }, []),
  };
}

export function setPayloadByFilter(request: proto.SetPayloadByFilterRequest): CallOf<'setPayloadByFilter'> {
  return {
    kind: 'setPayloadByFilter',
    collection: check.collectionName(request.collection, 'collection'),
    filter: neededFilter(filterAsJson(request.filter)),
    change: payloadChange(request.set, request.remove, request.replace),
    options: optionsOf({ ...request, returnPrevious: false }, []),
  };
}

export function idList(value: unknown): string[] {
  const ids = check.batch(value, 'ids').map((id, i) => check.pointId(id, `ids[${i}]`));
  check.distinctIds(ids, (i) => `ids[${i}]`);
  return ids;
}
