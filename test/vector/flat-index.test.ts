import { describe, expect, test } from '@jest/globals';
import { FlatEngine } from '../../src/vector/flat-index';
import type { IndexOptions } from '../../src/vector/ports';

const options = (key: string, metric: IndexOptions['metric'] = 'euclidean'): IndexOptions => ({
  key,
  dimension: 2,
  metric,
  m: 4,
  efConstruction: 8,
  capacity: 4,
});
const v = (...components: number[]): Float32Array => Float32Array.from(components);

describe('flat index', () => {
  test.each([
    ['euclidean', ['near', 'far', 'long'], [0, -4, -100]],
    ['dot', ['long', 'near', 'far'], [11, 1, -1]],
    ['cosine', ['long', 'near', 'far'], [1, 1, -1]],
  ] as const)('%s: best first', (metric, ids, scores) => {
    const index = new FlatEngine().open(options('a', metric), null);
    index.put('near', 1, v(1, 0));
    index.put('far', 2, v(-1, 0));
    index.put('long', 3, v(11, 0));
    const result = index.search(v(1, 0), 10);
    expect(result.ids).toEqual(ids);
    expect([...result.scores]).toEqual(scores);
    expect(result.distances).toBe(3);
  });

  test('older and equal versions are ignored, removals are remembered', () => {
    const index = new FlatEngine().open(options('a'), null);
    index.put('p', 5, v(1, 1));
    index.put('p', 5, v(9, 9));
    index.put('p', 4, v(9, 9));
    expect([...index.exact(v(1, 1), 1).scores]).toEqual([0]);
    index.remove('p', 7);
    index.put('p', 6, v(1, 1));
    expect(index.size).toBe(0);
    expect(index.versionOf('p')).toBe(7);
    expect(index.versionOf('q')).toBe(-1);
    index.put('p', 8, v(2, 2));
    expect(index.search(v(0, 0), 3).ids).toEqual(['p']);
  });

  test('a file survives its engine; a dropped index throws', () => {
    const engine = new FlatEngine();
    const index = engine.open(options('a'), null);
    index.put('p', 1, v(1, 2));
    index.appliedIndex = 42;
    index.save('/file');
    index.put('q', 2, v(3, 4));
    expect(engine.open(options('a'), '/file')).toBe(index);
    const next = new FlatEngine(engine.files).open(options('a'), '/file');
    expect([next.size, next.appliedIndex, next.versionOf('p'), next.versionOf('q')]).toEqual([1, 42, 1, -1]);
    expect(() => engine.open(options('a', 'dot'), null)).toThrow('other options');
    engine.drop('a');
    expect(() => index.search(v(0, 0), 1)).toThrow('destroyed');
    expect(engine.open(options('a'), null).size).toBe(0);
  });

  test('arguments are checked', () => {
    const index = new FlatEngine().open(options('a'), null);
    expect(() => index.put('p', 1, v(1))).toThrow('has 1 components, not 2');
    expect(() => index.put('p', 1, v(1, Number.NaN))).toThrow('component 1 is NaN');
    expect(() => index.put('p', -1, v(1, 1))).toThrow('version');
    expect(() => index.put('p', 1, v(3e30, 1))).toThrow('too long');
    expect(() => index.search(v(1, 1), 0)).toThrow('k: 0');
    expect(() => index.search(v(1, 1), 1, { ef: 1e9 })).toThrow('ef');
    expect(() => new FlatEngine().open({ ...options('a'), dimension: 0 }, null)).toThrow('dimension');
    expect(index.size).toBe(0);
  });
});
