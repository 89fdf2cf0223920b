export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

export type Distance = 'cosine' | 'euclidean' | 'dot';
/**
 * linearizable: sees every write acknowledged before it began. leader: what the leader has. session: sees the writes whose
 * tokens it presents. bounded: sees what was acknowledged longer than maxStalenessMs ago. eventual: what any replica has.
 */
export type Consistency = 'linearizable' | 'leader' | 'session' | 'bounded' | 'eventual';

/** Names a write; not to be looked into. */
export type CommitToken = string;

export interface Freshness {
  /** Default: bounded with maxStalenessMs, session with tokens, else the call's own. */
  readonly consistency?: Consistency;
  /** Writes that must be seen, from WriteResult.commit. */
  readonly tokens?: readonly CommitToken[];
  readonly maxStalenessMs?: number;
}

/** What one shard's answer achieved. */
export interface ShardRead {
  readonly shard: number;
  readonly level: string;
  readonly appliedIndex: number;
  /** All that was acknowledged up to so long ago is in the answer; null: not known. */
  readonly ageMs: number | null;
}

export interface WriteOptions {
  /**
   * To send a write again from elsewhere, or after this process ended, with one effect: the same in every repetition.
   * `issuedMs`: when the key was drawn. Default: drawn anew for each call, and kept for the call's own retries.
   */
  readonly idempotency?: { readonly key: string; readonly issuedMs: number; readonly windowMs?: number };
  /** Fill WriteResult.previous. */
  readonly returnPrevious?: boolean;
}

export interface WriteResult {
  /** Points written, or how many of the deleted ones existed. */
  readonly count: number;
  /** One for each shard written to. */
  readonly commit: readonly CommitToken[];
  /** In the order of the call. */
  readonly versions: readonly number[];
  /** Points replaced or deleted, if asked for and if not replayed. */
  readonly previous: readonly Point[];
  readonly previousOmitted: number;
  /** It had been carried out before under the same key. */
  readonly replayed: boolean;
}

export type Quantisation = 'int8' | 'none';
export type Originals = 'memory' | 'disk';

export interface CollectionOptions {
  /** [A-Za-z0-9_-]{1,128} */
  readonly name: string;
  readonly dimension: number;
  readonly distance: Distance;
  /** Default: the server's. */
  readonly shardCount?: number;
  /** 1, 3 or 5. Default 3. */
  readonly replicationFactor?: number;
  /** Default int8: walks compare in 8 bits a component, and the best again exactly. None: in float32 alone. */
  readonly quantisation?: Quantisation;
  /** Default memory. On disk, with int8: a quarter of the memory, and the best of a search are read from a mapped file. */
  readonly originals?: Originals;
  /** How long points live whose write has no ttlMs, in milliseconds. Default 0: for ever. */
  readonly ttlMs?: number;
  /** Defaults: m 16, efConstruction 200. */
  readonly hnsw?: { readonly m?: number; readonly efConstruction?: number };
}

export interface CollectionChange {
  /** Of points that are written from then on, in milliseconds; 0: for ever. Those that are there keep their ends. */
  readonly ttlMs: number;
}

export interface CollectionStatus {
  readonly name: string;
  readonly dimension: number;
  readonly distance: Distance;
  readonly replicationFactor: number;
  readonly hnsw: { readonly m: number; readonly efConstruction: number };
  readonly quantisation: Quantisation;
  readonly originals: Originals;
  /** 0: points live for ever, if they do not say. Null: not known just now. */
  readonly ttlMs: number | null;
  readonly shards: readonly ShardStatus[];
  readonly points: number;
  /** As a replica's, over all of them. */
  readonly recall: number | null;
  readonly ready: boolean;
}

export interface ShardStatus {
  readonly id: number;
  readonly replicas: readonly ReplicaStatus[];
  /** Replica id; 0: none. */
  readonly leader: number;
  readonly ready: boolean;
  readonly points: number;
}

