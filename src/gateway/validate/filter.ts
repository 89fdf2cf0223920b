import { utf8 } from '../../base/bytes';
import { invalid } from '../../base/errors';
import { filterClausesMax, filterDepthMax, filterTextBytesMax, filterValuesMax } from '../../base/limits';
import type { Bounds, Filter, FilterGroup, Scalar } from '../../protocol/filters';
import { parseDatetime, wordsOf } from '../../vector/filter-match';
import { pointId } from './fields';
import { fieldsOf } from './json';

/** What is left of a filter's limits while it is read. */
interface Budget {
  depth: number;
  clauses: number;
  values: number;
}

type Fields = Readonly<Record<string, unknown>>;

const groupFields = ['must', 'should', 'must_not', 'min_should'];
const tests = ['match', 'range', 'datetime', 'values_count', 'is_empty', 'is_null'];
const matchForms = ['value', 'any', 'except', 'text', 'prefix'];
const clauseFields = [...groupFields, 'key', ...tests, 'has_id', 'nested'];

/** The JSON form of a filter (docs/filters.md). Absent: none. Throws INVALID_ARGUMENT naming the place: `filter.must[2].range.gte`. */
export function filterOf(value: unknown, field = 'filter'): Filter | null {
  if (value === undefined || value === null) return null;
  return clause(value, field, { depth: filterDepthMax, clauses: filterClausesMax, values: filterValuesMax });
}

function clause(value: unknown, at: string, budget: Budget): Filter {
  const fields = fieldsOf(value, at, clauseFields);
  if (budget.depth === 0) throw invalid(at, `is nested more than ${filterDepthMax} levels deep`);
  if (budget.clauses-- === 0) throw invalid(at, `is one of more than ${filterClausesMax} clauses`);
  budget.depth--;
  const filter = clauseBy(fields, at, budget);
  budget.depth++;
  return filter;
}

function clauseBy(fields: Fields, at: string, budget: Budget): Filter {
  const given = [...tests, 'has_id', 'nested'].filter((name) => fields[name] !== undefined);
  const [form] = given;
  const isGroup = groupFields.some((name) => fields[name] !== undefined);
  if (given.length > 1 || (isGroup && form !== undefined)) throw invalid(at, 'tests more than one thing; use must');
  if (form === undefined) {
    if (fields['key'] !== undefined) throw invalid(at, `has a key but none of ${tests.join(', ')}`);
    return group(fields, at, budget);
  }
  if (form === 'has_id' || form === 'nested') {
    if (fields['key'] !== undefined) throw invalid(`${at}.key`, `is not for ${form}`);
    return form === 'has_id'
      ? hasId(fields[form], `${at}.has_id`, budget)
      : nested(fields[form], `${at}.nested`, budget);
  }
  return test(form, keyOf(fields['key'], `${at}.key`), fields[form], `${at}.${form}`, budget);
}

function group(fields: Fields, at: string, budget: Budget): FilterGroup {
  const clauses = (name: string): readonly Filter[] => {
    const list = fields[name] ?? [];
    if (!Array.isArray(list)) throw invalid(`${at}.${name}`, 'must be a list of conditions');
    return list.map((item: unknown, i) => clause(item, `${at}.${name}[${i}]`, budget));
  };
  const [must, should, mustNot] = [clauses('must'), clauses('should'), clauses('must_not')];
  const asked = fields['min_should'];
  if (asked === undefined || asked === null) {
    return { kind: 'group', must, should, mustNot, minShould: Math.min(1, should.length) };
  }
  const isRight = typeof asked === 'number' && Number.isInteger(asked) && asked >= 1 && asked <= should.length;
  if (!isRight) throw invalid(`${at}.min_should`, `must be a whole number from 1 to the ${should.length} of should`);
  return { kind: 'group', must, should, mustNot, minShould: asked };
}

function test(form: string, key: string, value: unknown, at: string, budget: Budget): Filter {
  switch (form) {
    case 'match':
      return match(key, value, at, budget);
    case 'range':
      return { kind: 'range', key, bounds: boundsOf(value, at, numberOf) };
    case 'datetime':
      return { kind: 'datetime', key, bounds: boundsOf(value, at, timeOf) };
    case 'values_count':
      return { kind: 'valuesCount', key, bounds: boundsOf(value, at, numberOf) };
    default:
      if (value !== true) throw invalid(at, 'must be true; put it under must_not for the opposite');
      return form === 'is_empty' ? { kind: 'isEmpty', key } : { kind: 'isNull', key };
  }
}

