export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

export type Distance = 'cosine' | 'euclidean' | 'dot';
export type Consistency = 'linearizable' | 'leader' | 'eventual';

export interface CollectionOptions {
  /** [A-Za-z0-9_-]{1,128} */
  readonly name: string;
  readonly dimension: number;
  readonly distance: Distance;
  /** Default: the server's. */
  readonly shardCount?: number;
  /** 1, 3 or 5. Default 3. */
  readonly replicationFactor?: number;
  /** Defaults: m 16, efConstruction 200. */
  readonly hnsw?: { readonly m?: number; readonly efConstruction?: number };
}

export interface CollectionStatus {
  readonly name: string;
  readonly dimension: number;
  readonly distance: Distance;
  readonly replicationFactor: number;
  readonly hnsw: { readonly m: number; readonly efConstruction: number };
  readonly shards: readonly ShardStatus[];
  readonly points: number;
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
  readonly unlinked: number;
}

export interface PointInput {
  readonly id: string;
  readonly vector: Float32Array | readonly number[];
  readonly payload?: JsonObject;
}

export interface Point {
  readonly id: string;
  readonly vector: Float32Array;
  /** Null: none. */
  readonly payload: JsonObject | null;
  readonly version: number;
}

export interface SearchOptions {
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
  /** Default leader. */
  readonly consistency?: Consistency;
  /** Take what has come when the budget is used up. */
  readonly allowPartial?: boolean;
  /** Ask for SearchResult.shards. */
  readonly explain?: boolean;
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
  }[];
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
