import { bool, bytes, f64, list, nullable, oneOf, struct, type TypeOf, text, varint } from './codec';
import { shardOperationCodec } from './commands';
import { epochCodec, logIndexCodec, nodeNameCodec, replicaIdCodec, shardIdCodec, termCodec } from './ids';

/** What a failed request says. `leader` is a hint for NOT_LEADER and may be empty; `epoch` is set with STALE_SHARD. */
export const failureCodec = struct({
  code: text,
  message: text,
  field: text,
  retryAfterMs: varint,
  leader: text,
  epoch: nullable(epochCodec),
});
export type Failure = TypeOf<typeof failureCodec>;

export const readLevelCodec = oneOf('linearizable', 'leader', 'eventual');
export type ReadLevel = TypeOf<typeof readLevelCodec>;

/** `request` is the caller's number for the answer; `timeoutMs` is what is left of the client's deadline. */
const requestHeader = { request: varint, shard: shardIdCodec, epoch: epochCodec, timeoutMs: varint };
const replyHeader = { request: varint, shard: shardIdCodec, failure: nullable(failureCodec) };

export const hitCodec = struct({
  id: text,
  /** Larger is better, whatever the metric: cosine and dot similarity, or the negated squared euclidean distance. */
  score: f64,
  payload: bytes,
  vector: bytes,
});
export type Hit = TypeOf<typeof hitCodec>;

export const searchStatsCodec = struct({
  strategy: oneOf('graph', 'scan'),
  /** Vector distances computed for this query on this shard. */
  distances: varint,
  /** Live points of the shard. */
  points: varint,
});
export type SearchStats = TypeOf<typeof searchStatsCodec>;

export const storedPointCodec = struct({ id: text, version: varint, vector: bytes, payload: bytes });
export type StoredPoint = TypeOf<typeof storedPointCodec>;

/** Between gateways and shard replicas. Tags 40 to 79. */
export const dataVariants = {
  40: ['data.write', struct({ ...requestHeader, operation: shardOperationCodec })],
  /** `index` is the commit token's; `affected` counts points that a delete found, or an upsert wrote. */
  41: ['data.written', struct({ ...replyHeader, index: logIndexCodec, affected: varint })],
  42: [
    'data.search',
    struct({
      ...requestHeader,
      vector: bytes,
      k: varint,
      /** 0: chosen by the shard. */
      ef: varint,
      exact: bool,
      level: readLevelCodec,
      includeVector: bool,
      includePayload: bool,
    }),
  ],
  43: [
    'data.found',
    struct({ ...replyHeader, hits: list(hitCodec), stats: searchStatsCodec, appliedIndex: logIndexCodec }),
  ],
  44: ['data.get', struct({ ...requestHeader, ids: list(text), level: readLevelCodec })],
  45: ['data.got', struct({ ...replyHeader, points: list(storedPointCodec), appliedIndex: logIndexCodec })],
  /** Reads one replica's own store in key order, wherever it stands: for comparing replicas, never for clients. */
  46: ['data.scan', struct({ ...requestHeader, afterId: text, countMax: varint })],
  47: [
    'data.scanned',
    struct({ ...replyHeader, points: list(storedPointCodec), done: bool, appliedIndex: logIndexCodec }),
  ],
  48: ['data.status', struct({ ...requestHeader })],
  49: [
    'data.statusReply',
    struct({
      ...replyHeader,
      replica: replicaIdCodec,
      node: nodeNameCodec,
      role: oneOf('follower', 'preCandidate', 'candidate', 'leader', 'learner'),
      term: termCodec,
      leader: replicaIdCodec,
      appliedIndex: logIndexCodec,
      commitIndex: logIndexCodec,
      points: varint,
      unlinked: varint,
      /** XXH64-style digest over all records of the replica, as hexadecimal: equal replicas have equal ones. */
      digest: text,
    }),
  ],
} as const;
