import { floatsOf } from '../../src/base/bytes';
import { VectronError } from '../../src/base/errors';
import { collectionId, logIndex, nodeName, replicaId, shardId, term } from '../../src/base/ids';
import type {
  AnswerOf,
  CallKind,
  CallOf,
  CollectionState,
  GatewayBackend,
  GatewayCall,
  Outcome,
  SearchAnswer,
  SearchCall,
  ShardRead,
  WriteAnswer,
} from '../../src/gateway/calls';
import { collectionNotFound } from '../../src/gateway/operations/core';
import { changedPayload } from '../../src/gateway/operations/payload-change';
import { vectorError } from '../../src/gateway/operations/points';
import type { Point } from '../../src/protocol/commands';
import type { ReadLevel } from '../../src/protocol/data-messages';
import type { Filter } from '../../src/protocol/filters';
import type { CollectionRecord } from '../../src/protocol/records';
import type { IndexedType, PayloadIndex } from '../../src/protocol/schemas';
import { matches, parsedPayload } from '../../src/vector/filter-match';

interface Collection {
  readonly record: CollectionRecord;
  readonly points: Map<string, Point>;
  readonly indexes: Map<string, IndexedType>;
  ttlMs: number;
}

/** A gateway without a cluster: one process's memory, exact search by dot product. For tests of the servers and the client. */
export class FakeBackend implements GatewayBackend {
  ready = true;
  readonly collections = new Map<string, Collection>();
  readonly calls: { readonly call: GatewayCall; readonly timeoutMs: number }[] = [];
  /** Thrown by the next calls, first come first served. */
  readonly failures: unknown[] = [];

  async call<K extends CallKind>(call: CallOf<K>, timeoutMs: number): Promise<AnswerOf<K>> {
    const one = call as unknown as GatewayCall;
    this.calls.push({ call: one, timeoutMs });
    if (this.failures.length > 0) throw this.failures.shift();
    return this.answer(one) as AnswerOf<K>;
  }

  /** All that is stored, for showing that a refused call changed nothing. */
  contents(): string {
    return JSON.stringify([...this.collections].map(([name, { points }]) => [name, [...points.keys()].sort()]));
  }

  private answer(call: GatewayCall): unknown {
    if (call.kind === 'createCollection') return this.create(call);
    if (call.kind === 'flags') return { level: 1, nodes: [{ name: 'pd-1', driver: true, range: null }], shards: [] };
    if (call.kind === 'capacity') {
      const measured = { bytes: 10, bytesMax: 100, leftBytes: 80 };
      const machines = [
        { node: 'm1', measured, predictedBytes: 7 },
        { node: 'm2', measured: null, predictedBytes: 0 },
      ];
      return { predictedBytes: 7, predictedBytesTotal: 21, machines, fits: true };
    }
    if (call.kind === 'listCollections') return { names: [...this.collections.keys()].sort() };
    if (call.kind === 'deleteCollection') {
      this.find(call.name, 'name');
      this.collections.delete(call.name);
      return null;
    }
    if (call.kind === 'collectionStatus') return stateOf(this.find(call.name, 'name'));
    if (call.kind === 'changeTtl') {
      this.find(call.name, 'name').ttlMs = call.ttlMs;
      return { ttlMs: call.ttlMs, settled: true };
    }
    if (call.kind === 'changeIndex' || call.kind === 'listIndexes') {
      return { indexes: this.indexed(this.find(call.collection, 'collection'), call), settled: true };
    }
    return this.onPoints(call, this.find(call.collection, 'collection'));
  }

