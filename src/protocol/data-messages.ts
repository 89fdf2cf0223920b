import { queriesMax } from '../base/limits';
import { bool, bytes, f64, list, nullable, oneOf, struct, type TypeOf, text, union, varint } from './codec';
import { shardOperationCodec, writeOptionsCodec } from './commands';
import { filterCodec } from './filters';
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

/** How fresh a read must be (DESIGN D12). Their order is the wire's. */
export const readLevelCodec = oneOf('linearizable', 'leader', 'eventual', 'session', 'bounded');
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

/** A point whose condition did not hold: its place in the operation, and its version then (0: it did not exist). */
const conflictCodec = struct({ position: varint, version: varint });
export type Conflict = TypeOf<typeof conflictCodec>;

/**
 * `minIndex`: of a commit token, the read waits until it is applied; 0: none. `stalenessMs` is for the level `bounded`:
 * what was acknowledged longer ago than this before the read came in must be seen.
 */
const readHeader = { level: readLevelCodec, minIndex: logIndexCodec, stalenessMs: varint };

/** `ageMs`: everything acknowledged up to so long ago is in the answer; null: this replica cannot tell. */
const readReplyHeader = { appliedIndex: logIndexCodec, ageMs: nullable(varint) };

/** What is wanted of the points that match a filter. */
export const selectionCodec = union({
  /** The k nearest to `vector`, exactly. */
  1: ['nearest', struct({ vector: bytes, k: varint, includeVector: bool, includePayload: bool })],
  /** In key order, those after `afterId` ('' begins), of the `slice`-th of `slices` equal parts of the hash space. */
  2: ['page', struct({ afterId: text, countMax: varint, slice: varint, slices: varint })],
  3: ['count', struct({})],
  /**
   * In the order of the values at `key`, of which the shard must have an index of numbers or times: those behind `after`
   * (null begins). The answer's `hits` say, as their scores, what value each of its `points` has.
   */
  4: [
    'ordered',
    struct({
      key: text,
      descending: bool,
      after: nullable(struct({ value: f64, id: text })),
      countMax: varint,
    }),
  ],
});
export type Selection = TypeOf<typeof selectionCodec>;

/** One search of several. */
const queryFields = {
  vector: bytes,
  k: varint,
  /** 0: chosen by the shard. */
  ef: varint,
  /** By comparing every point, or every match. */
  exact: bool,
  /** Of k so many times are looked for, and the best k of them given; at least 1. */
  oversampling: f64,
  includeVector: bool,
  includePayload: bool,
  /** Null: every point. */
  filter: nullable(filterCodec),
};
export const queryCodec = struct(queryFields);
export const tunedQueryCodec = struct({
  ...queryFields,
  /** False: nothing is measured by codes of 8 bits. */
  quantised: bool,
  /** So many hits are looked for and measured exactly, if that is more than k and oversampling say. 0: as they say. */
  rerank: varint,
});
type TunedQuery = TypeOf<typeof tunedQueryCodec>;
export type Query = TypeOf<typeof queryCodec> & Partial<Pick<TunedQuery, 'quantised' | 'rerank'>>;

/** How a query was answered. */
export const queryStatsCodec = struct({
  /** graph, scan, walk, twoHop (src/vector/ports.ts); records: by reading them. */
  strategy: text,
  distances: varint,
  /** Points or records that were looked at. */
  visited: varint,
  /** Points that match its filter; of a query without one, live points of the shard. */
  matches: varint,
  /** The share of the points that payload indexes let expect; null: there are none. */
  estimate: nullable(f64),
  /** Live points of the shard. */
  points: varint,
  /** Of the search itself; 0: not measured. */
  micros: varint,
});
export type QueryStats = TypeOf<typeof queryStatsCodec>;

/** Of a replica's index: tombstones in its graph, its memory, and what the recall of real searches was (see RecallFigures). */
export const indexFiguresCodec = struct({
  tombstones: varint,
  bytes: varint,
  recallExpected: varint,
  recallFound: varint,
});
export type IndexFigures = TypeOf<typeof indexFiguresCodec>;
export const noFigures: IndexFigures = { tombstones: 0, bytes: 0, recallExpected: 0, recallFound: 0 };

/** Between gateways and shard replicas. Tags 40 to 79. */
export const dataVariants = {
  40: ['data.write', struct({ ...requestHeader, operation: shardOperationCodec, options: writeOptionsCodec })],
  /**
   * `index` is the commit token's; `affected` counts points that a delete found, or an upsert wrote; `versions` has the
   * log index that wrote each point. `previous` are the points replaced, if asked for and if this is no repetition.
   */
  41: [
    'data.written',
    struct({
      ...replyHeader,
      index: logIndexCodec,
      affected: varint,
      versions: list(varint),
      previous: list(storedPointCodec),
      previousOmitted: varint,
      replayed: bool,
      conflict: nullable(conflictCodec),
    }),
  ],
  42: [
    'data.search',
    struct({
      ...requestHeader,
      vector: bytes,
      k: varint,
      /** 0: chosen by the shard. */
      ef: varint,
      exact: bool,
      ...readHeader,
      includeVector: bool,
      includePayload: bool,
    }),
  ],
  43: ['data.found', struct({ ...replyHeader, hits: list(hitCodec), stats: searchStatsCodec, ...readReplyHeader })],
  44: ['data.get', struct({ ...requestHeader, ids: list(text), ...readHeader })],
  45: ['data.got', struct({ ...replyHeader, points: list(storedPointCodec), ...readReplyHeader })],
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
      index: indexFiguresCodec,
      /** XXH64-style digest over all records of the replica, as hexadecimal: equal replicas have equal ones. */
      digest: text,
    }),
  ],
  /** Null as filter: every point. */
  60: [
    'data.select',
    struct({ ...requestHeader, filter: nullable(filterCodec), selection: selectionCodec, ...readHeader }),
  ],
  /**
   * `hits` of `nearest`, `points` of `page`, which is the last one if `done`. `count`: points that matched; `visited`: that
   * were looked at; `stored`: that the shard has.
   */
  61: [
    'data.selected',
    struct({
      ...replyHeader,
      hits: list(hitCodec),
      points: list(storedPointCodec),
      done: bool,
      count: varint,
      visited: varint,
      stored: varint,
      ...readReplyHeader,
    }),
  ],
  /** What the indexes of the replica's process take, and may take. Answered by every replica. */
  66: ['data.memory', struct({ ...requestHeader })],
  67: ['data.memoryReply', struct({ ...replyHeader, bytes: varint, bytesMax: varint })],
  /** Several searches, each as of a moment of its own; the answer's applied index is that of the first. */
  64: ['data.query', struct({ ...requestHeader, queries: list(queryCodec, queriesMax), ...readHeader })],
  65: [
    'data.queried',
    struct({
      ...replyHeader,
      results: list(struct({ hits: list(hitCodec), stats: queryStatsCodec }), queriesMax),
      ...readReplyHeader,
    }),
  ],
  /**
   * As data.query. For up to `waitIndexedMs` the answer waits until every point that the replica holds when the read may be
   * served is linked into its graph.
   */
  68: [
    'data.tunedQuery',
    struct({ ...requestHeader, queries: list(tunedQueryCodec, queriesMax), waitIndexedMs: varint, ...readHeader }),
  ],
  /** `indexed`: they were. */
  69: [
    'data.tunedQueried',
    struct({
      ...replyHeader,
      results: list(struct({ hits: list(hitCodec), stats: queryStatsCodec }), queriesMax),
      indexed: bool,
      ...readReplyHeader,
    }),
  ],
} as const;
