import type { EventEmitter } from 'eventemitter3';
import { idempotencyWindowMsMax } from '../base/limits';
import type { ReplyOf, RequestOf, UnaryMethod } from '../protocol/public-api';
import { KeySession } from '../protocol/session-key';
import { sendBatches } from './batches';
import { clientError, NotFoundError, type VectronClientError } from './errors';
import { filterMessage } from './filters';
import * as messages from './messages';
import { type RetryEnvironment, type RetryPolicy, withRetries } from './retry';
import type {
  BatchOptions,
  ByFilterResult,
  Capacity,
  CapacityQuestion,
  CollectionChange,
  CollectionOptions,
  CollectionStatus,
  Filter,
  Freshness,
  PayloadChange,
  PayloadIndexes,
  PayloadIndexType,
  Point,
  PointInput,
  ScrollOptions,
  ScrollPage,
  SearchOptions,
  SearchResult,
  WriteOptions,
  WriteResult,
} from './types';

export interface ConnectionEvents {
  connected: () => void;
  disconnected: () => void;
}

/** Carries one request and its answer. Rejects with VectronClientError. */
export interface Transport {
  readonly events: EventEmitter<ConnectionEvents>;
  unary<K extends UnaryMethod>(method: K, request: RequestOf<K>, timeoutMs: number): Promise<ReplyOf<K>>;
  /** Resolves once connected. */
  ready(timeoutMs: number): Promise<void>;
  close(): void;
}

export interface CallOptions {
  /** Of each attempt. Default: the client's. */
  readonly timeoutMs?: number;
}

/** By default linearizable. */
export interface ReadOptions extends CallOptions, Freshness {}

type Protection = Pick<RequestOf<'upsert'>, 'idempotencyKey' | 'issuedMs' | 'idempotencyWindowMs' | 'returnPrevious'>;

/** By how much this machine's clock and the servers' may differ before writes are refused as too old or too new. */
const clockSlackMs = 120_000;

/**
 * A connection to a gateway. Every method rejects with a subclass of VectronClientError, and repeats its request as the
 * retry policy says. All attempts at a write carry one idempotency key, so that together they have one effect.
 */
export class VectronClient {
  private readonly session: KeySession;

  constructor(
    private readonly transport: Transport,
    private readonly environment: RetryEnvironment,
    private readonly policy: RetryPolicy,
    private readonly timeoutMs: number,
  ) {
    // 104 random bits.
    const digits = (): string => environment.random().toString(36).slice(2, 13);
    this.session = new KeySession(`c-${digits()}${digits()}`);
  }

  /** `connected` and `disconnected`. */
  get events(): EventEmitter<ConnectionEvents> {
    return this.transport.events;
  }

  ready(timeoutMs: number = this.timeoutMs): Promise<void> {
    return this.transport.ready(timeoutMs);
  }

  close(): void {
    this.transport.close();
  }

  /** Resolves when every shard has a leader. */
  async createCollection(options: CollectionOptions, call: CallOptions = {}): Promise<void> {
    await this.once('createCollection', messages.createRequest(options), call);
  }

  /** Resolves when every shard has it. Repeating it does no harm. */
  async updateCollection(name: string, { ttlMs }: CollectionChange, call: CallOptions = {}): Promise<void> {
    await this.read('updateCollection', { name, ttlMs }, call);
  }

  async deleteCollection(name: string, call: CallOptions = {}): Promise<void> {
    await this.once('deleteCollection', { name }, call);
  }

  async listCollections(call: CallOptions = {}): Promise<readonly string[]> {
    return (await this.read('listCollections', {}, call)).names;
  }

  async collectionStatus(name: string, call: CallOptions = {}): Promise<CollectionStatus> {
    return messages.statusOf(await this.read('getCollectionStatus', { name }, call));
  }

  /**
   * Makes filters on a key fast, and changes no answer. Done once every shard has it; what is there already is indexed in the
   * background. Repeating it does no harm.
   */
  async createPayloadIndex(
    collection: string,
    key: string,
    type: PayloadIndexType,
    call: CallOptions = {},
  ): Promise<PayloadIndexes> {
    return messages.payloadIndexes(await this.read('createPayloadIndex', { collection, key, type }, call));
  }

