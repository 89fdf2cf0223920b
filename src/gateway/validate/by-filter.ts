import { fromUtf8 } from '../../base/bytes';
import { invalid } from '../../base/errors';
import type { Filter } from '../../protocol/filters';
import type { PayloadChange } from '../calls';
import * as check from './fields';
import { filterOf } from './filter';

const removedMax = 256;

/** Nobody deletes everything by forgetting a field: that takes the empty filter. */
export function neededFilter(value: unknown): Filter {
  const filter = filterOf(value);
  if (filter === null) throw invalid('filter', 'is missing; the empty filter means every point');
  return filter;
}

/** `set` as it came: an object, or JSON in UTF-8. */
export function payloadChange(set: unknown, remove: unknown, replace: unknown): PayloadChange {
  const bytes = set instanceof Uint8Array ? check.payloadBytes(set, 'set') : check.payloadObject(set, 'set');
  const change = {
    set: bytes.length === 0 ? {} : (JSON.parse(fromUtf8(bytes)) as Record<string, unknown>),
    remove: removedKeys(remove),
    replace: check.flag(replace, 'replace', false),
  };
  if (bytes.length > 0 || change.remove.length > 0 || change.replace) return change;
  throw invalid('set', 'is missing, and nothing is to be removed or replaced');
}

function removedKeys(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid('remove', 'must be a list of names');
  if (value.length > removedMax) throw invalid('remove', `has ${value.length} elements, the limit is ${removedMax}`);
  return value.map((name: unknown, i) => {
    if (typeof name === 'string') return name;
    throw invalid(`remove[${i}]`, 'must be text');
  });
}
