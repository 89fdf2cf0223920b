import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { FlatEngine } from '../../src/vector/flat-index';
import { createNativeEngine, extractFaissFile, loadAddon } from '../../src/vector/node/native-engine';
import type { IndexOptions, SearchResult, VectorIndex } from '../../src/vector/ports';
import { clusteredVectors } from './support';

const folder = mkdtempSync(join(tmpdir(), 'vectron-native-'));
afterAll(() => rmSync(folder, { recursive: true }));

let keys = 0;
const options = (dimension: number, metric: IndexOptions['metric']): IndexOptions => ({
  key: `test-${keys++}`,
  dimension,
  metric,
  m: 8,
  efConstruction: 60,
  capacity: 32,
});
const metrics = ['cosine', 'euclidean', 'dot'] as const;

/** Small enough that a few hundred points have a graph. */
const engine = createNativeEngine({ graphThreshold: 100 });
const linkAll = (index: VectorIndex): void => {
  while (index.link(10_000) > 0);
};

/** Equal ids and scores; where scores differ by rounding only, neighbours in the ranking may swap. */
function expectSameHits(got: SearchResult, wanted: SearchResult, tolerance: number): void {
  expect(got.ids.length).toBe(wanted.ids.length);
  expect(new Set(got.ids).size).toBe(got.ids.length);
  for (let i = 0; i < wanted.ids.length; i++) {
    const [score, other] = [wanted.scores[i] as number, got.scores[i] as number];
    expect(Math.abs(score - other)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(score)));
    if (got.ids[i] === wanted.ids[i]) continue;
    const twin = wanted.ids.indexOf(got.ids[i] as string);
    const twinScore = twin < 0 ? (wanted.scores[wanted.ids.length - 1] as number) : (wanted.scores[twin] as number);
    expect(Math.abs(twinScore - other)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(other)));
  }
}

function recallOf(index: VectorIndex, queries: readonly Float32Array[], k: number, ef: number): number {
  let hits = 0;
  for (const query of queries) {
    const truth = new Set(index.exact(query, k).ids);
    const found = index.search(query, k, { ef });
    expect(found.ids.length).toBe(Math.min(k, index.size));
    expect(found.strategy).toBe('graph');
    hits += found.ids.filter((id) => truth.has(id)).length;
  }
  return hits / (queries.length * k);
}

