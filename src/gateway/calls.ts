import { VectronError } from '../base/errors';
import type { LogIndex, NodeName, ReplicaId, ShardId, Term } from '../base/ids';
import type { Life, Point, WriteOptions } from '../protocol/commands';
import type { CommitToken } from '../protocol/commit-token';
import type { Hit, IndexFigures, ReadLevel, SearchStats, StoredPoint } from '../protocol/data-messages';
import type { Filter } from '../protocol/filters';
import type { FlagRange } from '../protocol/flags';
import type {
  CollectionRecord,
  HnswParameters,
  Metric,
  Originals,
  Quantisation,
  StorageSettings,
} from '../protocol/records';
import type { IndexedType, PayloadIndex } from '../protocol/schemas';
import type { Place } from '../vector/order';

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
      readonly storage: StorageSettings;
      /** How long points live whose write does not say, in milliseconds; 0: for ever. */
      readonly ttlMs: number;
    };
    answer: CollectionRecord;
  };
  /** Of points that are written from then on. Done once every shard's group has it. */
  changeTtl: { call: { readonly name: string; readonly ttlMs: number }; answer: CollectionTtl };
  deleteCollection: { call: { readonly name: string }; answer: null };
  listCollections: { call: Record<never, never>; answer: { readonly names: readonly string[] } };
  /** Which changes of behaviour are switched on, and which node supports which (src/protocol/flags.ts). */
  flags: { call: Record<never, never>; answer: ClusterFlags };
  collectionStatus: { call: { readonly name: string }; answer: CollectionState };
  /**
   * Ids are distinct within a call. Its points are cut by shard into parts: each is written whole or not at all, in no
   * particular order. Without a key of the caller's the gateway draws one for the call, so that its own repetitions of a
   * part have one effect.
   */
  upsert: {
    call: {
      readonly collection: string;
      readonly points: readonly Point[];
      /** How long each of the points lives. Absent: as the collection says, or for ever. */
      readonly lives?: readonly Life[];
      readonly options: WriteOptions;
    };
    answer: WriteAnswer;
  };
  /** `count`: how many of the ids existed. */
  delete: {
    call: { readonly collection: string; readonly ids: readonly string[]; readonly options: WriteOptions };
    answer: WriteAnswer;
  };
  /** The points that exist, in the order of the ids. */
  get: {
    call: { readonly collection: string; readonly ids: readonly string[] } & ReadDial;
    answer: { readonly points: readonly StoredPoint[]; readonly served: readonly ShardRead[] };
  };
  search: { call: SearchCall; answer: SearchAnswer };
  /** One outcome a search, in their order: one that fails hides no other. */
  searchBatch: {
    call: { readonly collection: string; readonly searches: readonly BatchedSearch[] };
    answer: { readonly outcomes: readonly Outcome<SearchAnswer>[] };
  };
  /** Those that match, as of a moment of each shard; see operations/by-filter. The options have no conditions. */
  deleteByFilter: {
    call: { readonly collection: string; readonly filter: Filter; readonly options: WriteOptions };
    answer: ByFilterAnswer;
  };
  setPayloadByFilter: {
    call: {
      readonly collection: string;
      readonly filter: Filter;
      readonly change: PayloadChange;
      readonly options: WriteOptions;
    };
    answer: ByFilterAnswer;
  };
  /** Exact. Null as filter: every point. */
  count: {
    call: { readonly collection: string; readonly filter: Filter | null } & ReadDial;
    answer: { readonly count: number; readonly served: readonly ShardRead[] };
  };
  /** What so many points of a collection, or of a shape, would take, what there is, and what is left. */
  capacity: {
    call: { readonly points: number; readonly of: string | CapacityShape };
    answer: CapacityAnswer;
  };
  /** With null as type the index is dropped. Done once every shard's group has it. */
  changeIndex: {
    call: { readonly collection: string; readonly key: string; readonly type: IndexedType | null };
    answer: PayloadIndexList;
  };
  listIndexes: { call: { readonly collection: string }; answer: PayloadIndexList };
  /** Points in an order of their own that writes do not change, or in that of the values at a key. */
  scroll: {
    call: {
      readonly collection: string;
      readonly filter: Filter | null;
      /** The `next` of the page before; empty: from the beginning. */
      readonly afterId: string;
      readonly limit: number;
      /** Of `count` slices that are disjoint and together are everything. */
      readonly slice: { readonly index: number; readonly count: number };
      /** Null: in the order of the hashes. Then `afterId` and `slice` mean nothing. */
      readonly order: ScrollOrder | null;
    } & ReadDial;
    /** A page may have fewer points than its limit; only a `next` of null ends the scroll. */
    answer: {
      readonly points: readonly StoredPoint[];
      readonly next: string | null;
      readonly served: readonly ShardRead[];
    };
  };
}

