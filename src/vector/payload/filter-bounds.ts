import type { Filter, FilterGroup } from '../../protocol/filters';
import { Bits } from './bits';
import { inAtLeast } from './counting';
import type { Between, FieldIndex } from './field-index';
import { exactly } from './presence';

/** What a filter is evaluated by. Its sets are not changed. */
export interface Indexed {
  /** The slots of all points. */
  readonly all: Bits;
  field(key: string): FieldIndex | undefined;
  /** -1: there is no such point. */
  slotOf(id: string): number;
}

/**
 * The points that pass a filter, as far as payload indexes know: at least `lower`, at most `upper`. Where the two are one
 * set it is the exact answer; what is between them must be looked at (filter-match.ts says what is right).
 */
export function filterBetween(indexed: Indexed, filter: Filter): Between {
  const { all } = indexed;
  switch (filter.kind) {
    case 'group':
      return ofGroup(indexed, filter);
    case 'nested':
      return { lower: new Bits(), upper: ofNested(indexed, filter.key, filter.filter) };
    case 'hasId':
      return exactly(ofIds(indexed, filter.ids));
    default:
      return indexed.field(filter.key)?.between(filter, all) ?? unknown(all);
  }
}

export const isExact = ({ lower, upper }: Between): boolean => lower === upper || lower.count() === upper.count();

/** Nothing is known. */
const unknown = (all: Bits): Between => ({ lower: new Bits(), upper: all });

function ofIds(indexed: Indexed, ids: readonly string[]): Bits {
  const found = new Bits();
  for (const id of ids) {
    const slot = indexed.slotOf(id);
    if (slot >= 0 && indexed.all.has(slot)) found.add(slot);
  }
  return found;
}

function ofGroup(indexed: Indexed, { must, should, mustNot, minShould }: FilterGroup): Between {
  const { all } = indexed;
  const parts = must.map((one) => filterBetween(indexed, one));
  for (const one of mustNot) parts.push(opposite(filterBetween(indexed, one), all));
  if (minShould > 0) {
    parts.push(
      atLeast(
        should.map((one) => filterBetween(indexed, one)),
        minShould,
        all,
      ),
    );
  }
  return allOf(parts, all);
}

function allOf(parts: readonly Between[], all: Bits): Between {
  const [first] = parts;
  if (first === undefined) return exactly(all);
  if (parts.length === 1) return first;
  return both(parts, (sets) => {
    const found = all.clone();
    for (const set of sets) found.and(set);
    return found;
  });
}

const opposite = (part: Between, all: Bits): Between => {
  const lower = all.clone().andNot(part.upper);
  return part.lower === part.upper ? exactly(lower) : { lower, upper: all.clone().andNot(part.lower) };
};

function atLeast(parts: readonly Between[], countMin: number, all: Bits): Between {
  return both(parts, (sets) => inAtLeast(sets, countMin).and(all));
}

/** The same of all lower and of all upper sets: right for what only grows with its parts. Once, where they are the same. */
function both(parts: readonly Between[], combine: (sets: readonly Bits[]) => Bits): Between {
  const lower = combine(parts.map((part) => part.lower));
  if (parts.every((part) => part.lower === part.upper)) return exactly(lower);
  return { lower, upper: combine(parts.map((part) => part.upper)) };
}

/**
 * A superset of the points where some object at `prefix` passes. A test that asks for some value there asks for one at the
 * whole key of the point; of others nothing can be said.
 */
function ofNested(indexed: Indexed, prefix: string, filter: Filter): Bits {
  const { all } = indexed;
  switch (filter.kind) {
    case 'group': {
      const found = all.clone();
      for (const one of filter.must) found.and(ofNested(indexed, prefix, one));
      if (filter.minShould === 0) return found;
      const any = new Bits();
      for (const one of filter.should) any.or(ofNested(indexed, prefix, one));
      return found.and(any);
    }
    case 'nested':
      return ofNested(indexed, `${prefix}.${filter.key}`, filter.filter);
    case 'hasId':
      return ofIds(indexed, filter.ids);
    case 'isEmpty':
    case 'valuesCount':
      return all;
    default: {
      const key = `${prefix}.${filter.key}`;
      return indexed.field(key)?.between({ ...filter, key }, all)?.upper ?? all;
    }
  }
}

/** The share of all points that is likely to pass, by counts alone: each part as if it had nothing to do with the others. */
export function estimateShare(indexed: Indexed, filter: Filter, count: number): number {
  const share = (one: Filter): number => estimateShare(indexed, one, count);
  if (count === 0) return 0;
  switch (filter.kind) {
    case 'group': {
      const must = filter.must.reduce((product, one) => product * share(one), 1);
      const none = filter.mustNot.reduce((product, one) => product * (1 - share(one)), 1);
      const missing = filter.should.reduce((product, one) => product * (1 - share(one)), 1);
      return must * none * (filter.minShould === 0 ? 1 : 1 - missing);
    }
    case 'nested':
      return 0.5;
    case 'hasId':
      return Math.min(1, filter.ids.length / count);
    default:
      return Math.min(1, (indexed.field(filter.key)?.estimate(filter) ?? count / 2) / count);
  }
}
