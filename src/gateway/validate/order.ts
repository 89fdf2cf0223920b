import { invalid } from '../../base/errors';
import type { Place } from '../../vector/order';
import type { ScrollOrder } from '../calls';
import { pointId } from './fields';
import { keyOf } from './filter';
import { fieldsOf } from './json';

const cursorForm = /^1\.([0-9a-f]{16})\.([\s\S]+)$/;
const scratch = new DataView(new ArrayBuffer(8));

/** As clients keep it: they must not look into it. */
export function cursorText({ value, id }: Place): string {
  scratch.setFloat64(0, value);
  return `1.${scratch.getBigUint64(0).toString(16).padStart(16, '0')}.${id}`;
}

/** Null: from the beginning. */
function cursorOf(value: unknown): Place | null {
  if (value === undefined || value === null || value === '') return null;
  const found = typeof value === 'string' ? cursorForm.exec(value) : null;
  if (found === null) throw invalid('after', 'is not the next of a page with this order');
  scratch.setBigUint64(0, BigInt(`0x${found[1]}`));
  const number = scratch.getFloat64(0);
  if (!Number.isFinite(number)) throw invalid('after', 'is not the next of a page with this order');
  return { value: number, id: pointId(found[2], 'after') };
}

/** Null: in the order of the hashes. */
export function orderOf(value: unknown, after: unknown, sliceCount: number): ScrollOrder | null {
  if (value === undefined || value === null) return null;
  const { key, direction = 'asc' } = fieldsOf(value, 'order_by', ['key', 'direction']);
  if (direction !== 'asc' && direction !== 'desc' && direction !== '')
    throw invalid('order_by.direction', 'must be asc or desc');
  if (sliceCount !== 1) throw invalid('slice_count', 'is not for a scroll with order_by');
  return { key: keyOf(key, 'order_by.key'), descending: direction === 'desc', after: cursorOf(after) };
}
