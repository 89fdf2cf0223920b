import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { FlatEngine } from '../../src/vector/flat-index';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import type { IndexOptions, LabelSet, VectorIndex } from '../../src/vector/ports';
import { clusteredVectors } from './support';

const folder = mkdtempSync(join(tmpdir(), 'vectron-unquantised-'));
afterAll(() => rmSync(folder, { recursive: true }));

const dimension = 24;
const metrics = ['cosine', 'euclidean', 'dot'] as const;
const engine = createNativeEngine({ graphThreshold: 100 });
const optionsOf = (key: string, metric: IndexOptions['metric']): IndexOptions => ({
  ...{ key, dimension, metric, m: 8, efConstruction: 60, capacity: 32, quantisation: 'none' },
});
const linkAll = (index: VectorIndex): void => {
  while (index.link(10_000) > 0);
};

describe.each(metrics)('an index without codes (%s)', (metric) => {
  const prng = new Prng(metrics.indexOf(metric) + 1);
  const make = clusteredVectors(prng, dimension);
  const path = join(folder, `${metric}.graph`);
  const options = optionsOf(`none-${metric}`, metric);
  let index = engine.open(options, null);
  const flat = new FlatEngine().open(options, null);

  /** By the list beside it: scores and, but for ties, ids. */
  function check(allowed: LabelSet | null, strategy: 'walk' | 'twoHop' | 'scan', recallMin: number): void {
    let [hits, all] = [0, 0];
    for (let i = 0; i < 40; i++) {
      const query = make();
      const within = allowed === null ? {} : { allowed, strategy };
      const found = index.search(query, 10, { ef: 120, ...within });
      const ids = new Set(idsOf(allowed));
      const truth = flat.exact(query, flat.size).ids.filter((id) => allowed === null || ids.has(id));
      expect(found.ids.length).toBe(10);
      expect(found.ids.every((id) => allowed === null || ids.has(id))).toBe(true);
      const best = new Set(truth.slice(0, 10));
      hits += found.ids.filter((id) => best.has(id)).length;
      all += 10;
    }
    expect(hits / all).toBeGreaterThanOrEqual(recallMin);
  }

  const idsOf = (allowed: LabelSet | null): string[] =>
    allowed === null || !('labels' in allowed) ? [] : [...allowed.labels].map((label) => index.idOf(label) ?? '');

  test('finds by its graph, within sets by every strategy, and as well after a restart, deletions and a rebuild', () => {
    const both = (act: (one: VectorIndex) => void): void => [index, flat].forEach(act);
    for (let i = 0; i < 1_500; i++) {
      const vector = make();
      both((one) => one.put(`p${i}`, i + 1, vector));
    }
    linkAll(index);
    expect(index.unlinked).toBe(0);
    const some = (): LabelSet => {
      const labels = Array.from({ length: 1_500 }, (_, i) => index.labelOf(`p${i}`)).filter((label) => label >= 0);
      return { labels: Uint32Array.from(labels.filter((_, i) => i % 2 === 0)) };
    };
    const checkAll = (): void => {
      check(null, 'walk', 0.97);
      check(some(), 'walk', 0.97);
      check(some(), 'scan', 1);
      check(some(), 'twoHop', 0.8);
    };
    expect(index.search(make(), 10).strategy).toBe('graph');
    checkAll();
    index.save(path);
    engine.drop(options.key);
    index = engine.open(options, path);
    expect([index.size, index.unlinked]).toEqual([1_500, 0]);
    checkAll();
    for (let i = 0; i < 900; i++) both((one) => one.remove(`p${i}`, 5_000 + i));
    linkAll(index);
    expect([index.size, index.tombstones]).toEqual([600, 0]);
    checkAll();
  });

  test('takes no memory for codes, and is not the same index as one that has them', () => {
    const [none, int8] = (['none', 'int8'] as const).map((quantisation) => {
      const one = engine.open({ ...options, key: `${options.key}-${quantisation}`, quantisation }, null);
      for (let i = 0; i < 600; i++) one.put(`p${i}`, 1, make());
      const { bytes } = one;
      one.destroy();
      return bytes;
    });
    expect((int8 ?? 0) - (none ?? 0)).toBeGreaterThan(600 * dimension);
    expect(() => engine.open({ ...options, quantisation: 'int8' }, null)).toThrow(/other options/);
    index.destroy();
  });
});
