import { VectronError } from '../base/errors';
import type { LogIndex, NodeName, ReplicaId, ShardId, Term } from '../base/ids';
import type { Point } from '../protocol/commands';
import type { Hit, ReadLevel, SearchStats, StoredPoint } from '../protocol/data-messages';
import type { CollectionRecord, HnswParameters, Metric } from '../protocol/records';

/**
 * The public calls as the gateway's actor takes them: validated (see validate/), independent of gRPC and HTTP. What only
 * the routing can tell (does the collection exist, has the vector its dimension) the actor checks itself.
 */
export interface GatewayApi {
  createCollection: {
    call: {
      readonly name: string;
      readonly dimension: number;
      readonly metric: Metric;
      readonly hnsw: HnswParameters;
      readonly shardCount: number;
      readonly replicationFactor: number;
    };
    answer: CollectionRecord;
  };
  deleteCollection: { call: { readonly name: string }; answer: null };
  listCollections: { call: Record<never, never>; answer: { readonly names: readonly string[] } };
  collectionStatus: { call: { readonly name: string }; answer: CollectionState };
  /** Ids are distinct within a call: its parts are written in no particular order. */
  upsert: {
    call: { readonly collection: string; readonly points: readonly Point[] };
    answer: { readonly count: number };
  };
  /** `count`: how many of the ids existed. */
  delete: {
    call: { readonly collection: string; readonly ids: readonly string[] };
    answer: { readonly count: number };
  };
  /** The points that exist, in the order of the ids. */
  get: {
    call: { readonly collection: string; readonly ids: readonly string[]; readonly level: ReadLevel };
    answer: { readonly points: readonly StoredPoint[] };
  };
  search: { call: SearchCall; answer: SearchAnswer };
}

export interface SearchCall {
  readonly collection: string;
  /** float32 little-endian. */
  readonly vector: Uint8Array;
  readonly k: number;
  /** 0: chosen by the shards. */
  readonly ef: number;
  readonly exact: boolean;
  readonly level: ReadLevel;
  readonly includeVector: boolean;
  readonly includePayload: boolean;
  /** At the deadline answer with what has come, if any shard has answered. */
  readonly allowPartial: boolean;
}

export interface ShardSearchStats extends SearchStats {
  readonly shard: ShardId;
}

export interface SearchAnswer {
  /** Best first. */
  readonly hits: readonly Hit[];
  readonly partial: boolean;
  readonly shardsTotal: number;
  /** One for each shard that answered. */
  readonly shards: readonly ShardSearchStats[];
}

export interface ReplicaState {
  readonly replica: ReplicaId;
  readonly node: NodeName;
  /** Empty: it did not answer. */
  readonly role: 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'learner' | '';
  readonly term: Term;
  readonly appliedIndex: LogIndex;
  readonly points: number;
  readonly unlinked: number;
}

export interface ShardState {
  readonly shard: ShardId;
  readonly replicas: readonly ReplicaState[];
  /** The answering leader of the highest term. */
  readonly leader: ReplicaState | null;
  /** There is a leader and a majority of the members answered. */
  readonly ready: boolean;
}

export interface CollectionState {
  readonly collection: CollectionRecord;
  readonly shards: readonly ShardState[];
}

export type CallKind = keyof GatewayApi;
export type CallOf<K extends CallKind> = { readonly kind: K } & GatewayApi[K]['call'];
export type AnswerOf<K extends CallKind> = GatewayApi[K]['answer'];
export type GatewayCall = { [K in CallKind]: CallOf<K> }[CallKind];

export type Outcome<T> =
  | { readonly ok: true; readonly answer: T }
  | { readonly ok: false; readonly error: VectronError };
export type Done<T> = (outcome: Outcome<T>) => void;

/** What the servers need of a gateway; the tests of the servers have their own. */
export interface GatewayBackend {
  /** Routing is known. */
  readonly ready: boolean;
  /** Rejects with VectronError and nothing else, at the latest when `timeoutMs` have passed. */
  call<K extends CallKind>(call: CallOf<K>, timeoutMs: number): Promise<AnswerOf<K>>;
}

/**
 * Some parts of a write were not acknowledged. The others are written and stay so; those in `failed` may be or not,
 * as `code` says. Sending all of them again is harmless.
 */
export class WriteFailedError extends VectronError {
  constructor(
    cause: VectronError,
    readonly acknowledged: number,
    /** Positions in the call's list, ascending. */
    readonly failed: readonly number[],
  ) {
    const { code, message, field, retryAfterMs } = cause;
    super(code, `${failed.length} of ${failed.length + acknowledged} not acknowledged: ${message}`, {
      cause,
      ...(field === undefined ? {} : { field }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
}
