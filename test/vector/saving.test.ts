import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { present } from '../../src/base/assert';
import { Prng } from '../../src/base/prng';
import { FlatEngine } from '../../src/vector/flat-index';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import type { IndexOptions, SaveOutcome, VectorIndex } from '../../src/vector/ports';
import { untilNative } from '../support/native-wait';

const dimension = 24;
let keys = 0;
const options = (originals: 'memory' | 'disk'): IndexOptions => ({
  key: `saving-${keys++}`,
  dimension,
  metric: 'euclidean',
  m: 8,
  efConstruction: 60,
  capacity: 32,
  originals,
});

const vectorOf = (random: Prng): Float32Array => Float32Array.from({ length: dimension }, () => random.gaussian());

function savedOf(index: VectorIndex, meanwhile: () => void): SaveOutcome {
  let saved: SaveOutcome | null = null;
  untilNative('a file is written', () => {
    saved = index.takeSaved();
    if (saved === null) meanwhile();
    return saved !== null;
  });
  return present<SaveOutcome>(saved, 'what was saved');
}

describe('a graph file is written in the background', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vectron-saving-'));
  const failures: string[] = [];
  const engine = createNativeEngine({ graphThreshold: 100, onFailedSave: (_key, why) => failures.push(why) });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each(['memory', 'disk'] as const)('of one moment, beside puts and searches; originals: %s', (originals) => {
    const random = new Prng(5);
    const settings = options(originals);
    const path = join(folder, originals);
    const index = engine.open(settings, path);
    const vectors: Float32Array[] = [];
    const putOne = (): void => {
      vectors.push(vectorOf(random));
      index.put(`p${vectors.length - 1}`, vectors.length, vectors[vectors.length - 1] as Float32Array);
      index.appliedIndex = vectors.length;
    };
    for (let i = 0; i < 3_000; i++) putOne();
    index.linkInBackground();
    index.saveInBackground(path);
    const saved = savedOf(index, () => {
      putOne();
      expect(index.search(vectorOf(random), 10).ids).toHaveLength(10);
    });
    const stamp = saved.appliedIndex as number;
    expect(stamp).toBeGreaterThanOrEqual(3_000);
    expect(index.takeSaved()).toBeNull();
    const other = engine.open({ ...options(originals), key: `loaded-${originals}` }, path);
    expect([other.appliedIndex, other.size]).toEqual([stamp, stamp]);
    for (let i = stamp; i < vectors.length; i++) other.put(`p${i}`, i + 1, vectors[i] as Float32Array);
    for (let i = 0; i < 20; i++) {
      const query = vectorOf(random);
      expect(other.exact(query, 50)).toMatchObject({ ids: index.exact(query, 50).ids });
    }
    index.destroy();
    other.destroy();
  });

  test('originals on disk take the memory of their codes, find the same, and need a path', () => {
    const random = new Prng(6);
    const [disk, memory] = (['disk', 'memory'] as const).map((originals) =>
      engine.open(options(originals), join(folder, `none-${originals}`)),
    ) as [VectorIndex, VectorIndex];
    for (let i = 0; i < 2_000; i++) {
      const vector = vectorOf(random);
      for (const index of [disk, memory]) index.put(`p${i}`, i, vector);
    }
    for (const index of [disk, memory]) while (index.link(10_000) > 0);
    expect(memory.bytes - disk.bytes).toBeGreaterThan(2_000 * dimension * 4);
    for (let i = 0; i < 20; i++) {
      const query = vectorOf(random);
      const [found, exact] = [disk.search(query, 10, { ef: 80 }), memory.exact(query, 10)];
      expect(found.strategy).toBe('graph');
      expect(disk.exact(query, 10)).toMatchObject({ ids: exact.ids, scores: exact.scores });
      expect(found.scores[0]).toBe(exact.scores[0]);
    }
    expect(() => engine.open(options('disk'), null)).toThrow('originals');
    disk.destroy();
    memory.destroy();
  });

  test('what cannot be written is told, and what was there stays', () => {
    const path = join(folder, 'no', 'such', 'folder');
    const index = engine.open(options('memory'), null);
    index.put('p', 1, vectorOf(new Prng(7)));
    index.saveInBackground(path);
    expect(savedOf(index, () => undefined)).toEqual({ appliedIndex: null });
    expect(failures).toEqual([expect.stringContaining('No such file')]);
    expect(existsSync(path)).toBe(false);
    index.destroy();
  });
});

test('a flat index writes what it was when it was asked, once somebody asks how it ended', () => {
  const engine = new FlatEngine();
  const index = engine.open(options('disk'), 'file');
  index.put('p', 1, vectorOf(new Prng(8)));
  index.appliedIndex = 1;
  index.saveInBackground('file');
  index.put('q', 2, vectorOf(new Prng(9)));
  expect(engine.files.size).toBe(0);
  expect(index.takeSaved()).toEqual({ appliedIndex: 1 });
  expect(index.takeSaved()).toBeNull();
  expect(engine.files.get('file')).toMatchObject({ appliedIndex: 1 });
  expect(engine.files.get('file')?.entries.size).toBe(1);
});