describe('native index against the oracle', () => {
  test.each(metrics)('%s: any history gives the same points, versions and exact hits', (metric) => {
    for (let seed = 1; seed <= 4; seed++) {
      const prng = new Prng(seed);
      const dimension = prng.between(1, 40);
      const make = clusteredVectors(prng, dimension);
      const settings = options(dimension, metric);
      let native = engine.open(settings, null);
      const flat = new FlatEngine().open(settings, null);
      const both = (act: (index: VectorIndex) => void): void => [native, flat].forEach(act);
      for (let step = 0; step < 900; step++) {
        const id = `p${prng.between(0, 350)}`;
        // Versions rise over time but not strictly: some offers are old or repeated.
        const version = Math.max(0, step - prng.between(0, 60));
        const vector = make();
        if (prng.chance(0.8)) both((index) => index.put(id, version, vector));
        else both((index) => index.remove(id, version));
        if (prng.chance(0.05)) native.link(prng.between(0, 3_000));
        if (prng.chance(0.05)) {
          const k = prng.between(1, 30);
          const query = make();
          expectSameHits(native.exact(query, k), flat.exact(query, k), 1e-4);
          expect(native.search(query, k).ids.length).toBe(Math.min(k, flat.size));
        }
        if (prng.chance(0.004)) {
          const path = join(folder, `${settings.key}.graph`);
          native.appliedIndex = step;
          native.save(path);
          engine.drop(settings.key);
          native = engine.open(settings, path);
          expect(native.appliedIndex).toBe(step);
        }
        expect(native.versionOf(id)).toBe(flat.versionOf(id));
      }
      expect(native.size).toBe(flat.size);
      native.destroy();
    }
  });

  test.each(metrics)('%s: recall of the graph, also with a tail and tombstones', (metric) => {
    const prng = new Prng(9);
    const make = clusteredVectors(prng, 48);
    const queries = Array.from({ length: 50 }, make);
    const index = engine.open(options(48, metric), null);
    for (let i = 0; i < 4_000; i++) index.put(`p${i}`, 1, make());
    linkAll(index);
    expect(recallOf(index, queries, 10, 80)).toBeGreaterThanOrEqual(0.95);
    for (let i = 0; i < 4_000; i += 3) index.remove(`p${i}`, 2);
    for (let i = 4_000; i < 4_300; i++) index.put(`p${i}`, 1, make());
    expect(index.unlinked).toBe(300);
    expect(recallOf(index, queries, 10, 80)).toBeGreaterThanOrEqual(0.95);
    const { distances } = index.search(queries[0] as Float32Array, 10, { ef: 40 });
    expect(distances).toBeGreaterThan(300 + 40);
    expect(distances).toBeLessThan(4_000);
    index.destroy();
  });

  test('a query whose neighbourhood was removed still gets k hits', () => {
    const prng = new Prng(4);
    const index = engine.open(options(8, 'euclidean'), null);
    const near = (offset: number): Float32Array =>
      Float32Array.from({ length: 8 }, () => offset + prng.gaussian() / 10);
    for (let i = 0; i < 500; i++) index.put(`gone${i}`, 1, near(0));
    for (let i = 0; i < 500; i++) index.put(`kept${i}`, 1, near(5));
    linkAll(index);
    for (let i = 0; i < 500; i++) index.remove(`gone${i}`, 2);
    for (const k of [1, 10, 499, 500, 900])
      expect(index.search(near(0), k, { ef: 16 }).ids.length).toBe(Math.min(k, 500));
    index.destroy();
  });

  test('equal vectors: ties go by id, and many of them do not hide the rest', () => {
    const index = engine.open(options(3, 'euclidean'), null);
    const prng = new Prng(8);
    const make = clusteredVectors(prng, 3);
    for (let i = 0; i < 300; i++) index.put(`same${String(i).padStart(3, '0')}`, 1, Float32Array.of(1, 1, 1));
    for (let i = 0; i < 300; i++) index.put(`other${i}`, 1, make());
    expect(index.exact(Float32Array.of(1, 1, 1), 3).ids).toEqual(['same000', 'same001', 'same002']);
    linkAll(index);
    const queries = Array.from({ length: 40 }, make);
    expect(recallOf(index, queries, 5, 64)).toBeGreaterThanOrEqual(0.9);
    index.destroy();
  });

  test('link keeps to its budget, and below the threshold there is nothing to link', () => {
    const make = clusteredVectors(new Prng(3), 64);
    const index = engine.open(options(64, 'euclidean'), null);
    for (let i = 0; i < 99; i++) index.put(`p${i}`, 1, make());
    expect([index.unlinked, index.link(1e6)]).toEqual([0, 0]);
    expect(index.search(make(), 5).strategy).toBe('scan');
    for (let i = 99; i < 3_000; i++) index.put(`p${i}`, 1, make());
    expect(index.unlinked).toBe(3_000);
    expect(index.link(0)).toBe(3_000);
    const left = index.link(2_000);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(3_000);
    index.destroy();
  });
});

describe('kernels', () => {
  test('every kernel gives the same hits', () => {
    const program = join(__dirname, 'kernel-probe.js');
    const run = (kernel: string): string[] => {
      const env = { ...process.env, VECTRON_KERNEL: kernel };
      return JSON.parse(execFileSync(process.execPath, [program], { env, stdio: 'pipe' }).toString());
    };
    const best = loadAddon().kernel;
    const others = best === 'avx512' ? ['avx2', 'avx512'] : best === 'avx2' ? ['avx2'] : [];
    const portable = run('portable');
    for (const kernel of others) expect(run(kernel)).toEqual(portable);
    expect(() => run('abacus')).toThrow();
  });
});

