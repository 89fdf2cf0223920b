import type { StoredPoint } from '../../protocol/data-messages';
import type * as proto from '../../protocol/generated/vectron/v1/vectron';
import type { CollectionState, ReplicaState, SearchAnswer, ShardState } from '../calls';

/** Answers as messages of the public .proto. */
export function collectionStatus({ collection, shards }: CollectionState): proto.CollectionStatus {
  const { name, dimension, metric, replicationFactor, hnsw } = collection;
  return {
    name,
    dimension,
    distance: metric,
    replicationFactor,
    hnsw: { m: hnsw.m, efConstruction: hnsw.efConstruction },
    shards: shards.map(shardStatus),
    points: shards.reduce((sum, shard) => sum + (shard.leader?.points ?? 0), 0),
    ready: shards.every((shard) => shard.ready),
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
  const { replica, node, role, term, appliedIndex, points, unlinked } = state;
  return { id: replica, node, role, term, appliedIndex, points, unlinked };
}

export function searchReply(answer: SearchAnswer, explain: boolean): proto.SearchReply {
  return {
    results: answer.hits.map(({ id, score, payload, vector }) => ({ id, score, payload, vector })),
    partial: answer.partial,
    shardsTotal: answer.shardsTotal,
    shardsAnswered: answer.shards.length,
    shards: explain ? answer.shards.map((stats) => ({ ...stats })) : [],
  };
}

export const point = ({ id, vector, payload, version }: StoredPoint): proto.Point => ({ id, vector, payload, version });
