import { describe, expect, test } from '@jest/globals';
import { floatsOf, utf8 } from '../../src/base/bytes';
import { replicaId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { MemoryStore } from '../../src/storage/memory-store';
import { similarity } from '../../src/vector/metrics';
import { randomFilter } from '../vector/random-filter';
import { nearest, Pair, page } from './selecting-pair';
import { machineOf, testKeyHash, vectorOf } from './shard-helpers';

describe('selecting while the shard is written to', () => {
  test.each([1, 2])('gives min(k, matches), the nearest, and counts all (seed %i)', (seed) => {
    const pair = new Pair(new Prng(seed));
    const { random } = pair;
    for (let i = 0; i < 30; i++) pair.write(100);
    for (let round = 0; round < 12; round++) {
      if (round % 5 === 4) pair.restart();
      const filter = random.chance(0.05) ? null : randomFilter(random);
      const query = vectorOf(random);
      const k = random.pick([1, 10, 200, 5_000]);
      const { hits, count, stored } = pair.select(filter, nearest(query, k));
      const wanted = pair.matching(filter).map(({ id, vector, payload }) => {
        const score = Math.fround(similarity('euclidean', floatsOf(query), floatsOf(vector)));
        return { id, score, payload, vector: new Uint8Array(0) };
      });
      wanted.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
      expect([count, stored]).toEqual([wanted.length, pair.live.size]);
      expect(hits).toEqual(wanted.slice(0, k));
      expect(pair.select(filter, { kind: 'count' }).count).toBe(pair.matching(filter).length);
    }
  });

  test.each([1, 2])('pages give each point that stays exactly once, in slices that are disjoint (seed %i)', (seed) => {
    const pair = new Pair(new Prng(seed));
    const { random } = pair;
    for (let i = 0; i < 30; i++) pair.write(100);
    for (let round = 0; round < 3; round++) {
      const filter = random.chance(0.3) ? null : randomFilter(random);
      const before = new Map(pair.matching(filter).map((point) => [point.id, point]));
      const slices = random.between(1, 5);
      const seen = new Map<string, number>();
      for (let slice = 0; slice < slices; slice++) {
        for (let afterId = '', done = false; !done; ) {
          const countMax = random.between(1, 400);
          const got = pair.select(filter, page({ afterId, countMax, slice, slices }), 20);
          expect(got.points.length).toBeLessThanOrEqual(countMax);
          for (const { id } of got.points) seen.set(id, (seen.get(id) ?? 0) + 1);
          afterId = got.points[got.points.length - 1]?.id ?? afterId;
          done = got.done;
          pair.write(5);
        }
      }
      expect([...seen.values()].every((times) => times === 1)).toBe(true);
      const stayed = pair.matching(filter).filter((point) => before.get(point.id) === point);
      expect(stayed.filter(({ id }) => !seen.has(id))).toEqual([]);
    }
  });

  test('an order by an index whose type is being changed misses nothing', () => {
    const pair = new Pair(new Prng(5));
    let serial = 0;
    pair.payload = () => utf8(JSON.stringify({ kind: 'a', n: serial++ / 2 }));
    const kind = { key: 'kind', type: 'keyword' } as const;
    pair.setSchema({ revision: 1, ttlMs: 0, indexes: [kind, { key: 'n', type: 'integer' }] });
    for (let i = 0; i < 30; i++) pair.write(10);
    pair.settle();
    pair.setSchema({ revision: 2, ttlMs: 0, indexes: [kind] });
    pair.setSchema({ revision: 3, ttlMs: 0, indexes: [kind, { key: 'n', type: 'float' }] });
    const ordered = { kind: 'ordered', key: 'n', descending: false, after: null, countMax: 1_000 } as const;
    const page = (): string[] => pair.select(null, ordered).points.map(({ id }) => id);
    const whileBuilt = page();
    while (!pair.machine.buildPayloadIndexes());
    const built = page();
    expect(whileBuilt).toEqual(built);
    expect(built).toHaveLength(pair.live.size);
  });

  test('points come in the order of their hashes', () => {
    const pair = new Pair(new Prng(5));
    for (let i = 0; i < 5; i++) pair.write(100);
    const { points, done } = pair.select(null, page({ countMax: 1_000 }), 1);
    const hashes = points.map(({ id }) => testKeyHash(id));
    expect(hashes).toEqual([...hashes].sort((a, b) => (a < b ? -1 : 1)));
    expect([points.length, done]).toEqual([pair.live.size, true]);
  });

  test('work on a state that a snapshot replaces fails and says that it may be repeated', () => {
    const pair = new Pair(new Prng(6));
    for (let i = 0; i < 10; i++) pair.write(100);
    const source = pair.machine.openSnapshot();
    const other = machineOf(new MemoryStore(), undefined, { replica: replicaId(12) });
    const work = other.select(null, page(), 'euclidean');
    const sink = other.openRestore(
      {
        ...{ index: source.index, term: source.term, configuration: other.configuration },
      },
      1,
    );
    for (let n = 0; ; n++) {
      const chunk = source.chunk(n);
      if (chunk === null) break;
      sink.accept(chunk);
    }
    sink.finish();
    expect(() => work.advance()).toThrow(expect.objectContaining({ code: 'UNAVAILABLE', retry: 'safe' }));
  });
});
