import { filterDepthMax } from '../base/limits';
import type * as proto from '../protocol/generated/vectron/v1/vectron';
import { clientError } from './errors';
import type { Condition, Filter, FilterValue } from './types';

/** The client's filters as messages of the public .proto. What is wrong with them the server says, but for what is too deep to be sent. */
export const filterMessage = (filter: Filter | undefined): proto.Filter | undefined =>
  filter === undefined ? undefined : groupOf(filter, filterDepthMax);

function groupOf(filter: Filter, depth: number): proto.Filter {
  if (depth === 0) {
    const message = `filter is nested more than ${filterDepthMax} levels deep`;
    throw clientError('INVALID_ARGUMENT', message, { field: 'filter' });
  }
  const { must = [], should = [], must_not: mustNot = [], min_should: minShould } = filter;
  const all = (conditions: readonly Condition[]): proto.Condition[] =>
    conditions.map((condition) => conditionOf(condition, depth - 1));
  return { must: all(must), should: all(should), mustNot: all(mustNot), minShould };
}

const conditionOf = (condition: Condition, depth: number): proto.Condition => ({
  key: 'key' in condition ? condition.key : '',
  test: testOf(condition, depth),
});

type Test = NonNullable<proto.Condition['test']>;

function testOf(condition: Condition, depth: number): Test | undefined {
  if ('match' in condition) return matchOf(condition.match);
  if ('range' in condition) return { $case: 'range', range: boundsOf(condition.range) };
  if ('datetime' in condition) return { $case: 'datetime', datetime: boundsOf(condition.datetime) };
  if ('values_count' in condition) return { $case: 'valuesCount', valuesCount: boundsOf(condition.values_count) };
  if ('is_empty' in condition) return { $case: 'isEmpty', isEmpty: condition.is_empty };
  if ('is_null' in condition) return { $case: 'isNull', isNull: condition.is_null };
  if ('has_id' in condition) return { $case: 'hasId', hasId: { ids: [...condition.has_id] } };
  if ('nested' in condition) {
    const { key, filter } = condition.nested;
    return { $case: 'nested', nested: { key, filter: groupOf(filter, depth) } };
  }
  return { $case: 'group', group: groupOf(condition, depth) };
}

function matchOf(match: Extract<Condition, { readonly match: unknown }>['match']): Test | undefined {
  if ('value' in match) return { $case: 'value', value: scalarOf(match.value) };
  if ('any' in match) return { $case: 'any', any: { values: match.any.map(scalarOf) } };
  if ('except' in match) return { $case: 'except', except: { values: match.except.map(scalarOf) } };
  if ('text' in match) return { $case: 'text', text: match.text };
  return { $case: 'prefix', prefix: match.prefix };
}

function scalarOf(value: FilterValue): proto.Value {
  if (typeof value === 'string') return { kind: { $case: 'text', text: value } };
  if (typeof value === 'number') return { kind: { $case: 'number', number: value } };
  return { kind: { $case: 'flag', flag: value } };
}

interface Bounds<T> {
  readonly gt?: T;
  readonly gte?: T;
  readonly lt?: T;
  readonly lte?: T;
}

const boundsOf = <T>({ gt, gte, lt, lte }: Bounds<T>) => ({ gt, gte, lt, lte });
