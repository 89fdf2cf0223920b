import { describe, expect, test } from '@jest/globals';
import { OpenLoop } from '../../bench/failover/open-loop';
import { judge, type Pause, victimsOf } from '../../bench/failover/verdict';
import { median, quantile } from '../../bench/support/figures';
import { optionsOf } from '../../bench/support/options';
import { Prng } from '../../src/base/prng';
import { clientError } from '../../src/client/errors';
import type { VectronClient } from '../../src/client/node';

describe('the options of a bench', () => {
  const defaults = { kills: 20, data: '', settle: false, batches: [1, 32] } as const;

  test('are the defaults where nothing is said, and of the default’s kind where something is', () => {
    expect(optionsOf([], defaults)).toEqual(defaults);
    const argv = ['--kills', '3', '--settle', '--batches', '1,2,3', '--data', '/x'];
    expect(optionsOf(argv, defaults)).toEqual({ kills: 3, data: '/x', settle: true, batches: [1, 2, 3] });
  });

  test.each([
    [['--kills', 'many'], '--kills takes a number'],
    [['--kills', ''], '--kills takes a number'],
    [['--batches', '1,x'], '--batches takes a number'],
    [['--kill', '3'], '--kill'],
  ])('%j is refused and named', (argv, message) => {
    expect(() => optionsOf(argv, defaults)).toThrow(message);
  });
});

describe('the figures', () => {
  test('a quantile is a value that was measured, with as many below it as a count finds', () => {
    const random = new Prng(3);
    for (let round = 0; round < 50; round++) {
      const values = Array.from({ length: random.between(1, 300) }, () => random.between(0, 1_000));
      for (const q of [0, 0.5, 0.9, 0.99]) {
        const found = quantile(values, q);
        expect(values).toContain(found);
        expect(values.filter((value) => value < found).length).toBeLessThanOrEqual(values.length * q);
        expect(values.filter((value) => value <= found).length).toBeGreaterThanOrEqual(
          Math.min(values.length, Math.floor(values.length * q) + 1),
        );
      }
    }
    expect([median([3, 1, 2]), quantile([], 0.5)]).toEqual([2, Number.NaN]);
  });
});

describe('the verdict on failovers', () => {
  const pauses = (...pausesMs: readonly number[]): Pause[] =>
    pausesMs.map((pauseMs, i) => ({ victim: i % 2 === 0 ? 'process' : 'thread', pauseMs }));

  test('is green with p50 up to 2 s, p99 up to 3.5 s and no lost write', () => {
    expect(judge(pauses(2_000, 1_000, 2_000, 3_500), ['process'], 0).isGreen).toBe(true);
    expect(judge(pauses(2_000, 1_000, 2_000, 3_500), ['process'], 1).isGreen).toBe(false);
    expect(judge(pauses(1_000, 1_000, 1_000, 3_501), ['process'], 0).isGreen).toBe(false);
    expect(judge(pauses(1_000, 2_001, 2_001, 2_001), ['process'], 0).isGreen).toBe(false);
    expect(judge([], ['process'], 0).isGreen).toBe(false);
  });

  test('tells each kind of victim alone, and all together', () => {
    const { lines } = judge(pauses(1_000, 3_000, 1_200), ['process', 'thread', 'link'], 0);
    expect(lines).toEqual([
      "pause after the leader's process was killed (2): p50 1.20 s, p99 1.20 s, max 1.20 s",
      "pause after the leader's thread was killed (1): p50 3.00 s, p99 3.00 s, max 3.00 s",
      'pause (3 kills): p50 1.20 s, p99 3.00 s, max 3.00 s; goal p50 2.00 s, p99 3.50 s',
    ]);
  });

  test('knows its victims', () => {
    expect(victimsOf('process,link')).toEqual(['process', 'link']);
    expect(() => victimsOf('process,cat')).toThrow('not cat');
    expect(() => victimsOf('thread,link')).toThrow('not both');
  });
});

describe('an open loop', () => {
  /** Answers nothing before it was asked so often. */
  class Stalled {
    readonly points = new Map<string, number>();
    ackedBefore = 0;
    private waiting: (() => void)[] | null = [];

    constructor(
      private readonly count: number,
      private readonly ackedCount: () => number,
    ) {}

    async upsert(_collection: string, [point]: readonly { readonly id: string; readonly vector: number[] }[]) {
      if (this.waiting?.length === this.count) this.answer();
      await new Promise<void>((resolve) => (this.waiting === null ? resolve() : this.waiting.push(resolve)));
      if (point !== undefined) this.points.set(point.id, point.vector[0] as number);
    }
    async getMany(_collection: string, ids: readonly string[]) {
      return ids.flatMap((id) => (this.points.has(id) ? [{ id, vector: [this.points.get(id)] }] : []));
    }
    private answer(): void {
      this.ackedBefore = this.ackedCount();
      for (const resolve of this.waiting ?? []) resolve();
      this.waiting = null;
    }
  }

  test('goes on writing while nobody answers, counts latencies from when a write was due, and finds what is lost', async () => {
    const stalled = new Stalled(60, () => load.ackedCount);
    const load: OpenLoop = new OpenLoop(stalled as unknown as VectronClient, 'c', 200);
    const startedMs = performance.now();
    load.start();
    // 60 writes at 200 a second are due in 300 ms.
    const ackedMs = await load.acknowledgedSince(startedMs, 30_000);
    expect(ackedMs - startedMs).toBeGreaterThanOrEqual(290);
    await load.stop();
    expect(stalled.ackedBefore).toBe(0);
    expect(load.ackedCount).toBeGreaterThanOrEqual(60);
    expect(Math.max(...load.latenciesMs)).toBeGreaterThanOrEqual(290);
    expect(await load.lostCount()).toBe(0);
    const [id] = stalled.points.keys();
    stalled.points.delete(id as string);
    expect(await load.lostCount()).toBe(1);
  });

  test('counts what fails by what it was told, and never as acknowledged', async () => {
    const refusing = { upsert: () => Promise.reject(clientError('UNAVAILABLE', 'nobody leads')) };
    const load = new OpenLoop(refusing as unknown as VectronClient, 'c', 200);
    load.start();
    await expect(load.acknowledgedSince(performance.now(), 100)).rejects.toThrow('no write was acknowledged');
    await load.stop();
    expect(load.ackedCount).toBe(0);
    expect([...load.failures.keys()]).toEqual(['nobody leads']);
  });
});
