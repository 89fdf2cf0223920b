import { afterEach, describe, expect, test } from '@jest/globals';
import { ReplicaLinking } from '../../src/actors/replica-linking';
import { Prng } from '../../src/base/prng';
import { type MonotonicMs, monotonicMs } from '../../src/base/time';
import type { ActorContext, Signal } from '../../src/runtime/actor';
import { FlatEngine } from '../../src/vector/flat-index';
import type { VectorIndex } from '../../src/vector/ports';
import { indexOf, pointOf, upsert, vectorOf } from '../shard/shard-helpers';
import { anyAge, ReplicaGroup } from './replica-group';

/** A graph of `size + tombstones` rows, of which the last `unlinked` are not linked. */
class Graph {
  size = 100;
  tombstones = 0;
  unlinked = 0;
}

class Bench {
  readonly graph = new Graph();
  readonly ended: [string, boolean, number][] = [];
  readonly linking = new ReplicaLinking<string>(this.graph as unknown as VectorIndex, 2, (item, linked) =>
    this.ended.push([item, linked, this.now]),
  );
  now = 0;
  private timer: Signal | null = null;

  private get context(): ActorContext {
    const now: MonotonicMs = monotonicMs(this.now);
    const setTimer = (_key: string, _ms: number, signal: Signal): void => {
      this.timer = signal;
    };
    return { now, setTimer } as unknown as ActorContext;
  }

  add(item: string, waitMs: number): boolean {
    return this.linking.add(item, waitMs, this.context);
  }

  /** One look. */
  look(afterMs = 20): void {
    this.now += afterMs;
    const { timer } = this;
    this.timer = null;
    if (timer !== null) expect(this.linking.signalled(timer, this.context)).toBe(true);
  }

  get isArmed(): boolean {
    return this.timer !== null;
  }
}

describe('what waits for the graph', () => {
  test('does not if all is linked, or if it may not wait', () => {
    const bench = new Bench();
    bench.add('a', 50);
    bench.graph.unlinked = 3;
    bench.add('b', 0);
    expect(bench.ended).toEqual([
      ['a', true, 0],
      ['b', false, 0],
    ]);
    expect(bench.isArmed).toBe(false);
  });

  test('ends when what was there is linked, whatever was put since', () => {
    const bench = new Bench();
    bench.graph.unlinked = 30;
    bench.add('a', 10_000);
    for (let i = 0; i < 29; i++) {
      bench.graph.size += 5;
      bench.graph.unlinked += 4;
      bench.look();
    }
    expect(bench.ended).toEqual([]);
    bench.graph.unlinked -= 1;
    bench.look();
    expect(bench.ended).toEqual([['a', true, expect.any(Number)]]);
    expect(bench.isArmed).toBe(false);
  });

  test('ends when its time is up, and says so', () => {
    const bench = new Bench();
    bench.graph.unlinked = 1;
    bench.add('a', 50);
    bench.add('b', 10_000);
    expect(bench.add('c', 50)).toBe(false);
    for (let i = 0; i < 5; i++) bench.look();
    expect(bench.ended).toEqual([['a', false, 60]]);
    expect([bench.linking.count, bench.linking.takeAll()]).toEqual([1, ['b']]);
  });

  test('after a rebuild waits for what is there by then', () => {
    const bench = new Bench();
    bench.graph.tombstones = 80;
    bench.graph.unlinked = 10;
    bench.add('a', 10_000);
    Object.assign(bench.graph, { size: 100, tombstones: 0, unlinked: 5 });
    bench.look();
    expect(bench.ended).toEqual([]);
    Object.assign(bench.graph, { size: 104, unlinked: 4 });
    bench.look();
    expect(bench.ended).toEqual([['a', true, expect.any(Number)]]);
  });
});

describe('a search that may wait', () => {
  let unlinked = 0;
  const flat = Object.getPrototypeOf(indexOf(new FlatEngine())) as object;
  const original = Object.getOwnPropertyDescriptor(flat, 'unlinked') as PropertyDescriptor;
  afterEach(() => {
    Object.defineProperty(flat, 'unlinked', original);
  });

  test('is answered whole either way, and says whether the graph was', () => {
    Object.defineProperty(flat, 'unlinked', { configurable: true, get: () => unlinked });
    const random = new Prng(5);
    const group = new ReplicaGroup(5);
    const leader = group.awaitLeader();
    const points = Array.from({ length: 20 }, (_, n) => pointOf(`p${n}`, random));
    expect(group.write(leader, upsert(...points))).toMatchObject({ failure: null });
    const shape = { k: 5, ef: 0, exact: false, includeVector: false, includePayload: false, filter: null };
    const query = { vector: vectorOf(random), ...shape, oversampling: 1, rerank: 20, quantised: false };
    const ask = (waitIndexedMs: number, change: Partial<typeof query> = {}) =>
      group.ask(leader, 'data.tunedQueried', (header) => ({
        ...{ kind: 'data.tunedQuery', ...header, level: 'leader', ...anyAge },
        ...{ queries: [{ ...query, ...change }], waitIndexedMs },
      }));
    expect(ask(0)).toMatchObject({ failure: null, indexed: true });
    unlinked = 7;
    for (const waitMs of [0, 300]) {
      const { indexed, results } = ask(waitMs);
      expect([indexed, results[0]?.hits.length]).toEqual([false, 5]);
    }
    unlinked = 0;
    expect(ask(300)).toMatchObject({ failure: null, indexed: true });
    expect(ask(0, { rerank: 10_001 }).failure).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'rerank' });
    expect(group.running.every(({ actor }) => actor.openCount === 0)).toBe(true);
  });
});