export interface ReplicaStatus {
  readonly id: number;
  readonly node: string;
  /** leader, follower, candidate, preCandidate, learner; empty: it did not answer. */
  readonly role: string;
  readonly term: number;
  readonly appliedIndex: number;
  readonly points: number;
  /** Points that are not in the graph yet: found by scanning. */
  readonly unlinked: number;
  /** Rows of the graph whose points were removed or replaced since it was built. */
  readonly tombstones: number;
  /** Memory of vectors, codes, graph and ids. */
  readonly indexBytes: number;
  /** The share of the nearest points that real searches found, by answering a few of them again exactly; null: none yet. */
  readonly recall: number | null;
}

export type PayloadIndexType = 'keyword' | 'integer' | 'float' | 'bool' | 'datetime';

export interface PayloadIndexes {
  /** In the order of their keys. */
  readonly indexes: readonly { readonly key: string; readonly type: PayloadIndexType }[];
  /** Every shard has them in its log. */
  readonly settled: boolean;
}

export interface PointInput {
  readonly id: string;
  readonly vector: Float32Array | readonly number[];
  readonly payload?: JsonObject;
  /** Only if the point has this version; 0: only if it does not exist. */
  readonly ifVersion?: number;
  /** Only if the point does not exist (insert), or does (update). */
  readonly onlyIf?: 'absent' | 'present';
  /** How long it lives from this write on, in milliseconds. Default: as the collection says. */
  readonly ttlMs?: number;
}

export interface Point {
  readonly id: string;
  readonly vector: Float32Array;
  /** Null: none. */
  readonly payload: JsonObject | null;
  readonly version: number;
  /** Of a point that was read alone. */
  readonly served: ShardRead | null;
}

export interface SearchOptions extends Freshness {
  readonly vector: Float32Array | readonly number[];
  /** Default 10. */
  readonly topK?: number;
  /** Default: chosen by the server. */
  readonly ef?: number;
  /** By scanning every point. */
  readonly exact?: boolean;
  /** Default false. */
  readonly includeVectors?: boolean;
  /** The payload. Default true. */
  readonly includeMetadata?: boolean;
  /** Budget of the search; default: the client's timeoutMs. */
  readonly timeoutMs?: number;
  /** Take what has come when the budget is used up. */
  readonly allowPartial?: boolean;
  /** Ask for SearchResult.shards. */
  readonly explain?: boolean;
  /** Only points that match: topK of them, or all if there are fewer. */
  readonly filter?: Filter;
  /** Leave out results of a lower score. */
  readonly minScore?: number;
  /** So many times topK are looked for, and the best topK of them given: 1 to 100. Default 1. */
  readonly oversampling?: number;
  /** So many are looked for and compared exactly, if that is more: topK to 10,000. */
  readonly rerank?: number;
  /** Whether points are compared by codes of 8 bits first, and only the best exactly. Default: if the collection has them. */
  readonly quantised?: boolean;
  /**
   * How long each shard may wait until its graph has every point that it holds when it is asked. Default 0: not. The answer
   * is complete either way; SearchResult.indexed says whether the graphs were.
   */
  readonly waitIndexedMs?: number;
}

export type FilterValue = string | number | boolean;
export interface FilterBounds<T> {
  readonly gt?: T;
  readonly gte?: T;
  readonly lt?: T;
  readonly lte?: T;
}

/** All of `must`, none of `must_not`, at least `min_should` (default 1) of `should`. The names are those of the JSON form. */
export interface Filter {
  readonly must?: readonly Condition[];
  readonly should?: readonly Condition[];
  readonly must_not?: readonly Condition[];
  readonly min_should?: number;
}

/**
 * A test of the values at a key, whose dots go into objects; an array stands for each of its elements. Dates are written as
 * RFC 3339 does. See docs/filters.md.
 */
export type Condition =
  | Filter
  | { readonly key: string; readonly match: Match }
  | { readonly key: string; readonly range: FilterBounds<number> }
  | { readonly key: string; readonly datetime: FilterBounds<string> }
  | { readonly key: string; readonly values_count: FilterBounds<number> }
  | { readonly key: string; readonly is_empty: true }
  | { readonly key: string; readonly is_null: true }
  | { readonly has_id: readonly string[] }
  | { readonly nested: { readonly key: string; readonly filter: Filter } };

