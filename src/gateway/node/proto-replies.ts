import { tokenText } from '../../protocol/commit-token';
import type { StoredPoint } from '../../protocol/data-messages';
import type * as proto from '../../protocol/generated/vectron/v1/vectron';
import {
  type AnswerOf,
  type ByFilterAnswer,
  type CallOf,
  type CapacityAnswer,
  type CollectionState,
  type PayloadIndexList,
  type ReplicaState,
  recallOf,
  type SearchAnswer,
  type ShardRead,
  type ShardSearchStats,
  type ShardState,
  type WriteAnswer,
} from '../calls';
import { errorDetail } from './grpc-errors';

/** Answers as messages of the public .proto. */
export function collectionStatus({ collection, shards, ttlMs }: CollectionState): proto.CollectionStatus {
  const { name, dimension, metric, replicationFactor, hnsw } = collection;
  return {
    name,
    dimension,
    distance: metric,
    replicationFactor,
    hnsw: { m: hnsw.m, efConstruction: hnsw.efConstruction },
    ...collection.storage,
    ttlMs: ttlMs ?? undefined,
    shards: shards.map(shardStatus),
    points: shards.reduce((sum, shard) => sum + (shard.leader?.points ?? 0), 0),
    ready: shards.every((shard) => shard.ready),
    recall: recallOf(shards.flatMap(({ replicas }) => replicas)) ?? undefined,
  };
}

function shardStatus({ shard, replicas, leader, ready }: ShardState): proto.ShardStatus {
  return {
    id: shard,
    replicas: replicas.map(replicaStatus),
    leader: leader?.replica ?? 0,
    ready,
    points: leader?.points ?? 0,
  };
}

function replicaStatus(state: ReplicaState): proto.ReplicaStatus {
  const { replica, node, role, term, appliedIndex, points, unlinked, index } = state;
  const { tombstones, bytes: indexBytes } = index;
  const figures = { unlinked, tombstones, indexBytes, recall: recallOf([state]) ?? undefined };
  return { id: replica, node, role, term, appliedIndex, points, ...figures };
}

export function searchReply(answer: SearchAnswer, explain: boolean): proto.SearchReply {
  return {
    results: answer.hits.map(({ id, score, payload, vector }) => ({ id, score, payload, vector })),
    partial: answer.partial,
    shardsTotal: answer.shardsTotal,
    shardsAnswered: answer.shards.length,
    shards: explain ? answer.shards.map(searchStats) : [],
    served: answer.served.map(shardRead),
    indexed: answer.indexed ?? undefined,
  };
}

export const searchBatchReply = (
  { outcomes }: AnswerOf<'searchBatch'>,
  searches: CallOf<'searchBatch'>['searches'],
): proto.SearchBatchReply => ({
  results: outcomes.map((outcome, i): proto.SearchOutcome => {
    if (!outcome.ok) return { outcome: { $case: 'error', error: errorDetail(outcome.error) } };
    return { outcome: { $case: 'reply', reply: searchReply(outcome.answer, searches[i]?.explain === true) } };
  }),
});

const searchStats = ({ filtered, micros, ef, ...stats }: ShardSearchStats): proto.ShardSearchStats => ({
  ...stats,
  ef: ef ?? undefined,
  matches: filtered?.matches,
  visited: filtered?.visited,
  estimatedSelectivity: filtered?.estimate ?? undefined,
  selectivity: filtered === null ? undefined : filtered.matches / Math.max(1, stats.points),
  searchMicros: micros === 0 ? undefined : micros,
});

export const countReply = ({ count, served }: AnswerOf<'count'>): proto.CountReply => ({
  count,
  served: served.map(shardRead),
});

export const indexList = ({ indexes, settled }: PayloadIndexList): proto.PayloadIndexesReply => ({
  indexes: indexes.map(({ key, type }) => ({ key, type })),
  settled,
});

export const scrollReply = ({ points, next, served }: AnswerOf<'scroll'>): proto.ScrollReply => ({
  points: points.map((one) => point(one)),
  next: next ?? '',
  served: served.map(shardRead),
});

export function writeReply(answer: WriteAnswer): proto.UpsertReply & proto.DeleteReply {
  const { count, commit, versions, previous, previousOmitted, replayed } = answer;
  return {
    count,
    commit: commit.map(tokenText),
    versions: [...versions],
    previous: previous.map((one) => point(one)),
    replayed,
    previousOmitted,
  };
}

export const capacityReply = ({ machines, ...answer }: CapacityAnswer): proto.CapacityReply => ({
  ...answer,
  machines: machines.map(({ node, measured, predictedBytes }) => ({
    node,
    indexBytes: measured?.bytes,
    indexBytesMax: measured?.bytesMax,
    leftBytes: measured?.leftBytes,
    predictedBytes,
  })),
});

export const byFilterReply = ({ count, replayed, commit }: ByFilterAnswer): proto.ByFilterReply => ({
  count,
  replayed,
  commit: commit.map(tokenText),
});

export const shardRead = ({ shard, level, appliedIndex, ageMs }: ShardRead): proto.ShardRead => ({
  shard,
  level,
  appliedIndex,
  ageMs: ageMs ?? undefined,
});

/** `served` is for a point that is the whole answer. */
export const point = ({ id, vector, payload, version }: StoredPoint, served?: ShardRead): proto.Point => ({
  id,
  vector,
  payload,
  version,
  served: served === undefined ? undefined : shardRead(served),
});
