import { describe, expect, test } from '@jest/globals';
import { utf8 } from '../../src/base/bytes';
import { VectronError } from '../../src/base/errors';
import { filterClausesMax, filterDepthMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';
import { filterOf } from '../../src/gateway/validate/filter';
import { decode, encode } from '../../src/protocol/codec';
import { type Filter, filterCodec } from '../../src/protocol/filters';
import { matches, parseDatetime, parsedPayload } from '../../src/vector/filter-match';
import { randomFilter, randomPayload } from './random-filter';

const payload = {
  kind: 'red',
  n: 5,
  big: 2 ** 60,
  yes: true,
  text: 'The quick brown Fox, and others.',
  tags: ['a', 'b', 7],
  deep: { er: { value: 'x' } },
  at: '2024-05-31T12:00:00+02:00',
  day: '2024-05-31',
  nothing: null,
  empty: [],
  nulls: [null, null],
  mixed: [null, 1],
  parts: [
    { name: 'bolt', n: 3, sizes: [1, 2] },
    { name: 'nut', n: 9 },
  ],
  'a.b': 1,
  constructor_: 0,
};
const holds = (filter: object): boolean => {
  const parsed = filterOf(filter);
  if (parsed === null) throw new Error('unreachable: a filter was given');
  return matches(parsed, 'id-1', payload);
};
const at = (key: string, test: object): object => ({ key, ...test });
const is = (key: string, value: unknown): object => at(key, { match: { value } });

const yes: readonly [string, object][] = [
  ['a group of nothing', {}],
  ['text', is('kind', 'red')],
  ['a number', is('n', 5)],
  ['a flag', is('yes', true)],
  ['an element', is('tags', 'b')],
  ['an element of another type', is('tags', 7)],
  ['an object in objects', is('deep.er.value', 'x')],
  ['a field of the elements', is('parts.name', 'nut')],
  ['elements of elements', is('parts.sizes', 2)],
  ['any', at('kind', { match: { any: ['green', 'red'] } })],
  ['except', at('kind', { match: { except: ['green'] } })],
  ['except, of an array with something else', at('tags', { match: { except: ['a'] } })],
  ['words, in any order and case', at('text', { match: { text: 'fox QUICK' } })],
  ['a prefix', at('kind', { match: { prefix: 're' } })],
  ['a range', at('n', { range: { gte: 5, lt: 6 } })],
  ['a range of elements', at('parts.n', { range: { gt: 8 } })],
  ['a range over 2^53', at('big', { range: { gt: 2 ** 59 } })],
  ['a time, by its offset', at('at', { datetime: { gte: '2024-05-31T10:00:00Z', lte: '2024-05-31T10:00:00Z' } })],
  ['a day', at('day', { datetime: { gte: '2024-05-31', lt: '2024-05-31T00:00:01Z' } })],
  ['a count', at('tags', { values_count: { gte: 3, lte: 3 } })],
  ['a count of one', at('kind', { values_count: { lt: 2, gt: 0 } })],
  ['a count of what is missing', at('none', { values_count: { lt: 1 } })],
  ['a count without nulls', at('mixed', { values_count: { lte: 1, gte: 1 } })],
  ['empty: missing', at('none', { is_empty: true })],
  ['empty: null', at('nothing', { is_empty: true })],
  ['empty: no elements', at('empty', { is_empty: true })],
  ['empty: nulls only', at('nulls', { is_empty: true })],
  ['null', at('nothing', { is_null: true })],
  ['null among others', at('mixed', { is_null: true })],
  ['an id', { has_id: ['id-0', 'id-1'] }],
  ['nested: one part has both', { nested: { key: 'parts', filter: { must: [is('name', 'nut'), is('n', 9)] } } }],
  ['must', { must: [is('kind', 'red'), is('n', 5)] }],
  ['should: one of two', { should: [is('kind', 'green'), is('n', 5)] }],
  ['min_should', { should: [is('kind', 'red'), is('n', 5), is('n', 6)], min_should: 2 }],
  ['must_not', { must_not: [is('kind', 'green')] }],
  ['a group in a group', { must: [{ should: [{ must_not: [is('n', 6)] }] }] }],
];
const no: readonly [string, object][] = [
  ['other text', is('kind', 'Red')],
  ['text for a number', is('n', '5')],
  ['a number for a flag', is('yes', 1)],
  ['a key that is not there', is('none', 'x')],
  ['a key of the prototype', at('constructor', { match: { except: ['x'] } })],
  ['a key with a dot in its name', is('a.b', 1)],
  ['except, of nothing', at('none', { match: { except: ['x'] } })],
  ['except, of all there is', at('kind', { match: { except: ['red'] } })],
  ['half a word', at('text', { match: { text: 'qui' } })],
  ['one word that is not there', at('text', { match: { text: 'quick dog' } })],
  ['a prefix from the middle', at('kind', { match: { prefix: 'ed' } })],
  ['a range of text', at('kind', { range: { gte: 0 } })],
  ['a range without its end', at('n', { range: { gt: 5 } })],
  ['a time that is not one', at('kind', { datetime: { gt: '1970-01-01' } })],
  ['a time too late', at('at', { datetime: { gt: '2024-05-31T10:00:00Z' } })],
  ['empty, of something', at('mixed', { is_empty: true })],
  ['null, of what is missing', at('none', { is_null: true })],
  ['another id', { has_id: ['id-2'] }],
  ['nested: two parts have one each', { nested: { key: 'parts', filter: { must: [is('name', 'nut'), is('n', 3)] } } }],
  ['nested in what is no object', { nested: { key: 'tags', filter: {} } }],
  ['should: none', { should: [is('kind', 'green'), is('n', 6)] }],
  ['min_should missed', { should: [is('kind', 'red'), is('n', 6)], min_should: 2 }],
  ['must_not', { must_not: [is('kind', 'green'), is('n', 5)] }],
];

describe('a filter', () => {
  test.each(yes)('holds: %s', (_what, filter) => expect(holds(filter)).toBe(true));
  test.each(no)('does not hold: %s', (_what, filter) => expect(holds(filter)).toBe(false));

  test('of a point without payload sees no values', () => {
    const none = parsedPayload(new Uint8Array(0));
    expect(matches({ kind: 'isEmpty', key: 'kind' }, 'x', none)).toBe(true);
    expect(matches({ kind: 'any', key: 'kind', values: ['red'] }, 'x', none)).toBe(false);
    expect(parsedPayload(utf8('{"n":1}'))).toEqual({ n: 1 });
  });

  test.each(['2024-02-30', '2024-13-01', '2024-05-31T25:00:00Z', '2024-05-31T12:00:00', '2024', '1', 'x2024-05-31'])(
    '%s is no time',
    (text) => expect(parseDatetime(text)).toBeNull(),
  );

  test('a leap day is a day in leap years only', () => {
    expect(parseDatetime('2024-02-29')).toBe(Date.UTC(2024, 1, 29));
    expect(parseDatetime('2023-02-29')).toBeNull();
  });
});

describe('the bytes of a filter', () => {
  test.each([1, 2, 3])('are read back as what was written, and mean the same (seed %i)', (seed) => {
    const random = new Prng(seed);
    let held = 0;
    for (let round = 0; round < 400; round++) {
      const filter = randomFilter(random);
      const back = decode(filterCodec, encode(filterCodec, filter));
      expect(back).toEqual(filter);
      const point = randomPayload(random);
      if (matches(back, 'p1', point)) held++;
    }
    // Neither always nor never, else nothing was shown.
    expect(held).toBeGreaterThan(40);
    expect(held).toBeLessThan(360);
  });

  const corrupt = (bytes: Uint8Array): string => {
    try {
      decode(filterCodec, bytes);
      return 'read';
    } catch (thrown) {
      return thrown instanceof VectronError ? thrown.code : String(thrown);
    }
  };

  test('too deep, too many, cut off or changed are CORRUPT and never more', () => {
    let deep: Filter = { kind: 'isEmpty', key: 'x' };
    for (let level = 0; level < filterDepthMax; level++) {
      deep = { kind: 'group', must: [deep], should: [], mustNot: [], minShould: 0 };
    }
    expect(corrupt(encode(filterCodec, deep))).toBe('CORRUPT');
    const many = Array.from({ length: filterClausesMax }, () => ({ kind: 'isEmpty' as const, key: 'x' }));
    const wide: Filter = { kind: 'group', must: many, should: [], mustNot: [], minShould: 0 };
    expect(corrupt(encode(filterCodec, wide))).toBe('CORRUPT');
    expect(corrupt(new Uint8Array(100_000))).toBe('CORRUPT');
    expect(corrupt(new Uint8Array(100_000).fill(1))).toBe('CORRUPT');
    const random = new Prng(9);
    for (let round = 0; round < 300; round++) {
      const bytes = encode(filterCodec, randomFilter(random));
      if (bytes.length > 1) expect(corrupt(bytes.subarray(0, random.between(0, bytes.length - 1)))).toBe('CORRUPT');
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
      expect(['read', 'CORRUPT']).toContain(corrupt(bytes));
    }
  });
});