/** By a payload index of numbers or times; points without a value are left out. A point whose value changes may come twice, or never. */
export interface ScrollOrder {
  readonly key: string;
  readonly descending: boolean;
  /** Where the page before ended; null: from the beginning. */
  readonly after: Place | null;
}

export interface CollectionTtl {
  readonly ttlMs: number;
  /** Every shard has it in its log. */
  readonly settled: boolean;
}

export interface PayloadIndexList {
  readonly indexes: readonly PayloadIndex[];
  /** Every shard has them in its log. */
  readonly settled: boolean;
}

export interface WriteAnswer {
  readonly count: number;
  /** One for each shard that was written to. */
  readonly commit: readonly CommitToken[];
  /** In the order of the call: the log index that wrote each point, or settled that there was nothing to delete. */
  readonly versions: readonly number[];
  /** If asked for: the points that were replaced or deleted, none for a repetition. */
  readonly previous: readonly StoredPoint[];
  /** How many of them were left out of an answer that would have become too large. */
  readonly previousOmitted: number;
  /** All of it had been done before under the same key. */
  readonly replayed: boolean;
}

export interface ByFilterAnswer {
  /** Points that this attempt changed. */
  readonly count: number;
  /** An attempt under the same key came before: what that one did is not counted. */
  readonly replayed: boolean;
  readonly commit: readonly CommitToken[];
}

/** What becomes of a payload's own fields: first all go if it is replaced, then those that are removed, then what is set comes. */
export interface PayloadChange {
  readonly set: Readonly<Record<string, unknown>>;
  readonly remove: readonly string[];
  readonly replace: boolean;
}

export interface CapacityShape {
  readonly dimension: number;
  readonly m: number;
  readonly originals: Originals;
  readonly quantisation: Quantisation;
  readonly replicationFactor: number;
}

export interface CapacityAnswer {
  /** Of one copy of all points. */
  readonly predictedBytes: number;
  /** Of all copies. */
  readonly predictedBytesTotal: number;
  readonly machines: readonly MachineCapacity[];
  /** There is room for it on every machine that it would be on, as far as is known. */
  readonly fits: boolean;
}

export interface MachineCapacity {
  readonly node: string;
  /** Of the indexes of its process; null: it has no replica that could tell. `leftBytes`: before writes are refused. */
  readonly measured: { readonly bytes: number; readonly bytesMax: number; readonly leftBytes: number } | null;
  /** The part of the prediction that would be there. */
  readonly predictedBytes: number;
}

/** How fresh a read must be (DESIGN D12). */
export interface ReadDial {
  readonly level: ReadLevel;
  /** Writes that must be seen, whatever the level; those of other collections are passed over. */
  readonly tokens: readonly CommitToken[];
  /** Of the level `bounded`: what was acknowledged longer ago must be seen. */
  readonly stalenessMs: number;
}

/** What a shard's answer to a read achieved. */
export interface ShardRead {
  readonly shard: ShardId;
  readonly level: ReadLevel;
  readonly appliedIndex: LogIndex;
  /** All that was acknowledged up to so long ago is in the answer; null: not known. */
  readonly ageMs: number | null;
}

