import { present } from '../../base/assert';
import { floatsOf, fromUtf8 } from '../../base/bytes';
import { asVectronError, errorCatalogue } from '../../base/errors';
import { tokenText } from '../../protocol/commit-token';
import type { Hit, StoredPoint } from '../../protocol/data-messages';
import { flags } from '../../protocol/flags';
import {
  type AnswerOf,
  type ByFilterAnswer,
  type CallOf,
  type CapacityAnswer,
  type ClusterFlags,
  type CollectionState,
  type CollectionTtl,
  type PayloadIndexList,
  recallOf,
  type SearchAnswer,
  type ShardRead,
  type ShardSearchStats,
  type ShardState,
  type WriteAnswer,
  WriteFailedError,
} from '../calls';

/** Answers as JSON, with the field names of the .proto file. */
export function collectionStatus({ collection, shards, ttlMs }: CollectionState): object {
  return {
    name: collection.name,
    dimension: collection.dimension,
    distance: collection.metric,
    replication_factor: collection.replicationFactor,
    hnsw: { m: collection.hnsw.m, ef_construction: collection.hnsw.efConstruction },
    ...collection.storage,
    ...(ttlMs === null ? {} : { ttl_ms: ttlMs }),
    shards: shards.map(shardStatus),
    points: shards.reduce((sum, shard) => sum + (shard.leader?.points ?? 0), 0),
    ready: shards.every((shard) => shard.ready),
    recall: recallOf(shards.flatMap(({ replicas }) => replicas)),
  };
}

/** Every flag that this gateway knows, and where each group and node stands. */
export function flagsReply({ level, nodes, shards }: ClusterFlags): object {
  return {
    level,
    flags: flags.map(({ number, name, since, changes }) => ({ number, name, since, on: number <= level, changes })),
    nodes: nodes.map(({ name, driver, range }) => ({
      name,
      service: driver ? 'pd' : 'worker',
      supports: range === null ? null : [range.oldest, range.newest],
    })),
    shards: shards.map(({ shard, level: own }) => ({ id: shard, level: own })),
  };
}

function shardStatus({ shard, replicas, leader, ready }: ShardState): object {
  return {
    id: shard,
    replicas: replicas.map((state) => ({
      id: state.replica,
      node: state.node,
      role: state.role,
      term: state.term,
      applied_index: state.appliedIndex,
      points: state.points,
      unlinked: state.unlinked,
      tombstones: state.index.tombstones,
      index_bytes: state.index.bytes,
      recall: recallOf([state]),
    })),
    leader: leader?.replica ?? 0,
    ready,
    points: leader?.points ?? 0,
  };
}

export interface SearchShape {
  readonly includeVector: boolean;
  readonly includePayload: boolean;
  readonly explain: boolean;
}

export function searchReply(answer: SearchAnswer, shape: SearchShape): object {
  return {
    results: answer.hits.map((hit) => hitReply(hit, shape)),
    partial: answer.partial,
    shards_total: answer.shardsTotal,
    shards_answered: answer.shards.length,
    served: answer.served.map(shardRead),
    ...(answer.indexed === null ? {} : { indexed: answer.indexed }),
    ...(shape.explain ? { shards: answer.shards.map(searchStats) } : {}),
  };
}

/** One answer or error a search, in their order. */
export const searchBatchReply = (
  { outcomes }: AnswerOf<'searchBatch'>,
  searches: CallOf<'searchBatch'>['searches'],
): object => ({
  results: outcomes.map((outcome, i) => {
    if (!outcome.ok) return httpError(outcome.error).body;
    const { call, explain } = present(searches[i], 'the search that an outcome is of');
    return searchReply(outcome.answer, { ...call, explain });
  }),
});

const searchStats = ({ filtered, elapsedMs, micros, ef, ...stats }: ShardSearchStats): object => ({
  ...stats,
  ...(ef === null ? {} : { ef }),
  ...(filtered === null ? {} : filteredStats(filtered, stats.points)),
  ...(micros === 0 ? {} : { search_micros: micros }),
  elapsed_ms: elapsedMs,
});

