import { invalid } from '../../base/errors';
import { filterDepthMax } from '../../base/limits';
import type * as proto from '../../protocol/generated/vectron/v1/vectron';

/**
 * A filter of the public .proto in its JSON form, so that one set of rules checks both (see filter.ts) and an error names
 * the same place. What is deeper than those rules allow is refused here, before it could exhaust the stack.
 */
export const filterAsJson = (filter: proto.Filter | undefined): unknown =>
  filter === undefined ? undefined : group(filter, 'filter', filterDepthMax);

function group({ must, should, mustNot, minShould }: proto.Filter, at: string, depth: number): object {
  if (depth === 0) throw invalid(at, `is nested more than ${filterDepthMax} levels deep`);
  const all = (conditions: readonly proto.Condition[], name: string): object[] =>
    conditions.map((one, i) => condition(one, `${at}.${name}[${i}]`, depth - 1));
  const [mustAll, shouldAll, mustNotAll] = [all(must, 'must'), all(should, 'should'), all(mustNot, 'must_not')];
  return { must: mustAll, should: shouldAll, must_not: mustNotAll, min_should: minShould };
}

function condition({ key, test }: proto.Condition, at: string, depth: number): object {
  const keyed = key === '' ? {} : { key };
  switch (test?.$case) {
    case undefined:
      throw invalid(at, 'has no test');
    case 'group':
      return { ...keyed, ...group(test.group, at, depth) };
    case 'nested': {
      const { key: nestedKey, filter = emptyGroup } = test.nested;
      return { ...keyed, nested: { key: nestedKey, filter: group(filter, `${at}.nested.filter`, depth) } };
    }
    case 'value':
      return { ...keyed, match: { value: scalarOf(test.value) } };
    case 'any':
      return { ...keyed, match: { any: test.any.values.map(scalarOf) } };
    case 'except':
      return { ...keyed, match: { except: test.except.values.map(scalarOf) } };
    case 'text':
      return { ...keyed, match: { text: test.text } };
    case 'prefix':
      return { ...keyed, match: { prefix: test.prefix } };
    case 'range':
      return { ...keyed, range: { ...test.range } };
    case 'datetime':
      return { ...keyed, datetime: { ...test.datetime } };
    case 'valuesCount':
      return { ...keyed, values_count: { ...test.valuesCount } };
    case 'isEmpty':
      return { ...keyed, is_empty: test.isEmpty };
    case 'isNull':
      return { ...keyed, is_null: test.isNull };
    case 'hasId':
      return { ...keyed, has_id: test.hasId.ids };
  }
}

const emptyGroup: proto.Filter = { must: [], should: [], mustNot: [], minShould: undefined };

function scalarOf({ kind }: proto.Value): unknown {
  if (kind?.$case === 'text') return kind.text;
  if (kind?.$case === 'number') return kind.number;
  return kind?.flag;
}