export interface SearchCall extends ReadDial {
  readonly collection: string;
  /** float32 little-endian. */
  readonly vector: Uint8Array;
  readonly k: number;
  /** 0: chosen by the shards. */
  readonly ef: number;
  readonly exact: boolean;
  readonly includeVector: boolean;
  readonly includePayload: boolean;
  /** At the deadline answer with what has come, if any shard has answered. */
  readonly allowPartial: boolean;
  /** So many times k are looked for; 1: k. */
  readonly oversampling: number;
  /** So many are looked for and measured exactly, if that is more; 0: as many as oversampling says. */
  readonly rerank: number;
  /** Whether walks and scans measure codes of 8 bits; null: if the collection has them. */
  readonly quantised: boolean | null;
  /** How long each shard may wait until its graph has all points that it holds; 0: not. */
  readonly waitIndexedMs: number;
  /** Null: none. */
  readonly filter: Filter | null;
  /** Hits below are left out; null: none are. */
  readonly minScore: number | null;
}

/** A search of a batch, whose collection is the batch's. */
export interface BatchedSearch {
  readonly call: SearchCall;
  /** Of its own, inside that of the batch; 0: that of the batch. */
  readonly timeoutMs: number;
  readonly explain: boolean;
}

export interface ShardSearchStats extends Omit<SearchStats, 'strategy'> {
  readonly shard: ShardId;
  /** As in QueryStats. */
  readonly strategy: string;
  /** Of a search with a filter: points that matched, and that were looked at to find them. */
  readonly filtered: {
    readonly matches: number;
    readonly visited: number;
    /** The share of the points that was expected; null: there are no payload indexes. */
    readonly estimate: number | null;
  } | null;
  /** Candidates that the walk kept; null: there was none. */
  readonly ef: number | null;
  /** Points were compared by codes of 8 bits first, and the best again exactly: at least `reranked` of them. */
  readonly quantised: boolean;
  readonly reranked: number;
  /** Of the search in the shard's index; 0: not measured. */
  readonly micros: number;
  /** Between question and answer, as the gateway saw it. */
  readonly elapsedMs: number;
}

export interface SearchAnswer {
  /** Best first. */
  readonly hits: readonly Hit[];
  readonly partial: boolean;
  readonly shardsTotal: number;
  /** One for each shard that answered. */
  readonly shards: readonly ShardSearchStats[];
  /** Every point of these shards was in their graphs; null: that was not waited for. */
  readonly indexed: boolean | null;
  readonly served: readonly ShardRead[];
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
  readonly index: IndexFigures;
}

/** Of the searches that these replicas answered again exactly; null: there were none. */
export function recallOf(replicas: readonly Pick<ReplicaState, 'index'>[]): number | null {
  const expected = replicas.reduce((sum, { index }) => sum + index.recallExpected, 0);
  const found = replicas.reduce((sum, { index }) => sum + index.recallFound, 0);
  return expected === 0 ? null : found / expected;
}

export interface ShardState {
  readonly shard: ShardId;
  readonly replicas: readonly ReplicaState[];
  /** The answering leader of the highest term. */
  readonly leader: ReplicaState | null;
  /** There is a leader and a majority of the members answered. */
  readonly ready: boolean;
}

export interface ClusterFlags {
  /** All flags up to this number are on in the cluster. */
  readonly level: number;
  /** A null range: the node has not said what it supports. */
  readonly nodes: readonly { readonly name: string; readonly driver: boolean; readonly range: FlagRange | null }[];
  /** A null level: the placement driver's leader has not heard yet. */
  readonly shards: readonly { readonly shard: ShardId; readonly level: number | null }[];
}

export interface CollectionState {
  readonly collection: CollectionRecord;
  readonly shards: readonly ShardState[];
  /** Null: the placement driver did not say in time. */
  readonly ttlMs: number | null;
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
 * as `code` says. Sending all of them again with the same key is harmless.
 */
export class WriteFailedError extends VectronError {
  constructor(
    cause: VectronError,
    readonly acknowledged: number,
    /** Positions in the call's list, ascending. */
    readonly failed: readonly number[],
    /** Of the shards in which something was written, failureTokensMax of them at most. */
    readonly commit: readonly CommitToken[],
  ) {
    const { code, message, field, retryAfterMs, currentVersion } = cause;
    super(code, `${failed.length} of ${failed.length + acknowledged} not acknowledged: ${message}`, {
      cause,
      ...(field === undefined ? {} : { field }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(currentVersion === undefined ? {} : { currentVersion }),
    });
  }
}
