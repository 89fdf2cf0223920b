import { describe, expect, test } from '@jest/globals';
import { utf8 } from '../../src/base/bytes';
import { Prng } from '../../src/base/prng';
import type { Bounds, Filter } from '../../src/protocol/filters';
import type { PayloadIndex } from '../../src/protocol/schemas';
import { matches, parseDatetime } from '../../src/vector/filter-match';
import { Bits } from '../../src/vector/payload/bits';
import { inAtLeast } from '../../src/vector/payload/counting';
import { isExact } from '../../src/vector/payload/filter-bounds';
import { PayloadIndexes } from '../../src/vector/payload/payload-indexes';
import { Posting } from '../../src/vector/payload/posting';
import { SortedPairs } from '../../src/vector/payload/sorted-pairs';
import { randomFilter, randomPayload } from './random-filter';

const everyKind: readonly PayloadIndex[] = [
  { key: 'kind', type: 'keyword' },
  { key: 'n', type: 'integer' },
  { key: 'tags', type: 'keyword' },
  { key: 'at', type: 'datetime' },
  { key: 'maybe', type: 'bool' },
  { key: 'parts.name', type: 'keyword' },
  { key: 'parts.n', type: 'float' },
];
/** Types that are not those of most values. */
const wrongKinds: readonly PayloadIndex[] = [
  { key: 'kind', type: 'datetime' },
  { key: 'n', type: 'keyword' },
  { key: 'tags', type: 'float' },
  { key: 'at', type: 'keyword' },
  { key: 'maybe', type: 'integer' },
  { key: 'parts.n', type: 'integer' },
];

const slotsMax = 120;

/** The indexes, and beside them the payload of each slot. */
class Pair {
  readonly indexes: PayloadIndexes;
  readonly payloads = new Map<number, object>();

  constructor(
    readonly random: Prng,
    wanted: readonly PayloadIndex[],
  ) {
    this.indexes = new PayloadIndexes(wanted, 1e9);
  }

  change(): void {
    const slot = this.random.between(0, slotsMax);
    if (this.random.chance(0.3)) {
      this.payloads.delete(slot);
      this.indexes.remove(slot);
    } else {
      const payload = randomPayload(this.random);
      this.payloads.set(slot, payload);
      this.indexes.put(slot, utf8(JSON.stringify(payload)));
    }
  }

  passing(filter: Filter): number[] {
    return [...this.payloads.keys()]
      .filter((slot) => matches(filter, `p${slot}`, this.payloads.get(slot)))
      .sort((a, b) => a - b);
  }

  readonly slotOf = (id: string): number => {
    const slot = Number(id.slice(1));
    return this.payloads.has(slot) ? slot : -1;
  };
}

const list = (bits: Bits): number[] => {
  const found: number[] = [];
  bits.forEach((slot) => {
    found.push(slot);
  });
  return found;
};

