import { describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { compareHits, mergeTopK, type Scored, TopK } from '../../src/vector/top-k';

/** Few distinct scores, so that ties are common. */
const randomHits = (prng: Prng, count: number, ids: number): Scored[] =>
  Array.from({ length: count }, () => ({ id: `p${prng.between(0, ids)}`, score: prng.between(0, 6) / 2 }));

describe('top-k', () => {
  test('TopK keeps what sorting everything would keep', () => {
    const prng = new Prng(1);
    for (let round = 0; round < 300; round++) {
      const hits = Array.from({ length: prng.between(0, 60) }, (_, i) => ({ id: `${i}`, score: prng.between(0, 9) }));
      const k = prng.between(1, 30);
      const best = new TopK<Scored>(k);
      for (const hit of hits) best.offer(hit);
      expect(best.sorted()).toEqual([...hits].sort(compareHits).slice(0, k));
    }
  });

  test('mergeTopK equals sorting the union and keeping the best of each id', () => {
    const prng = new Prng(2);
    for (let round = 0; round < 300; round++) {
      const lists = Array.from({ length: prng.between(0, 7) }, () => {
        const unique = new Map(randomHits(prng, prng.between(0, 20), 25).map((hit) => [hit.id, hit]));
        return [...unique.values()].sort(compareHits);
      });
      const k = prng.between(1, 25);
      const union = lists.flat().sort(compareHits);
      const expected = union.filter((hit, at) => union.findIndex((other) => other.id === hit.id) === at).slice(0, k);
      expect(mergeTopK(lists, k)).toEqual(expected);
    }
  });

  test('k below 1 is a bug of the caller', () => {
    expect(() => mergeTopK([], 0)).toThrow('k must be at least 1');
    expect(() => new TopK(0)).toThrow('k must be at least 1');
  });
});