function match(key: string, value: unknown, at: string, budget: Budget): Filter {
  const fields = fieldsOf(value, at, matchForms);
  const given = matchForms.filter((name) => fields[name] !== undefined);
  const [form] = given;
  if (form === undefined || given.length > 1) throw invalid(at, `must have exactly one of ${matchForms.join(', ')}`);
  const place = `${at}.${form}`;
  const asked = fields[form];
  if (form === 'value') return { kind: 'any', key, values: [scalar(asked, place, budget)] };
  if (form === 'any' || form === 'except') {
    if (!Array.isArray(asked) || asked.length === 0) throw invalid(place, 'must be a list of values that is not empty');
    return { kind: form, key, values: asked.map((item: unknown, i) => scalar(item, `${place}[${i}]`, budget)) };
  }
  const text = textOf(asked, place);
  if (form === 'text' && wordsOf(text).length === 0) throw invalid(place, 'has no letter or digit');
  return form === 'text' ? { kind: 'text', key, text } : { kind: 'prefix', key, text };
}

function hasId(value: unknown, at: string, budget: Budget): Filter {
  if (!Array.isArray(value) || value.length === 0) throw invalid(at, 'must be a list of ids that is not empty');
  const ids = value.map((id: unknown, i) => {
    spend(budget, `${at}[${i}]`);
    return pointId(id, `${at}[${i}]`);
  });
  return { kind: 'hasId', ids };
}

function nested(value: unknown, at: string, budget: Budget): Filter {
  const fields = fieldsOf(value, at, ['key', 'filter']);
  const filter = clause(fields['filter'], `${at}.filter`, budget);
  return { kind: 'nested', key: keyOf(fields['key'], `${at}.key`), filter };
}

function boundsOf(value: unknown, at: string, read: (value: unknown, at: string) => number): Bounds {
  const fields = fieldsOf(value, at, ['gt', 'gte', 'lt', 'lte']);
  const bound = (name: string): number | null => {
    const asked = fields[name];
    return asked === undefined || asked === null ? null : read(asked, `${at}.${name}`);
  };
  const bounds = { gt: bound('gt'), gte: bound('gte'), lt: bound('lt'), lte: bound('lte') };
  if (Object.values(bounds).every((one) => one === null)) throw invalid(at, 'must have one of gt, gte, lt, lte');
  return bounds;
}

function numberOf(value: unknown, at: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw invalid(at, 'must be a number');
}

function timeOf(value: unknown, at: string): number {
  const timeMs = typeof value === 'string' ? parseDatetime(value) : null;
  if (timeMs !== null) return timeMs;
  throw invalid(at, 'must be a date or a time with its offset, such as 2024-05-31 or 2024-05-31T12:00:00Z');
}

function scalar(value: unknown, at: string, budget: Budget): Scalar {
  spend(budget, at);
  if (typeof value === 'boolean') return value;
  if (typeof value === 'number') return numberOf(value, at);
  if (typeof value === 'string') return limited(value, at);
  throw invalid(at, 'must be text, a number, true or false');
}

function spend(budget: Budget, at: string): void {
  if (budget.values-- === 0) throw invalid(at, `is one of more than ${filterValuesMax} values`);
}

/** A payload's key, its dots going into objects. */
export function keyOf(value: unknown, at: string): string {
  const key = textOf(value, at);
  if (key.split('.').includes('')) throw invalid(at, 'has an empty name between its dots');
  return key;
}

function textOf(value: unknown, at: string): string {
  if (typeof value === 'string' && value !== '') return limited(value, at);
  throw invalid(at, 'must be a string that is not empty');
}

function limited(value: string, at: string): string {
  const isLong = value.length > filterTextBytesMax || utf8(value).length > filterTextBytesMax;
  if (isLong) throw invalid(at, `is longer than ${filterTextBytesMax} bytes`);
  return value;
}
