import type { Prng } from '../../src/base/prng';
import type { Bounds, Filter, Scalar } from '../../src/protocol/filters';

const keys = ['kind', 'n', 'tags', 'at', 'maybe', 'parts.name', 'parts.n', 'none'];
const kinds = ['red', 'green', 'Blue sky', 'blue', '1', ''];

const scalar = (random: Prng): Scalar => random.pick<Scalar>([...kinds, 0, 1, 5, -2.5, true, false]);
const day = (random: Prng): string => `2024-0${random.between(1, 9)}-1${random.between(0, 9)}`;
const few = <T>(random: Prng, low: number, high: number, make: () => T): T[] =>
  Array.from({ length: random.between(low, high) }, make);

/** A payload with every shape that filters speak of; now and then none of them. */
export function randomPayload(random: Prng): Record<string, unknown> {
  const maybe = (name: string, value: unknown): object => (random.chance(0.8) ? { [name]: value } : {});
  return {
    ...maybe('kind', random.pick(kinds)),
    ...maybe('n', random.between(-3, 6)),
    ...maybe(
      'tags',
      few(random, 0, 3, () => scalar(random)),
    ),
    ...maybe('at', random.chance(0.5) ? day(random) : `${day(random)}T10:00:00+02:00`),
    ...maybe('maybe', random.pick<unknown>([null, [], [null], [[1]], {}, 'yes'])),
    ...maybe(
      'parts',
      few(random, 0, 2, () => ({ name: random.pick(kinds), n: random.between(0, 5) })),
    ),
  };
}

function boundsOf(random: Prng, make: () => number): Bounds {
  const bound = (): number | null => (random.chance(0.4) ? make() : null);
  const some = { gt: bound(), gte: bound(), lt: bound(), lte: bound() };
  return Object.values(some).some((one) => one !== null) ? some : { ...some, gte: make() };
}

export function randomFilter(random: Prng, depth = 3): Filter {
  const key = random.pick(keys);
  const number = (): number => random.between(-3, 6);
  const clauses = (): Filter[] => few(random, 0, 2, () => randomFilter(random, depth - 1));
  switch (random.between(depth > 0 ? 0 : 2, 11)) {
    case 0: {
      const should = clauses();
      const minShould = should.length === 0 ? 0 : random.between(1, should.length);
      return { kind: 'group', must: clauses(), should, mustNot: clauses(), minShould };
    }
    case 1:
      return { kind: 'nested', key: random.pick(['parts', 'tags']), filter: randomFilter(random, depth - 1) };
    case 2:
      return { kind: 'except', key, values: few(random, 1, 3, () => scalar(random)) };
    case 3:
      return { kind: 'text', key, text: random.pick(['blue', 'SKY blue', '1']) };
    case 4:
      return { kind: 'prefix', key, text: random.pick(['b', 'B', 'gre']) };
    case 5:
      return { kind: 'range', key, bounds: boundsOf(random, number) };
    case 6:
      return { kind: 'datetime', key: 'at', bounds: boundsOf(random, () => Date.parse(day(random))) };
    case 7:
      return { kind: 'valuesCount', key, bounds: boundsOf(random, () => random.between(0, 3)) };
    case 8:
      return { kind: 'isEmpty', key };
    case 9:
      return { kind: 'isNull', key };
    case 10:
      return { kind: 'hasId', ids: few(random, 1, 9, () => `p${random.between(0, 40)}`) };
    default:
      return { kind: 'any', key, values: few(random, 1, 3, () => scalar(random)) };
  }
}
