import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Prng } from '../../src/base/prng';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import type { IndexOptions, VectorIndex } from '../../src/vector/ports';
import { untilNative as until } from '../support/native-wait';

const dimension = 16;
const engine = createNativeEngine({ graphThreshold: 100 });
let keys = 0;
const options = (): IndexOptions => ({
  key: `background-${keys++}`,
  dimension,
  metric: 'euclidean',
  m: 8,
  efConstruction: 60,
  capacity: 32,
});

const vectorOf = (random: Prng): Float32Array => Float32Array.from({ length: dimension }, () => random.gaussian());

function recallOf(index: VectorIndex, queries: readonly Float32Array[]): number {
  let found = 0;
  for (const query of queries) {
    const truth = new Set(index.exact(query, 10).ids);
    found += index.search(query, 10, { ef: 80 }).ids.filter((id) => truth.has(id)).length;
  }
  return found / (queries.length * 10);
}

describe('work in the background', () => {
  test('links what was put, while it is being searched', () => {
    const random = new Prng(1);
    const index = engine.open(options(), null);
    for (let i = 0; i < 1_200; i++) {
      index.put(`p${i}`, i, vectorOf(random));
      index.linkInBackground();
      if (i % 50 === 0) expect(index.search(vectorOf(random), 5).ids.length).toBe(Math.min(5, i + 1));
    }
    until('all linked', () => index.unlinked === 0);
    expect(index.search(vectorOf(random), 5).strategy).toBe('graph');
    index.destroy();
  });

  test('a graph of many replaced points is built anew: recall stays, and no old vector comes back, also from a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'vectron-background-'));
    const random = new Prng(2);
    const settings = options();
    const index = engine.open(settings, null);
    const old = new Map<string, Float32Array>();
    for (let i = 0; i < 1_500; i++) {
      const vector = vectorOf(random);
      old.set(`p${i}`, vector);
      index.put(`p${i}`, i, vector);
    }
    while (index.link(10_000) > 0);
    const queries = Array.from({ length: 60 }, () => vectorOf(random));
    const whole = recallOf(index, queries);
    // Just below the threshold: the graph is a third tombstones.
    for (let i = 0; i < 900; i++) index.put(`p${i}`, 2_000 + i, vectorOf(random));
    while (index.link(10_000) > 0);
    expect(index.tombstones).toBe(900);
    const before = recallOf(index, queries);
    for (let i = 900; i < 1_050; i++) index.remove(`p${i}`, 3_000 + i);
    expect(index.tombstones).toBe(1_050);
    index.linkInBackground();
    until('the graph was replaced', () => index.tombstones === 0);
    const after = recallOf(index, queries);
    expect(Math.min(whole, before, after)).toBeGreaterThan(0.97);
    expect(after).toBeGreaterThanOrEqual(before - 0.01);
    const path = join(folder, 'graph');
    index.save(path);
    index.destroy();
    const loaded = engine.open(settings, path);
    expect(loaded.size).toBe(1_350);
    for (let i = 0; i < 1_050; i += 7) {
      const { scores } = loaded.search(old.get(`p${i}`) as Float32Array, 1, { ef: 80 });
      expect(scores[0]).toBeLessThan(-1e-6);
    }
    loaded.put('p900', 9_000, old.get('p900') as Float32Array);
    expect(loaded.search(old.get('p900') as Float32Array, 1).ids).toEqual(['p900']);
    loaded.destroy();
    rmSync(folder, { recursive: true });
  });

  test('real searches are answered again exactly: recall is told, and is that of the searches', () => {
    const random = new Prng(3);
    const index = engine.open(options(), null);
    for (let i = 0; i < 1_500; i++) index.put(`p${i}`, i, vectorOf(random));
    while (index.link(10_000) > 0);
    expect(index.recall).toEqual({ expected: 0, found: 0 });
    const query = vectorOf(random);
    const truth = new Set(index.exact(query, 10).ids);
    const found = index.search(query, 10, { ef: 10 }).ids.filter((id) => truth.has(id)).length;
    index.linkInBackground();
    until('a search was answered again', () => index.recall.expected > 0);
    expect(index.recall).toEqual({ expected: 10, found });
    index.destroy();
  });
});
