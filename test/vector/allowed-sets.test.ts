import { describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { FlatEngine } from '../../src/vector/flat-index';
import { labelsOf } from '../../src/vector/labels';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import type { LabelSet, VectorEngine, VectorIndex } from '../../src/vector/ports';
import { clusteredVectors } from './support';

const options = {
  key: 'sets',
  dimension: 12,
  metric: 'cosine',
  m: 8,
  efConstruction: 60,
  capacity: 32,
} as const;
const strategies = ['scan', 'walk', 'twoHop'] as const;

/** Labels as a bitmap or as a list. */
function setOf(labels: readonly number[], asWords: boolean): LabelSet {
  if (!asWords) return { labels: Uint32Array.from(labels) };
  const words = new Uint32Array(Math.ceil((Math.max(0, ...labels) + 1) / 32));
  for (const label of labels) words[label >>> 5] = (words[label >>> 5] as number) | (1 << (label % 32));
  return { words };
}

/** An index and, for each of its live points, the label that put() told. */
class Labelled {
  readonly labels = new Map<string, number>();
  readonly index: VectorIndex;

  constructor(engine: VectorEngine) {
    engine.drop(options.key);
    this.index = engine.open(options, null);
  }

  put(id: string, version: number, vector: Float32Array): void {
    const label = this.index.put(id, version, vector);
    const held = this.labels.get(id);
    if (held === undefined) expect([...this.labels.values()]).not.toContain(label);
    else expect(label).toBe(held);
    this.labels.set(id, label);
  }

  remove(id: string, version: number): void {
    expect(this.index.remove(id, version)).toBe(this.labels.get(id) ?? -1);
    this.labels.delete(id);
  }

  setOf(ids: readonly string[], asWords: boolean): LabelSet {
    return setOf(
      ids.map((id) => this.labels.get(id) as number),
      asWords,
    );
  }
}

describe('sets of allowed points', () => {
  test('labelsOf gives each label of a bitmap and of a list once, below the end', () => {
    const prng = new Prng(3);
    for (const count of [0, 1, 40, 300]) {
      const labels = [...new Set(Array.from({ length: count }, () => prng.between(0, 1_000)))];
      for (const asWords of [true, false]) {
        const found = [...labelsOf(setOf(labels, asWords), 900)].sort((a, b) => a - b);
        expect(found).toEqual(labels.filter((label) => label < 900).sort((a, b) => a - b));
      }
    }
    expect([...labelsOf({ words: Uint32Array.of(0x80000001) }, 32)]).toEqual([0, 31]);
  });

  test('native against flat: the same labels to the same points, min(k, matches) hits, the exact ones the same', () => {
    const native = new Labelled(createNativeEngine({ graphThreshold: 200 }));
    const flat = new Labelled(new FlatEngine());
    const prng = new Prng(21);
    const make = clusteredVectors(prng, options.dimension);
    let version = 0;
    const found = { hits: 0, wanted: 0 };
    for (let round = 0; round < 25; round++) {
      for (let step = 0; step < 120; step++) {
        const id = `p${prng.between(0, 700)}`;
        const vector = make();
        version++;
        if (prng.chance(0.75)) for (const each of [native, flat]) each.put(id, version, vector);
        else for (const each of [native, flat]) each.remove(id, version);
        expect(native.index.put(id, 0, vector)).toBe(native.labels.get(id) ?? -1);
      }
      // Every other round some are not linked, or there is no graph yet.
      const whole = round % 2 === 0;
      while (native.index.link(whole ? 100_000 : prng.between(0, 4_000)) > 0 && whole);
      const share = prng.pick([0, 0.01, 0.1, 0.5, 1]);
      const ids = [...native.labels.keys()].filter(() => prng.chance(share));
      for (const strategy of strategies) {
        const query = make();
        const k = prng.between(1, 20);
        const asWords = prng.chance(0.5);
        const allowed = native.setOf(ids, asWords);
        const got = native.index.search(query, k, { allowed, strategy, ef: 60 });
        const exact = native.index.exact(query, k, allowed);
        const wanted = flat.index.search(query, k, { allowed: flat.setOf(ids, asWords) });
        expect(wanted.ids.length).toBe(Math.min(k, ids.length));
        expect([got.matches, exact.matches, wanted.matches]).toEqual([ids.length, ids.length, ids.length]);
        expect(new Set(exact.ids)).toEqual(new Set(wanted.ids));
        expect(got.ids.length).toBe(wanted.ids.length);
        if (whole && native.index.size >= 200) expect(got.strategy === strategy || got.fellBack).toBe(true);
        for (const id of got.ids) expect(ids).toContain(id);
        found.hits += got.ids.filter((id) => wanted.ids.includes(id)).length;
        found.wanted += wanted.ids.length;
      }
    }
    expect(found.hits / found.wanted).toBeGreaterThanOrEqual(0.95);
    for (const each of [native, flat]) {
      expect(each.index.labelCount).toBeLessThanOrEqual(701);
      for (const [id, label] of each.labels) {
        expect([each.index.labelOf(id), each.index.idOf(label)]).toEqual([label, id]);
      }
      expect([each.index.labelOf('nobody'), each.index.idOf(each.index.labelCount)]).toEqual([-1, null]);
    }
    native.index.destroy();
  });

  test('a search as wide as its distances allow falls back to the scan, and says so', () => {
    const { index, labels } = new Labelled(createNativeEngine({ graphThreshold: 200 }));
    const make = clusteredVectors(new Prng(4), options.dimension);
    for (let i = 0; i < 2_000; i++) labels.set(`p${i}`, index.put(`p${i}`, 1, make()));
    while (index.link(10_000) > 0);
    const allowed = setOf([...labels.values()].slice(0, 1_000), true);
    for (const strategy of ['walk', 'twoHop'] as const) {
      const free = index.search(make(), 10, { allowed, strategy });
      expect([free.strategy, free.fellBack, free.ids.length]).toEqual([strategy, false, 10]);
      const tight = index.search(make(), 10, { allowed, strategy, distancesMax: 20 });
      expect([tight.strategy, tight.fellBack, tight.ids.length]).toEqual(['scan', true, 10]);
      expect(tight.visited).toBeGreaterThan(1_000);
    }
    index.destroy();
  });

  test('labels outside the index are passed over; wrong arguments are refused', () => {
    const { index } = new Labelled(createNativeEngine());
    const query = new Float32Array(options.dimension).fill(1);
    index.put('a', 1, query);
    const strange = { labels: Uint32Array.of(0, 5, 0xffffffff) };
    for (const exact of [index.exact(query, 3, strange), index.search(query, 3, { allowed: strange })]) {
      expect(exact.ids).toEqual(['a']);
    }
    expect(index.search(query, 3, { allowed: { words: new Uint32Array(1_000).fill(0xffffffff) } }).ids).toEqual(['a']);
    expect(index.search(query, 3, { allowed: { words: new Uint32Array(0) } }).ids).toEqual([]);
    const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    const wrong = { labels: [1] as unknown as Uint32Array };
    expect(() => index.search(query, 3, { allowed: wrong })).toThrow(refused);
    expect(() => index.search(query, 3, { distancesMax: -1 })).toThrow(refused);
    expect(() => index.search(query, 3, { strategy: 'guess' as 'scan' })).toThrow(refused);
    expect(() => index.idOf(-1)).toThrow(refused);
    index.destroy();
  });
});
