import { beforeEach, describe, expect, test } from '@jest/globals';
import { utf8 } from '../../src/base/bytes';
import { filterDepthMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';
import type { CallOf } from '../../src/gateway/calls';
import { filterOf } from '../../src/gateway/validate/filter';
import { orderOf } from '../../src/gateway/validate/order';
import { type Point, plainWrite } from '../../src/protocol/commands';
import type { Filter } from '../../src/protocol/filters';
import { matches, parsedPayload, valuesAt } from '../../src/vector/filter-match';
import { randomFilter, randomPayload } from '../vector/random-filter';
import { dial, errorOf, search } from './calls';
import { FakeCluster, type FakeShard, rank, testHash, vector } from './fake-cluster';

let cluster: FakeCluster;
let shards: FakeShard[];
let points: Point[];
const random = new Prng(3);

const count = (filter: Filter | null): CallOf<'count'> => ({
  ...{ kind: 'count', collection: 'things', filter, ...dial },
  level: 'linearizable',
});
const scroll = (fields: Partial<CallOf<'scroll'>> = {}): CallOf<'scroll'> => ({
  ...{ kind: 'scroll', collection: 'things', filter: null, afterId: '', limit: 7, ...dial },
  ...{ slice: { index: 0, count: 1 }, order: null, level: 'linearizable' },
  ...fields,
});
const matching = (filter: Filter | null): Point[] =>
  points.filter(({ id, payload }) => filter === null || matches(filter, id, parsedPayload(payload)));

function scrolled(fields: Partial<CallOf<'scroll'>> = {}): string[] {
  const seen: string[] = [];
  for (let afterId = ''; ; ) {
    const page = cluster.answer(scroll({ ...fields, afterId }));
    seen.push(...page.points.map(({ id }) => id));
    if (page.next === null) return seen;
    afterId = page.next;
  }
}

beforeEach(() => {
  cluster = new FakeCluster();
  shards = cluster.addCollection('things', 4);
  points = Array.from({ length: 120 }, (_, i) => ({
    id: `p${i}`,
    vector: vector(random.gaussian(), random.gaussian()),
    payload: utf8(JSON.stringify(randomPayload(random))),
  }));
  cluster.answer({ kind: 'upsert', collection: 'things', points, options: plainWrite });
});

describe('filters over several shards', () => {
  test('a search gives min(k, matches), the best of all shards, and says what it looked at', () => {
    for (let round = 0; round < 40; round++) {
      const filter = randomFilter(random);
      const query = vector(random.gaussian(), random.gaussian());
      const k = random.pick([1, 10, 500]);
      const { hits, shards: stats } = cluster.answer(search({ filter, k, vector: query }));
      const wanted = matching(filter);
      expect(hits.map(({ id }) => id)).toEqual(rank(wanted, query, k).map(({ id }) => id));
      const sum = (of: 'matches' | 'visited'): number => stats.reduce((all, one) => all + (one.filtered?.[of] ?? 0), 0);
      expect([sum('matches'), sum('visited')]).toEqual([wanted.length, 120]);
      expect(cluster.answer(count(filter)).count).toBe(wanted.length);
    }
  });

  test('a lowest score leaves out what is below it, with a filter and without', () => {
    const [best, second] = cluster.answer(search({ k: 2 })).hits;
    const minScore = second?.score ?? 0;
    for (const filter of [null, filterOf({})]) {
      const { hits } = cluster.answer(search({ k: 100, minScore, filter }));
      expect(hits.map(({ id }) => id)).toEqual([best?.id, second?.id]);
    }
  });

  test('a scroll gives every match once, in the order of the hashes, whatever the limit', () => {
    for (const limit of [1, 7, 120, 1_000]) {
      const filter = random.chance(0.5) ? null : randomFilter(random);
      const wanted = matching(filter).map(({ id }) => id);
      wanted.sort((a, b) => (testHash(a) < testHash(b) ? -1 : 1));
      expect(scrolled({ limit, filter })).toEqual(wanted);
    }
  });

  test.each([1, 2, 3, 7, 64])('%i slices are disjoint and together everything', (slices) => {
    const parts = Array.from({ length: slices }, (_, index) => scrolled({ slice: { index, count: slices } }));
    expect(parts.flat().length).toBe(120);
    expect(new Set(parts.flat()).size).toBe(120);
  });

  test('a shard that is cut in two while a scroll is under way changes nothing', () => {
    const first = cluster.answer(scroll({ limit: 50 }));
    for (const shard of shards) cluster.split(shard);
    const rest = scrolledFrom(first.next ?? '');
    expect(new Set([...first.points.map(({ id }) => id), ...rest]).size).toBe(120);
    expect(first.points.length + rest.length).toBe(120);
  });

  const scrolledFrom = (next: string): string[] => {
    const page = cluster.answer(scroll({ afterId: next, limit: 1_000 }));
    expect(page.next).toBeNull();
    return page.points.map(({ id }) => id);
  };

  test('without an answer of every shard there is no count', () => {
    const silent = shards[1]?.record.id;
    cluster.loses = (message) => message.kind === 'data.select' && message.shard === silent;
    expect(errorOf(cluster.outcome(count(null), 600)).code).toBe('DEADLINE_EXCEEDED');
    expect(errorOf(cluster.outcome(scroll({ limit: 1_000 }), 600)).code).toBe('DEADLINE_EXCEEDED');
  });
});

describe('a scroll in the order of values', () => {
  const inOrder = (key: string, descending: boolean, filter: Filter | null): string[] => {
    const placed = matching(filter).flatMap(({ id, payload }) => {
      const numbers = valuesAt(parsedPayload(payload), key).filter((value) => typeof value === 'number');
      return numbers.length === 0 ? [] : [{ id, value: descending ? Math.max(...numbers) : Math.min(...numbers) }];
    });
    placed.sort((a, b) => (descending ? b.value - a.value : a.value - b.value) || (a.id < b.id ? -1 : 1));
    return placed.map(({ id }) => id);
  };

  /** Through the text of the cursor, as clients have it. */
  function ordered(key: string, direction: string, filter: Filter | null, limit: number): string[] {
    const seen: string[] = [];
    for (let after: string | undefined; ; ) {
      const order = orderOf({ key, direction }, after, 1);
      const page = cluster.answer(scroll({ filter, limit, order }));
      expect(page.points.length).toBeLessThanOrEqual(limit);
      seen.push(...page.points.map(({ id }) => id));
      if (page.next === null) return seen;
      after = page.next;
    }
  }

  test('merges the shards, up and down, whatever the limit; points without a value are left out', () => {
    for (const key of ['n', 'parts.n', 'none']) {
      for (const limit of [1, 7, 1_000]) {
        const filter = random.chance(0.5) ? null : randomFilter(random);
        expect(ordered(key, 'asc', filter, limit)).toEqual(inOrder(key, false, filter));
        expect(ordered(key, 'desc', filter, limit)).toEqual(inOrder(key, true, filter));
      }
    }
  });

  test('goes on where it was when shards are cut in two', () => {
    const order = orderOf({ key: 'n' }, undefined, 1);
    const first = cluster.answer(scroll({ limit: 30, order }));
    for (const shard of shards) cluster.split(shard);
    const rest = cluster.answer(scroll({ limit: 1_000, order: orderOf({ key: 'n' }, first.next, 1) }));
    expect([...first.points, ...rest.points].map(({ id }) => id)).toEqual(inOrder('n', false, null));
    expect(rest.next).toBeNull();
  });

  test('a page that is large ends early, and loses nothing', () => {
    const payload = (n: number): Uint8Array => utf8(JSON.stringify({ n, long: 'x'.repeat(900_000) }));
    const large = Array.from({ length: 12 }, (_, i) => ({
      id: `large${i}`,
      vector: vector(1, 1),
      payload: payload(i),
    }));
    cluster.answer({ kind: 'upsert', collection: 'things', points: large, options: plainWrite });
    points.push(...large);
    expect(ordered('n', 'desc', null, 1_000)).toEqual(inOrder('n', true, null));
  });
});

describe('a batch of searches', () => {
  const batch = (searches: readonly CallOf<'search'>[], timeouts: readonly number[] = []): CallOf<'searchBatch'> => ({
    ...{ kind: 'searchBatch', collection: 'things' },
    searches: searches.map((call, i) => ({ call, timeoutMs: timeouts[i] ?? 0, explain: false })),
  });

  test('gives what each search gives alone, in their order, however many there are', () => {
    const searches = Array.from({ length: 100 }, () =>
      search({
        ...{ vector: vector(random.gaussian(), random.gaussian()), k: random.between(1, 9) },
        filter: random.chance(0.5) ? null : randomFilter(random),
      }),
    );
    const { outcomes } = cluster.answer(batch(searches));
    const alone = searches.map((one) => cluster.answer(one).hits);
    expect(outcomes.map((outcome) => (outcome.ok ? outcome.answer.hits : outcome.error))).toEqual(alone);
  });

  test('a search that fails, or whose own time is over, hides no other', () => {
    const silent = shards[1]?.record.id;
    cluster.loses = (message) => message.kind === 'data.query' && message.shard === silent;
    const searches = [search(), search({ filter: filterOf({}) }), search({ vector: vector(1) }), search()];
    const { outcomes } = cluster.answer(batch(searches, [0, 300, 0, 0]));
    const said = outcomes.map((outcome) => (outcome.ok ? outcome.answer.hits.length : outcome.error.code));
    expect(said).toEqual([10, 'DEADLINE_EXCEEDED', 'INVALID_ARGUMENT', 10]);
    const unknown = cluster.outcome({ ...batch([search()]), collection: 'none' }, 600);
    expect(errorOf(unknown)).toMatchObject({ code: 'NOT_FOUND', field: 'collection' });
  });
});

describe('a filter that cannot be', () => {
  const is = { key: 'k', match: { value: 1 } };
  const deep = (levels: number): object => (levels === 0 ? is : { must: [deep(levels - 1)] });
  const many = (length: number): object[] => Array.from({ length }, () => is);
  const range = (bounds: object): object => ({ must: [{ key: 'k', range: bounds }] });
  const cases: readonly [string, unknown, string][] = [
    ['a list', [], 'filter'],
    ['text', 'x', 'filter'],
    ['an unknown field', { must: [{ key: 'k', equals: 1 }] }, 'filter.must[0].equals'],
    ['no test', { must: [is, { key: 'k' }] }, 'filter.must[1]'],
    ['two tests', { must: [{ ...is, is_null: true }] }, 'filter.must[0]'],
    ['a test and a group', { ...is, must: [] }, 'filter'],
    ['no key', { should: [{ match: { value: 1 } }] }, 'filter.should[0].key'],
    ['an empty name', { must: [{ key: 'a..b', is_null: true }] }, 'filter.must[0].key'],
    ['a key too long', { must: [{ key: 'k'.repeat(1_025), is_null: true }] }, 'filter.must[0].key'],
    ['must that is no list', { must: is }, 'filter.must'],
    ['a match of nothing', { must: [{ key: 'k', match: {} }] }, 'filter.must[0].match'],
    ['two matches', { must: [{ key: 'k', match: { value: 1, text: 'x' } }] }, 'filter.must[0].match'],
    ['a null', { must: [{ key: 'k', match: { value: null } }] }, 'filter.must[0].match.value'],
    ['an object', { must: [{ key: 'k', match: { any: [1, {}] } }] }, 'filter.must[0].match.any[1]'],
    ['none of any', { must: [{ key: 'k', match: { any: [] } }] }, 'filter.must[0].match.any'],
    ['words without a letter', { must: [{ key: 'k', match: { text: '-!' } }] }, 'filter.must[0].match.text'],
    ['a range of nothing', range({}), 'filter.must[0].range'],
    ['a range of text', range({ gte: '1' }), 'filter.must[0].range.gte'],
    ['a range without end', range({ lt: Number.POSITIVE_INFINITY }), 'filter.must[0].range.lt'],
    ['no time', { must: [{ key: 'k', datetime: { gt: 'today' } }] }, 'filter.must[0].datetime.gt'],
    ['no such day', { must: [{ key: 'k', datetime: { gt: '2024-02-30' } }] }, 'filter.must[0].datetime.gt'],
    ['is_empty: false', { must: [{ key: 'k', is_empty: false }] }, 'filter.must[0].is_empty'],
    ['no ids', { must: [{ has_id: [] }] }, 'filter.must[0].has_id'],
    ['an empty id', { must: [{ has_id: ['a', ''] }] }, 'filter.must[0].has_id[1]'],
    ['min_should above should', { should: [is], min_should: 2 }, 'filter.min_should'],
    ['min_should without should', { min_should: 1 }, 'filter.min_should'],
    ['nested without a filter', { must: [{ nested: { key: 'k' } }] }, 'filter.must[0].nested.filter'],
    ['too many clauses', { must: many(512) }, 'filter.must[511]'],
    [
      'too many values',
      { must: [{ key: 'k', match: { any: many(4_097).map(() => 1) } }] },
      'filter.must[0].match.any[4096]',
    ],
    ['too deep', deep(filterDepthMax), `filter${'.must[0]'.repeat(filterDepthMax)}`],
  ];
  test.each(cases)('%s names the place', (_what, filter, field) => {
    let thrown: unknown = null;
    try {
      filterOf(filter);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'INVALID_ARGUMENT', field });
  });

  test('what is just within the limits is taken', () => {
    expect(filterOf(deep(filterDepthMax - 1))).not.toBeNull();
    expect(filterOf({ must: many(511) })).not.toBeNull();
  });
});