  private onPoints(
    call: Exclude<
      GatewayCall,
      {
        kind:
          | 'createCollection'
          | 'listCollections'
          | 'deleteCollection'
          | 'collectionStatus'
          | 'changeTtl'
          | 'flags'
          | 'capacity'
          | 'changeIndex'
          | 'listIndexes';
      }
    >,
    { record, points }: Collection,
  ): unknown {
    if (call.kind === 'upsert') {
      for (const [i, point] of call.points.entries()) {
        const error = vectorError(record, point.vector, `points[${i}].vector`);
        if (error !== null) throw error;
      }
      for (const point of call.points) points.set(point.id, point);
      return written(call.points.length, call.points.length);
    }
    if (call.kind === 'delete') return written(call.ids.filter((id) => points.delete(id)).length, call.ids.length);
    if (call.kind === 'deleteByFilter' || call.kind === 'setPayloadByFilter') {
      const found = matching(points, call.filter);
      for (const point of found) {
        if (call.kind === 'deleteByFilter') points.delete(point.id);
        else points.set(point.id, { ...point, payload: changedPayload(point.id, point.payload, call.change) });
      }
      return { count: found.length, replayed: false, commit: written(0, 0).commit };
    }
    if (call.kind === 'get') {
      const found = call.ids.map((id) => points.get(id)).filter((point) => point !== undefined);
      return { points: found.map((point) => ({ ...point, version: 1 })), served: [served(call.level)] };
    }
    if (call.kind === 'count') {
      return { count: matching(points, call.filter).length, served: [served(call.level)] };
    }
    if (call.kind === 'scroll') {
      const all = matching(points, call.filter).filter(({ id }) => id > call.afterId);
      all.sort((a, b) => (a.id < b.id ? -1 : 1));
      const page = all.slice(0, call.limit).map((point) => ({ ...point, version: 1 }));
      const next = page.length < all.length ? (page[page.length - 1]?.id ?? null) : null;
      return { points: page, next, served: [served(call.level)] };
    }
    const one = (asked: SearchCall): Outcome<SearchAnswer> => {
      const error = vectorError(record, asked.vector, 'vector');
      return error === null ? { ok: true, answer: search(asked, points) } : { ok: false, error };
    };
    if (call.kind === 'searchBatch') return { outcomes: call.searches.map((search) => one(search.call)) };
    const outcome = one(call);
    if (!outcome.ok) throw outcome.error;
    return outcome.answer;
  }

  private indexed({ indexes }: Collection, call: CallOf<'changeIndex'> | CallOf<'listIndexes'>): PayloadIndex[] {
    if (call.kind === 'changeIndex') {
      const { key, type } = call;
      if (type === null && !indexes.has(key))
        throw new VectronError('NOT_FOUND', `no index of ${key}`, { field: 'key' });
      if (type === null) indexes.delete(key);
      else indexes.set(key, type);
    }
    return [...indexes].map(([key, type]) => ({ key, type })).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  private create(call: CallOf<'createCollection'>): CollectionRecord {
    if (this.collections.has(call.name)) {
      throw new VectronError('ALREADY_EXISTS', `collection ${call.name} exists`, { field: 'name' });
    }
    const record: CollectionRecord = { ...call, id: collectionId(this.collections.size + 1), shardIds: [shardId(1)] };
    this.collections.set(call.name, { record, points: new Map(), indexes: new Map(), ttlMs: call.ttlMs });
    return record;
  }

  private find(name: string, field: string): Collection {
    const found = this.collections.get(name);
    if (found === undefined) throw collectionNotFound(name, field);
    return found;
  }
}

const matching = (points: ReadonlyMap<string, Point>, filter: Filter | null): Point[] =>
  [...points.values()].filter(({ id, payload }) => filter === null || matches(filter, id, parsedPayload(payload)));

const served = (level: ReadLevel): ShardRead => ({ shard: shardId(1), level, appliedIndex: logIndex(9), ageMs: null });

const written = (count: number, items: number): WriteAnswer => ({
  count,
  commit: [{ collection: collectionId(1), shard: shardId(1), index: logIndex(9) }],
  versions: Array.from({ length: items }, () => 9),
  previous: [],
  previousOmitted: 0,
  replayed: false,
});

function search(call: SearchCall, points: ReadonlyMap<string, Point>): SearchAnswer {
  const query = floatsOf(call.vector);
  const hits = matching(points, call.filter).map(({ id, vector, payload }) => {
    const score = floatsOf(vector).reduce((sum, value, i) => sum + value * (query[i] ?? 0), 0);
    return {
      id,
      score,
      payload: call.includePayload ? payload : new Uint8Array(0),
      vector: call.includeVector ? vector : new Uint8Array(0),
    };
  });
  hits.sort((a, b) => b.score - a.score);
  const filtered = call.filter === null ? null : { matches: hits.length, visited: points.size, estimate: null };
  const figures = { strategy: 'scan' as const, distances: points.size, points: points.size, micros: 0, elapsedMs: 1 };
  const used = { ef: null, quantised: false, reranked: 0 };
  const stats = { shard: shardId(1), ...figures, ...used, filtered };
  const indexed = call.waitIndexedMs === 0 ? null : true;
  const about = { partial: false, shardsTotal: 1, shards: [stats], served: [served(call.level)], indexed };
  return { hits: hits.slice(0, call.k), ...about };
}

function stateOf({ record, points, ttlMs }: Collection): CollectionState {
  const leader = {
    replica: replicaId(11),
    node: nodeName('machine-1'),
    role: 'leader' as const,
    term: term(2),
    appliedIndex: logIndex(9),
    points: points.size,
    unlinked: 0,
    index: { tombstones: 3, bytes: 4_096, recallExpected: 20, recallFound: 19 },
  };
  return { collection: record, shards: [{ shard: shardId(1), replicas: [leader], leader, ready: true }], ttlMs };
}