  async dropPayloadIndex(collection: string, key: string, call: CallOptions = {}): Promise<PayloadIndexes> {
    return messages.payloadIndexes(await this.once('dropPayloadIndex', { collection, key }, call));
  }

  async listPayloadIndexes(collection: string, call: CallOptions = {}): Promise<PayloadIndexes> {
    return messages.payloadIndexes(await this.read('listPayloadIndexes', { collection }, call));
  }

  /**
   * Writes all points or throws; then the error's `failed` has the positions that were not acknowledged. At most 4,096
   * points, each id once; upsertBatch() takes any number.
   */
  async upsert(
    collection: string,
    points: readonly PointInput[],
    options: WriteOptions & CallOptions = {},
  ): Promise<WriteResult> {
    const written = points.map(messages.pointInput);
    const reply = await this.write(options, (protection) =>
      this.call('upsert', { collection, points: written, ...protection }, options, true),
    );
    return messages.writeResult(reply);
  }

  /** Any number of points, in several requests; see sendBatches. Resolves with how many were acknowledged. */
  upsertBatch(
    collection: string,
    points: Iterable<PointInput> | AsyncIterable<PointInput>,
    options: BatchOptions & CallOptions = {},
  ): Promise<number> {
    const { timeoutMs = this.timeoutMs } = options;
    return sendBatches(points, options, async (batch) => (await this.upsert(collection, batch, { timeoutMs })).count);
  }

  async search(collection: string, options: SearchOptions): Promise<SearchResult> {
    const request = messages.searchRequest(collection, options, filterMessage(options.filter));
    const reply = await this.read('search', request, options);
    return messages.searchResult(reply);
  }

  /**
   * 1 to 256 searches in one call, each with its own options; what came of each, in their order. A search that failed has
   * its error there and hides no other; what is malformed fails the call.
   */
  async searchBatch(
    collection: string,
    searches: readonly SearchOptions[],
    call: CallOptions = {},
  ): Promise<readonly (SearchResult | VectronClientError)[]> {
    const requests = searches.map((one) => messages.searchRequest(collection, one, filterMessage(one.filter)));
    return messages.searchOutcomes(await this.read('searchBatch', { collection, searches: requests }, call));
  }

  /** The point, or NotFoundError. */
  async get(collection: string, id: string, options: ReadOptions = {}): Promise<Point> {
    const request = { collection, id, ...messages.freshness(options) };
    return messages.pointOf(await this.read('get', request, options));
  }

  /** The point, or null when it does not exist. A collection that does not exist is still an error. */
  async find(collection: string, id: string, options: ReadOptions = {}): Promise<Point | null> {
    try {
      return await this.get(collection, id, options);
    } catch (error) {
      if (error instanceof NotFoundError && error.field === 'id') return null;
      throw error;
    }
  }

  /** Those of the points that exist, in the order of the ids: 1 to 4,096, each once. */
  async getMany(collection: string, ids: readonly string[], options: ReadOptions = {}): Promise<readonly Point[]> {
    const request = { collection, ids: [...ids], ...messages.freshness(options) };
    return (await this.read('getMany', request, options)).points.map(messages.pointOf);
  }

  /** How many points match, exactly; without a filter, how many there are. */
  async count(collection: string, filter?: Filter, options: ReadOptions = {}): Promise<number> {
    const request = messages.countRequest(collection, options, filterMessage(filter));
    return (await this.read('count', request, options)).count;
  }

  /** One page of the points that match. See scrollAll(). */
  async scroll(collection: string, options: ScrollOptions & CallOptions = {}): Promise<ScrollPage> {
    const request = messages.scrollRequest(collection, options, filterMessage(options.filter));
    return messages.scrollPage(await this.read('scroll', request, options));
  }

  /** Every point that matches, page by page. One that is there all the while comes exactly once. */
  async *scrollAll(collection: string, options: ScrollOptions & CallOptions = {}): AsyncGenerator<Point> {
    for (let after = options.after; ; ) {
      const page = await this.scroll(collection, after === undefined ? options : { ...options, after });
      yield* page.points;
      if (page.next === null) return;
      after = page.next;
    }
  }