const filteredStats = (
  { matches, visited, estimate }: NonNullable<ShardSearchStats['filtered']>,
  points: number,
): object => ({
  matches,
  visited,
  ...(estimate === null ? {} : { estimated_selectivity: estimate }),
  selectivity: points === 0 ? 0 : matches / points,
});

export const countReply = ({ count, served }: AnswerOf<'count'>): object => ({ count, served: served.map(shardRead) });

export const ttlReply = ({ ttlMs, settled }: CollectionTtl): object => ({ ttl_ms: ttlMs, settled });

export const indexList = ({ indexes, settled }: PayloadIndexList): object => ({ indexes, settled });

/** Without `next`: there are no more. */
export const scrollReply = ({ points, next, served }: AnswerOf<'scroll'>): object => ({
  points: points.map((one) => point(one)),
  ...(next === null ? {} : { next }),
  served: served.map(shardRead),
});

const hitReply = ({ id, score, payload, vector }: Hit, shape: SearchShape): object => ({
  id,
  score,
  ...(shape.includePayload ? { payload: payloadOf(payload) } : {}),
  ...(shape.includeVector ? { vector: numbersOf(vector) } : {}),
});

export const writeReply = (answer: WriteAnswer): object => ({
  count: answer.count,
  commit: answer.commit.map(tokenText),
  versions: answer.versions,
  previous: answer.previous.map((one) => point(one)),
  replayed: answer.replayed,
  previous_omitted: answer.previousOmitted,
});

export const capacityReply = ({ predictedBytes, predictedBytesTotal, machines, fits }: CapacityAnswer): object => ({
  predicted_bytes: predictedBytes,
  predicted_bytes_total: predictedBytesTotal,
  machines: machines.map(({ node, measured, predictedBytes: part }) => ({
    node,
    ...(measured === null
      ? {}
      : { index_bytes: measured.bytes, index_bytes_max: measured.bytesMax, left_bytes: measured.leftBytes }),
    predicted_bytes: part,
  })),
  fits,
});

export const byFilterReply = ({ count, replayed, commit }: ByFilterAnswer): object => ({
  count,
  replayed,
  commit: commit.map(tokenText),
});

export const shardRead = ({ shard, level, appliedIndex, ageMs }: ShardRead): object => ({
  shard,
  level,
  applied_index: appliedIndex,
  ...(ageMs === null ? {} : { age_ms: ageMs }),
});

/** `served` is for a point that is the whole answer. */
export const point = ({ id, vector, payload, version }: StoredPoint, served?: ShardRead): object => ({
  id,
  vector: numbersOf(vector),
  payload: payloadOf(payload),
  version,
  ...(served === undefined ? {} : { served: shardRead(served) }),
});

/** Null: none. */
const payloadOf = (bytes: Uint8Array): unknown => (bytes.length === 0 ? null : JSON.parse(fromUtf8(bytes)));

const numbersOf = (bytes: Uint8Array): number[] => Array.from(floatsOf(bytes), shortest);

/** The shortest decimal that is the same float32: .1 reads 0.1 and not 0.10000000149011612. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}

const partialOf = ({ acknowledged, failed, commit }: WriteFailedError): object => ({
  acknowledged,
  failed,
  commit: commit.map(tokenText),
});

export interface HttpError {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  readonly body: object;
}

export function httpError(thrown: unknown): HttpError {
  const error = asVectronError(thrown);
  const partial = error instanceof WriteFailedError ? partialOf(error) : {};
  const { code, message, field, retryAfterMs, currentVersion } = error;
  return {
    status: errorCatalogue[code].http,
    retryAfterMs,
    body: {
      error: {
        code,
        message,
        ...(field === undefined ? {} : { field }),
        ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
        ...(currentVersion === undefined ? {} : { current_version: currentVersion }),
        ...partial,
      },
    },
  };
}
