import { fromUtf8 } from '../base/bytes';
import type { Bounds, Filter, FilterGroup, FilterTest, Scalar } from '../protocol/filters';

/**
 * What a filter means: the plain evaluator on one point's payload. Everything that answers filters faster is compared with it.
 *
 *  1. A key names values: its dots go into objects, and an array stands for each of its elements at every step. Null is
 *     no value.
 *  2. A test of a key holds if some one value passes it. `isEmpty` holds if there is no value at all; `valuesCount` looks at how many there
 *     are; `isNull` holds if there is a null.
 *  3. Nothing is converted: the text '1' is not the number 1.
 */
export function matches(filter: Filter, id: string, payload: unknown): boolean {
  if (filter.kind === 'group') return matchesGroup(filter, id, payload);
  if (filter.kind === 'nested') {
    return valuesAt(payload, filter.key).some((value) => isObject(value) && matches(filter.filter, id, value));
  }
  if (filter.kind === 'hasId') return filter.ids.includes(id);
  return matchesTest(filter, valuesAt(payload, filter.key));
}

/** A payload as the store has it. Empty: none, which has no values. */
export const parsedPayload = (bytes: Uint8Array): unknown =>
  bytes.length === 0 ? {} : (JSON.parse(fromUtf8(bytes)) as unknown);

function matchesGroup({ must, should, mustNot, minShould }: FilterGroup, id: string, payload: unknown): boolean {
  const holds = (filter: Filter): boolean => matches(filter, id, payload);
  return must.every(holds) && !mustNot.some(holds) && should.filter(holds).length >= minShould;
}

type KeyTest = Exclude<FilterTest, { kind: 'hasId' }>;

function matchesTest(test: KeyTest, found: readonly unknown[]): boolean {
  if (test.kind === 'isNull') return found.includes(null);
  const values = found.filter((value) => value !== null);
  if (test.kind === 'isEmpty') return values.length === 0;
  if (test.kind === 'valuesCount') return isWithin(values.length, test.bounds);
  return values.some((value) => passes(test, value));
}

function passes(test: Exclude<KeyTest, { kind: 'isNull' | 'isEmpty' | 'valuesCount' }>, value: unknown): boolean {
  switch (test.kind) {
    case 'any':
      return test.values.includes(value as Scalar);
    case 'except':
      return isScalar(value) && !test.values.includes(value);
    case 'text':
      return typeof value === 'string' && hasWords(value, test.text);
    case 'prefix':
      return typeof value === 'string' && value.startsWith(test.text);
    case 'range':
      return typeof value === 'number' && isWithin(value, test.bounds);
    case 'datetime': {
      const timeMs = typeof value === 'string' ? parseDatetime(value) : null;
      return timeMs !== null && isWithin(timeMs, test.bounds);
    }
  }
}

function isWithin(value: number, { gt, gte, lt, lte }: Bounds): boolean {
  return (
    (gt === null || value > gt) &&
    (gte === null || value >= gte) &&
    (lt === null || value < lt) &&
    (lte === null || value <= lte)
  );
}

const wordPattern = /[\p{L}\p{N}]+/gu;
/** Runs of letters and digits, in lower case. */
export const wordsOf = (text: string): readonly string[] => text.toLowerCase().match(wordPattern) ?? [];

export function hasWords(value: string, text: string): boolean {
  const words = new Set(wordsOf(value));
  return wordsOf(text).every((word) => words.has(word));
}

const datetimePattern =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))?$/;

/** Milliseconds since 1970 of a date (its midnight in UTC) or of a time with its offset, as RFC 3339 writes them; else null. */
export function parseDatetime(text: string): number | null {
  const match = datetimePattern.exec(text);
  if (match === null) return null;
  const [, year, month, day] = match.map(Number) as [number, number, number, number];
  // A day that the month does not have would be taken for one of the next month.
  if (Date.UTC(year, month - 1, day) > Date.UTC(year, month, 0)) return null;
  const timeMs = Date.parse(text);
  return Number.isFinite(timeMs) ? timeMs : null;
}

/** Nulls included; arrays are replaced by their elements, also arrays in arrays. */
export function valuesAt(payload: unknown, key: string): readonly unknown[] {
  let values = elements(payload);
  for (const name of key.split('.')) {
    values = values.flatMap((value) => (isObject(value) && Object.hasOwn(value, name) ? elements(value[name]) : []));
  }
  return values;
}

const elements = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value.flatMap(elements) : [value]);

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isScalar = (value: unknown): value is Scalar =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
