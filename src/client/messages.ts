import { bytesOfFloats, floatsOf, fromUtf8, utf8 } from '../base/bytes';
import type * as proto from '../protocol/generated/vectron/v1/vectron';
import { clientError, errorOfDetail, InvalidArgumentError, type VectronClientError } from './errors';
import type {
  Capacity,
  CollectionOptions,
  CollectionStatus,
  Distance,
  Freshness,
  JsonObject,
  Originals,
  PayloadIndexes,
  PayloadIndexType,
  Point,
  PointInput,
  Quantisation,
  ScrollOptions,
  ScrollPage,
  SearchOptions,
  SearchResult,
  ShardRead,
  WriteResult,
} from './types';

/** The client's values as messages of the public .proto, and back. */
const none = new Uint8Array(0);

export function vectorBytes(vector: Float32Array | readonly number[]): Uint8Array {
  return bytesOfFloats(vector instanceof Float32Array ? vector : Float32Array.from(vector));
}

/** InvalidArgumentError for what JSON has no word for: it would arrive as something else, or not at all. */
export function payloadBytes(payload: JsonObject): Uint8Array {
  let text: string | undefined;
  try {
    text = JSON.stringify(payload, (key, value: unknown) => {
      if (typeof value !== 'number' || Number.isFinite(value)) return value;
      throw new TypeError(`${key} is ${value}`);
    });
  } catch (cause) {
    const message = `payload: cannot be written as JSON: ${(cause as Error).message.split('\n')[0]}`;
    throw new InvalidArgumentError('INVALID_ARGUMENT', message, { field: 'payload', cause });
  }
  if (text !== undefined) return utf8(text);
  throw new InvalidArgumentError('INVALID_ARGUMENT', 'payload: must be an object', { field: 'payload' });
}

export const pointInput = ({ id, vector, payload, ifVersion, onlyIf, ttlMs }: PointInput): proto.PointInput => ({
  id,
  vector: vectorBytes(vector),
  vectorBytes: none,
  payload: payload === undefined ? none : payloadBytes(payload),
  ifVersion,
  onlyIf: onlyIf ?? '',
  ttlMs,
});

export const freshness = ({ consistency, tokens = [], maxStalenessMs = 0 }: Freshness) => ({
  consistency: consistency ?? '',
  tokens: [...tokens],
  maxStalenessMs,
});

export const createRequest = (options: CollectionOptions): proto.CreateCollectionRequest => ({
  name: options.name,
  dimension: options.dimension,
  distance: options.distance,
  shardCount: options.shardCount ?? 0,
  replicationFactor: options.replicationFactor ?? 0,
  hnsw: { m: options.hnsw?.m ?? 0, efConstruction: options.hnsw?.efConstruction ?? 0 },
  quantisation: options.quantisation ?? '',
  originals: options.originals ?? '',
  ttlMs: options.ttlMs ?? 0,
});

export const searchRequest = (
  collection: string,
  options: SearchOptions,
  filter: proto.Filter | undefined,
): proto.SearchRequest => ({
  collection,
  vector: vectorBytes(options.vector),
  vectorBytes: none,
  topK: options.topK,
  ef: options.ef ?? 0,
  exact: options.exact ?? false,
  includeVectors: options.includeVectors,
  includeMetadata: options.includeMetadata,
  timeoutMs: options.timeoutMs ?? 0,
  ...freshness(options),
  allowPartial: options.allowPartial ?? false,
  explain: options.explain ?? false,
  query: '',
  filter,
  minScore: options.minScore,
  oversampling: options.oversampling ?? 0,
  quantised: options.quantised,
  rerank: options.rerank ?? 0,
  waitIndexedMs: options.waitIndexedMs ?? 0,
});

export const countRequest = (
  collection: string,
  options: Freshness,
  filter: proto.Filter | undefined,
): proto.CountRequest => ({ collection, filter, ...freshness(options) });