  /** How many of the points existed. Deleting what is not there succeeds. */
  async delete(
    collection: string,
    ids: string | readonly string[],
    options: WriteOptions & CallOptions & { readonly ifVersions?: readonly number[] } = {},
  ): Promise<WriteResult> {
    const list = typeof ids === 'string' ? [ids] : [...ids];
    const request = { collection, ids: list, ifVersions: [...(options.ifVersions ?? [])] };
    const reply = await this.write(options, (protection) =>
      this.call('delete', { ...request, ...protection }, options, true),
    );
    return messages.writeResult(reply);
  }

  /** What so many points would take in memory, and what there is. */
  async capacity(question: CapacityQuestion, call: CallOptions = {}): Promise<Capacity> {
    const none = {
      points: 0,
      collection: '',
      dimension: 0,
      m: 0,
      replicationFactor: 0,
      originals: '',
      quantisation: '',
    };
    return messages.capacityOf(await this.read('getCapacity', { ...none, ...question }, call));
  }

  /**
   * Deletes the points that match; `{}` means every point. Repeated with its key it goes on with those that were meant the
   * first time, and touches nothing that was written later.
   */
  async deleteByFilter(
    collection: string,
    filter: Filter,
    options: Pick<WriteOptions, 'idempotency'> & CallOptions = {},
  ): Promise<ByFilterResult> {
    const request = { collection, filter: filterMessage(filter) };
    return this.write(options, (protection) =>
      this.call('deleteByFilter', { ...request, ...protection }, options, true),
    );
  }

  /** Changes fields of the payloads of the points that match, as deleteByFilter() deletes them. */
  async setPayloadByFilter(
    collection: string,
    filter: Filter,
    { set, remove = [], replace = false }: PayloadChange,
    options: Pick<WriteOptions, 'idempotency'> & CallOptions = {},
  ): Promise<ByFilterResult> {
    const change = {
      set: set === undefined ? new Uint8Array(0) : messages.payloadBytes(set),
      remove: [...remove],
      replace,
    };
    const request = { collection, filter: filterMessage(filter), ...change };
    return this.write(options, (protection) =>
      this.call('setPayloadByFilter', { ...request, ...protection }, options, true),
    );
  }

  /** Under the caller's key, or one of this client's that is known for as long as the call may repeat itself. */
  private async write<T>(options: WriteOptions & CallOptions, send: (by: Protection) => Promise<T>): Promise<T> {
    const { idempotency, returnPrevious = false, timeoutMs = this.timeoutMs } = options;
    if (idempotency !== undefined) {
      const { key, issuedMs, windowMs = 0 } = idempotency;
      return await send({
        idempotencyKey: key,
        issuedMs,
        idempotencyWindowMs: Math.ceil(windowMs),
        returnPrevious,
      });
    }
    const { policy, environment, session } = this;
    const ownMs = policy.attempts * (timeoutMs + policy.delayMsMax) + clockSlackMs;
    const idempotencyWindowMs = Math.ceil(Math.min(ownMs, idempotencyWindowMsMax));
    const drawn = session.next();
    try {
      return await send({
        idempotencyKey: drawn.key,
        issuedMs: environment.wall(),
        idempotencyWindowMs,
        returnPrevious,
      });
    } finally {
      session.finished(drawn);
    }
  }

  private read<K extends UnaryMethod>(method: K, request: RequestOf<K>, call: CallOptions): Promise<ReplyOf<K>> {
    return this.call(method, request, call, false);
  }

  /** Without a key: sent again only if it was certainly not carried out. */
  private once<K extends UnaryMethod>(method: K, request: RequestOf<K>, call: CallOptions): Promise<ReplyOf<K>> {
    return this.call(method, request, call, true, { ...this.policy, retryWritesOnTimeout: false });
  }

  private call<K extends UnaryMethod>(
    method: K,
    request: RequestOf<K>,
    { timeoutMs = this.timeoutMs }: CallOptions,
    isWrite: boolean,
    policy = this.policy,
  ): Promise<ReplyOf<K>> {
    if (!(timeoutMs > 0)) return Promise.reject(clientError('INVALID_ARGUMENT', 'timeoutMs must be positive'));
    return withRetries(policy, this.environment, isWrite, () => this.transport.unary(method, request, timeoutMs));
  }
}