export type Match =
  | { readonly value: FilterValue }
  | { readonly any: readonly FilterValue[] }
  | { readonly except: readonly FilterValue[] }
  | { readonly text: string }
  | { readonly prefix: string };

export interface ScrollOptions extends Freshness {
  readonly filter?: Filter;
  /** Points in one page, 1 to 1000. Default 100. */
  readonly limit?: number;
  /** ScrollPage.next of the page before. */
  readonly after?: string;
  /**
   * In the order of the values at a key, which needs a payload index of type integer, float or datetime; points without a
   * value are left out. Not with `slice`.
   */
  readonly orderBy?: { readonly key: string; readonly direction?: 'asc' | 'desc' };
  /** One of `count` slices, which are disjoint and together are everything: for reading in parallel. */
  readonly slice?: { readonly index: number; readonly count: number };
}

export interface ScrollPage {
  readonly points: readonly Point[];
  /** Null: there are no more. A page may be short although there are. */
  readonly next: string | null;
  readonly served: readonly ShardRead[];
}

/** What becomes of the own fields of a payload. */
export interface PayloadChange {
  readonly set?: JsonObject;
  readonly remove?: readonly string[];
  /** All other fields go as well. */
  readonly replace?: boolean;
}

export interface ByFilterResult {
  /** Points that the answering attempt changed. */
  readonly count: number;
  /** An attempt came before it, whose changes are not counted. */
  readonly replayed: boolean;
  readonly commit: readonly string[];
}

/** Of a collection that exists, or of one that is thought of. */
export type CapacityQuestion =
  | { readonly points?: number; readonly collection: string }
  | {
      readonly points?: number;
      readonly dimension: number;
      readonly m?: number;
      readonly originals?: Originals;
      readonly quantisation?: Quantisation;
      readonly replicationFactor?: number;
    };

export interface Capacity {
  /** Of the indexes of one copy of the points, and of all copies. */
  readonly predictedBytes: number;
  readonly predictedBytesTotal: number;
  /** Measured: of the indexes of a machine's process, what they may take, and what is left before writes are refused; null: not known. */
  readonly machines: readonly {
    readonly node: string;
    readonly indexBytes: number | null;
    readonly indexBytesMax: number | null;
    readonly leftBytes: number | null;
    readonly predictedBytes: number;
  }[];
  readonly fits: boolean;
}

export interface SearchHit {
  readonly id: string;
  /** Larger is better. */
  readonly score: number;
  /** Null: none, or not asked for. */
  readonly payload: JsonObject | null;
  /** Null: not asked for. */
  readonly vector: Float32Array | null;
}

export interface SearchResult {
  /** Best first. */
  readonly results: readonly SearchHit[];
  readonly partial: boolean;
  readonly shardsTotal: number;
  readonly shardsAnswered: number;
  /** Filled when `explain` was set. */
  readonly shards: readonly {
    readonly shard: number;
    readonly strategy: string;
    readonly distances: number;
    readonly points: number;
    /** With a filter: points that matched, and that were looked at to find them. */
    readonly matches: number | null;
    readonly visited: number | null;
    /** The share of the points that payload indexes let expect, if there are any; and that matched. */
    readonly estimatedSelectivity: number | null;
    readonly selectivity: number | null;
    /** Of the search in the shard's index; null: not measured. */
    readonly searchMicros: number | null;
    /** Candidates that the walk kept; null: there was no walk. */
    readonly ef: number | null;
    /** Points were compared by codes of 8 bits first, and at least `reranked` of them again exactly. */
    readonly quantised: boolean;
    readonly reranked: number;
    readonly elapsedMs: number;
  }[];
  readonly served: readonly ShardRead[];
  /** With waitIndexedMs: the graphs of all shards that answered had every point in time. Null: not asked for. */
  readonly indexed: boolean | null;
}

export interface BatchOptions {
  /** Points in one request. Default 256. */
  readonly countMax?: number;
  /** Bytes of vectors and payloads in one request, about. Default 4 MiB. */
  readonly bytesMax?: number;
  /** Requests under way at a time. Default 4. */
  readonly concurrency?: number;
  /** After each request: points acknowledged so far. */
  readonly onProgress?: (count: number) => void;
}