export const scrollRequest = (
  collection: string,
  options: ScrollOptions,
  filter: proto.Filter | undefined,
): proto.ScrollRequest => ({
  collection,
  filter,
  limit: options.limit,
  after: options.after ?? '',
  slice: options.slice?.index ?? 0,
  sliceCount: options.slice?.count ?? 0,
  orderBy:
    options.orderBy === undefined
      ? undefined
      : { key: options.orderBy.key, direction: options.orderBy.direction ?? '' },
  ...freshness(options),
});

export const scrollPage = ({ points, next, served }: proto.ScrollReply): ScrollPage => ({
  points: points.map(pointOf),
  next: next === '' ? null : next,
  served: served.map(shardRead),
});

const payloadOf = (bytes: Uint8Array): JsonObject | null =>
  bytes.length === 0 ? null : (JSON.parse(fromUtf8(bytes)) as JsonObject);

const shardRead = ({ shard, level, appliedIndex, ageMs }: proto.ShardRead): ShardRead => ({
  shard,
  level,
  appliedIndex,
  ageMs: ageMs ?? null,
});

export const writeResult = (reply: proto.UpsertReply | proto.DeleteReply): WriteResult => ({
  ...reply,
  previous: reply.previous.map(pointOf),
});

export const pointOf = ({ id, vector, payload, version, served }: proto.Point): Point => ({
  id,
  vector: floatsOf(vector),
  payload: payloadOf(payload),
  version,
  served: served === undefined ? null : shardRead(served),
});

export const searchResult = (reply: proto.SearchReply): SearchResult => ({
  results: reply.results.map(({ id, score, payload, vector }) => ({
    id,
    score,
    payload: payloadOf(payload),
    vector: vector.length === 0 ? null : floatsOf(vector),
  })),
  partial: reply.partial,
  shardsTotal: reply.shardsTotal,
  shardsAnswered: reply.shardsAnswered,
  shards: reply.shards.map(shardSearch),
  served: reply.served.map(shardRead),
  indexed: reply.indexed ?? null,
});

/** One answer or error a search, in their order. */
export const searchOutcomes = ({ results }: proto.SearchBatchReply): readonly (SearchResult | VectronClientError)[] =>
  results.map(({ outcome }) => {
    if (outcome?.$case === 'reply') return searchResult(outcome.reply);
    if (outcome?.$case === 'error') return errorOfDetail(outcome.error, 'INTERNAL');
    return clientError('INTERNAL', 'a search of the batch has no outcome');
  });

export const capacityOf = ({ machines, ...reply }: proto.CapacityReply): Capacity => ({
  ...reply,
  machines: machines.map(({ node, indexBytes, indexBytesMax, leftBytes, predictedBytes }) => ({
    ...{ node, predictedBytes, indexBytes: indexBytes ?? null },
    ...{ indexBytesMax: indexBytesMax ?? null, leftBytes: leftBytes ?? null },
  })),
});

const shardSearch = (stats: proto.ShardSearchStats): SearchResult['shards'][number] => ({
  ...stats,
  matches: stats.matches ?? null,
  visited: stats.visited ?? null,
  estimatedSelectivity: stats.estimatedSelectivity ?? null,
  selectivity: stats.selectivity ?? null,
  searchMicros: stats.searchMicros ?? null,
  ef: stats.ef ?? null,
});

export const payloadIndexes = ({ indexes, settled }: proto.PayloadIndexesReply): PayloadIndexes => ({
  indexes: indexes.map(({ key, type }) => ({ key, type: type as PayloadIndexType })),
  settled,
});

export const statusOf = (reply: proto.CollectionStatus): CollectionStatus => ({
  ...reply,
  quantisation: reply.quantisation as Quantisation,
  originals: reply.originals as Originals,
  ttlMs: reply.ttlMs ?? null,
  recall: reply.recall ?? null,
  shards: reply.shards.map((shard) => ({
    ...shard,
    replicas: shard.replicas.map((replica) => ({ ...replica, recall: replica.recall ?? null })),
  })),
  distance: reply.distance as Distance,
  hnsw: reply.hnsw ?? { m: 0, efConstruction: 0 },
});