describe('counting in how many sets a number is', () => {
  test.each([1, 2, 3, 4, 5, 6])('is what counting one by one says, seed %i', (seed) => {
    const random = new Prng(seed);
    const counts = new Map<number, number>();
    const sets = Array.from({ length: random.between(1, 70) }, () => new Bits());
    for (const set of sets) {
      for (let value = 0; value < random.pick([1, 40, 300]); value++) {
        if (random.chance(0.6)) continue;
        set.add(value);
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
    }
    for (let countMin = 1; countMin <= sets.length + 1; countMin++) {
      const wanted = [...counts].filter(([, count]) => count >= countMin).map(([value]) => value);
      expect(list(inAtLeast(sets, countMin))).toEqual(wanted.sort((a, b) => a - b));
    }
  });
});

describe('payload indexes', () => {
  test.each([
    ['of the right types', everyKind, 1],
    ['of the right types', everyKind, 2],
    ['of other types', wrongKinds, 3],
    ['of some keys', everyKind.slice(0, 2), 4],
  ])('hold what passes between two sets: %s (seed %#)', (_what, wanted, seed) => {
    const pair = new Pair(new Prng(seed), wanted);
    let exact = 0;
    for (let round = 0; round < 500; round++) {
      for (let i = 0; i < 8; i++) pair.change();
      const filter = randomFilter(pair.random);
      const { lower, upper } = pair.indexes.between(filter, pair.slotOf);
      const wantedSlots = pair.passing(filter);
      const [low, high] = [list(lower), list(upper)];
      expect(low.filter((slot) => !wantedSlots.includes(slot))).toEqual([]);
      expect(wantedSlots.filter((slot) => !high.includes(slot))).toEqual([]);
      expect(high.every((slot) => pair.payloads.has(slot))).toBe(true);
      if (isExact({ lower, upper })) exact++;
      const share = pair.indexes.estimate(filter);
      expect(share >= 0 && share <= 1).toBe(true);
    }
    // The indexes must know something.
    expect(exact).toBeGreaterThan(80);
    expect(pair.indexes.count).toBe(pair.payloads.size);
  });

  test('answer exactly what they are for', () => {
    const pair = new Pair(new Prng(9), everyKind);
    for (let i = 0; i < 500; i++) pair.change();
    const range = (key: string, bounds: Partial<Bounds>): Filter => ({
      ...{ kind: 'range', key },
      bounds: { gt: null, gte: null, lt: null, lte: null, ...bounds },
    });
    const filters: readonly Filter[] = [
      { kind: 'any', key: 'kind', values: ['red', 'blue'] },
      { kind: 'prefix', key: 'kind', text: 'b' },
      { kind: 'text', key: 'kind', text: 'sky' },
      range('n', { gte: 2 }),
      range('n', { gt: -3, lt: 6 }),
      range('parts.n', { lte: 3 }),
      { kind: 'isEmpty', key: 'tags' },
      { kind: 'isNull', key: 'maybe' },
      {
        ...{ kind: 'group', must: [range('n', { lt: 5 })], mustNot: [{ kind: 'any', key: 'kind', values: ['red'] }] },
        ...{ should: [range('n', { gt: 0 }), { kind: 'hasId', ids: ['p1', 'p2'] }, range('parts.n', { gt: 3 })] },
        minShould: 2,
      },
    ];
    for (const filter of filters) {
      const found = pair.indexes.between(filter, pair.slotOf);
      expect([isExact(found), list(found.upper)]).toEqual([true, pair.passing(filter)]);
    }
  });

  test('give up what takes too much memory, and stay right', () => {
    const random = new Prng(3);
    const indexes = new PayloadIndexes([{ key: 'text', type: 'keyword' }], 400_000);
    for (let slot = 0; slot < 4_096; slot++) {
      indexes.put(slot, utf8(JSON.stringify({ text: `${slot} ${random.between(0, 1e9)}` })));
    }
    expect(indexes.dropped).toEqual(['text']);
    expect(indexes.bytes).toBeLessThan(400_000);
    const { lower, upper } = indexes.between({ kind: 'prefix', key: 'text', text: '17' }, () => -1);
    expect([lower.count(), upper.count()]).toEqual([0, 4_096]);
  });

  test('give back what changes took', () => {
    const indexes = new PayloadIndexes(everyKind, 1e9);
    const random = new Prng(4);
    const fill = (): void => {
      for (let slot = 0; slot < 500; slot++) indexes.put(slot, utf8(JSON.stringify(randomPayload(random))));
    };
    fill();
    const once = indexes.bytes;
    for (let round = 0; round < 8; round++) fill();
    expect(indexes.bytes).toBeLessThan(once * 1.5);
    for (let slot = 0; slot < 500; slot++) indexes.remove(slot);
    expect(indexes.count).toBe(0);
    expect(indexes.between({ kind: 'isEmpty', key: 'none' }, () => -1).upper.count()).toBe(0);
  });
});

describe('the parts of payload indexes', () => {
  test.each([1, 2, 3])('sorted pairs are those of a sorted list (seed %i)', (seed) => {
    const random = new Prng(seed);
    const pairs = new SortedPairs();
    let model: (readonly [number, number])[] = [];
    const bound = (): number | null => (random.chance(0.5) ? random.between(-60, 60) / 2 : null);
    for (let round = 0; round < 6_000; round++) {
      const [gone] = random.chance(0.4) ? model.slice(random.between(0, model.length)) : [];
      if (gone !== undefined) {
        pairs.remove(...gone);
        model = model.filter((one) => one !== gone);
      } else {
        const one = [random.between(-30, 30), random.between(0, 1e6)] as const;
        if (model.some(([value, slot]) => value === one[0] && slot === one[1])) continue;
        pairs.add(...one);
        model.push(one);
      }
      if (round % 50 !== 0) continue;
      model.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      const bounds = { gt: bound(), gte: bound(), lt: bound(), lte: bound() };
      const { gt, gte, lt, lte } = bounds;
      const within = model.filter(
        ([value]) =>
          (gt === null || value > gt) &&
          (gte === null || value >= gte) &&
          (lt === null || value < lt) &&
          (lte === null || value <= lte),
      );
      const up: number[] = [];
      const down: number[] = [];
      pairs.forEachWithin(bounds, (slot) => up.push(slot) > 0);
      pairs.forEachDown(bounds, (slot) => down.push(slot) > 0);
      expect(up).toEqual(within.map(([, slot]) => slot));
      expect(down).toEqual([...up].reverse());
      expect([pairs.countWithin(bounds), pairs.count]).toEqual([within.length, model.length]);
    }
    expect(model.length).toBeGreaterThan(600);
  });

  test('postings are sets, sparse and dense', () => {
    const random = new Prng(5);
    const posting = new Posting();
    const model = new Set<number>();
    for (let round = 0; round < 3_000; round++) {
      const slot = random.between(0, 2_000);
      if (model.has(slot)) posting.remove(slot);
      else posting.add(slot, 2_000);
      if (!model.delete(slot)) model.add(slot);
      if (round % 100 !== 0) continue;
      const bits = new Bits();
      posting.addTo(bits);
      expect(list(bits)).toEqual([...model].sort((a, b) => a - b));
      expect([posting.count, bits.count()]).toEqual([model.size, model.size]);
    }
  });

  test('the days of datetimes are those the filter means', () => {
    const indexes = new PayloadIndexes([{ key: 'at', type: 'datetime' }], 1e9);
    indexes.put(0, utf8('{"at":"2024-05-31"}'));
    indexes.put(1, utf8('{"at":["2024-06-01T00:30:00+01:00","no time"]}'));
    indexes.put(2, utf8('{"at":7}'));
    const from = (text: string): Filter => ({
      ...{ kind: 'datetime', key: 'at' },
      bounds: { gt: null, gte: parseDatetime(text), lt: null, lte: null },
    });
    expect(list(indexes.between(from('2024-05-31'), () => -1).upper)).toEqual([0, 1]);
    expect(list(indexes.between(from('2024-05-31T23:30:00Z'), () => -1).upper)).toEqual([1]);
    expect(list(indexes.between(from('2024-06-01'), () => -1).upper)).toEqual([]);
  });
});
