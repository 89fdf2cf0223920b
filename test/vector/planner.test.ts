import { describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import { planSearch } from '../../src/vector/planner';

const dimension = 16;
const count = 6_000;
const k = 10;
const ef = 64;

/** Points in clusters, labelled as they are put; a graph from the first hundred on. */
function world() {
  const random = new Prng(21);
  const index = createNativeEngine({ graphThreshold: 100 }).open(
    { key: 'planner', dimension, metric: 'euclidean', m: 16, efConstruction: 100, capacity: count },
    null,
  );
  const centres = Array.from({ length: 40 }, () => Array.from({ length: dimension }, () => 3 * random.gaussian()));
  const near = (centre: readonly number[]): Float32Array => Float32Array.from(centre, (x) => x + random.gaussian());
  const vectors = Array.from({ length: count }, () => near(random.pick(centres)));
  for (const [i, vector] of vectors.entries()) index.put(`p${i}`, 1, vector);
  while (index.link(20_000) > 0);
  const pivot = centres[0] as readonly number[];
  const queries = Array.from({ length: 30 }, () => near(pivot));
  const distance = (vector: Float32Array): number => vector.reduce((sum, x, i) => sum + (x - (pivot[i] ?? 0)) ** 2, 0);
  const order = vectors
    .map((_, i) => i)
    .sort((a, b) => distance(vectors[a] as Float32Array) - distance(vectors[b] as Float32Array));
  return { index, queries, order, random };
}

describe('a planned search within a set', () => {
  const { index, queries, order, random } = world();
  const shuffled = [...order].sort(() => random.between(0, 1) - 0.5);
  const chosen = { random: shuffled, correlated: order, anti: [...order].reverse() };

  test.each(
    (['random', 'correlated', 'anti'] as const).flatMap((correlation) =>
      [0.001, 0.01, 0.05, 0.1, 0.5, 0.99].map((share) => [correlation, share] as const),
    ),
  )('finds min(k, matches), recall at least .95: %s, %d of all points', (correlation, share) => {
    const matches = Math.round(share * count);
    const words = new Uint32Array(Math.ceil(index.labelCount / 32));
    for (const i of chosen[correlation].slice(0, matches)) {
      const label = index.labelOf(`p${i}`);
      words[label >>> 5] = (words[label >>> 5] as number) | (1 << (label & 31));
    }
    let [found, wanted] = [0, 0];
    for (const query of queries) {
      const plan = planSearch({ matches, points: index.size, k, ef });
      const { ids } = index.search(query, k, { ...plan, allowed: { words } });
      const truth = new Set(index.exact(query, k, { words }).ids);
      expect(ids).toHaveLength(Math.min(k, matches));
      wanted += truth.size;
      found += ids.filter((id) => truth.has(id)).length;
    }
    expect(found / wanted).toBeGreaterThanOrEqual(0.95);
  });

  test('walks where the set is large, and scans where it is small', () => {
    const planned = (matches: number): string => planSearch({ matches, points: 60_000, k, ef }).strategy;
    expect([60, 600, 6_000, 30_000, 59_400].map(planned)).toEqual(['scan', 'scan', 'scan', 'walk', 'walk']);
    expect(planSearch({ matches: 0, points: 0, k, ef }).strategy).toBe('scan');
  });
});