describe('the file', () => {
  const built = (): { settings: IndexOptions; path: string; query: Float32Array; hits: SearchResult } => {
    const make = clusteredVectors(new Prng(6), 12);
    const settings = options(12, 'cosine');
    const index = engine.open(settings, null);
    for (let i = 0; i < 300; i++) index.put(`p${i}`, i, make());
    index.remove('p7', 1_000);
    linkAll(index);
    index.appliedIndex = 1_234;
    const path = join(folder, `${settings.key}.graph`);
    index.save(path);
    const query = make();
    const hits = index.search(query, 10, { ef: 50 });
    engine.drop(settings.key);
    return { settings, path, query, hits };
  };

  test('a saved index is the same after loading', () => {
    const { settings, path, query, hits } = built();
    const index = engine.open(settings, path);
    expect([index.size, index.unlinked, index.tombstones, index.appliedIndex]).toEqual([299, 0, 1, 1_234]);
    expect(index.versionOf('p7')).toBe(1_000);
    expect(index.search(query, 10, { ef: 50 })).toEqual({ ...hits, micros: expect.any(Number) });
    index.put('p7', 999, query);
    expect(index.size).toBe(299);
    index.destroy();
  });

  test('a damaged byte anywhere, or another length, is reported and the index starts empty', () => {
    const { settings, path } = built();
    const bytes = readFileSync(path);
    const refusals: string[] = [];
    const careful = createNativeEngine({ onRefusedFile: (_key, _path, why) => refusals.push(why) });
    const prng = new Prng(12);
    const places = [...Array(88).keys(), ...Array.from({ length: 200 }, () => prng.between(88, bytes.length - 1))];
    const damaged = places.map((at) => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] as number) ^ (1 << prng.between(0, 7));
      return copy;
    });
    damaged.push(bytes.subarray(0, bytes.length - 1), bytes.subarray(0, 20), Buffer.alloc(0));
    for (const content of damaged) {
      writeFileSync(path, content);
      const index = careful.open(settings, path);
      expect([index.size, index.appliedIndex, index.loading]).toEqual([0, 0, false]);
      index.destroy();
    }
    expect(refusals.length).toBe(damaged.length);
    writeFileSync(path, bytes);
    const other = careful.open({ ...settings, metric: 'dot' }, path);
    expect([other.size, other.loading]).toEqual([0, false]);
    expect(refusals.at(-1)).toContain('other options');
    careful.drop(settings.key);
    expect(careful.open(settings, path).size).toBe(299);
    careful.drop(settings.key);
  });

  test('its FAISS part begins as FAISS files of this kind do', () => {
    const { path } = built();
    const target = join(folder, 'extracted.faiss');
    extractFaissFile(path, target);
    expect(readFileSync(target).subarray(0, 4).toString()).toBe('IHNf');
    expect(() => extractFaissFile(join(folder, 'absent'), target)).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    );
  });
});

describe('arguments and handles', () => {
  const settings = options(3, 'dot');
  const index = engine.open(settings, null);
  const v = Float32Array.of(1, 2, 3);

  test.each([
    ['dimension', 'vector', () => index.put('a', 1, Float32Array.of(1, 2))],
    ['NaN', 'vector', () => index.put('a', 1, Float32Array.of(1, 2, Number.NaN))],
    ['infinity', 'query', () => index.search(Float32Array.of(1, 2, Number.POSITIVE_INFINITY), 1)],
    ['length', 'vector', () => index.put('a', 1, Float32Array.of(3e30, 0, 0))],
    ['version', 'version', () => index.put('a', -1, v)],
    ['fraction', 'version', () => index.remove('a', 1.5)],
    ['long id', 'id', () => index.put('x'.repeat(513), 1, v)],
    ['k 0', 'k', () => index.search(v, 0)],
    ['k huge', 'k', () => index.search(v, 10_001)],
    ['k NaN', 'k', () => index.exact(v, Number.NaN)],
    ['ef', 'ef', () => index.search(v, 1, { ef: 10_001 })],
    ['ef -1', 'ef', () => index.search(v, 1, { ef: -1 })],
    ['budget', 'budgetMicros', () => index.link(-1)],
    ['not a vector', 'vector', () => index.put('a', 1, [1, 2, 3] as unknown as Float32Array)],
    ['doubles', 'vector', () => index.put('a', 1, Float64Array.of(1, 2, 3) as unknown as Float32Array)],
    ['applied', 'appliedIndex', () => (index.appliedIndex = -1)],
    ['m', 'm', () => engine.open({ ...settings, key: 'no', m: 1 }, null)],
    ['dimension', 'dimension', () => engine.open({ ...settings, key: 'no', dimension: 65_537 }, null)],
  ])('%s', (_name, field, act) => {
    expect(act).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', field }));
    expect(index.size).toBe(0);
  });

  test('an unwritable path is an error, not an end', () => {
    expect(() => index.save(join(folder, 'no', 'such', 'folder'))).toThrow(
      expect.objectContaining({ code: 'INTERNAL' }),
    );
  });

  test('the same key is the same index until it is dropped', () => {
    const again = engine.open(settings, null);
    again.put('a', 1, v);
    expect(index.search(v, 1).ids).toEqual(['a']);
    expect(() => engine.open({ ...settings, dimension: 4 }, null)).toThrow('other options');
    engine.drop(settings.key);
    for (const gone of [index, again]) {
      expect(() => gone.search(v, 1)).toThrow(expect.objectContaining({ code: 'FAILED_PRECONDITION' }));
      expect(() => gone.size).toThrow('destroyed');
    }
    engine.drop(settings.key);
  });
});
