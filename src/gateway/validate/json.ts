import { invalid, VectronError } from '../../base/errors';

/** Levels of nesting in a payload. */
export const jsonDepthMax = 32;
/** A request's own levels around a payload: body, points, point. */
export const bodyDepthMax = jsonDepthMax + 3;

const quote = 0x22;
const backslash = 0x5c;

/**
 * Parses JSON whose nesting is checked before any of it is built: a few megabytes of opening brackets would otherwise
 * become gigabytes of objects. Throws INVALID_ARGUMENT naming `field`.
 */
export function parseJson(text: string, field: string, depthMax: number): unknown {
  if (nestsDeeper(text, depthMax)) throw invalid(field, `is nested more than ${depthMax} levels deep`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new VectronError('INVALID_ARGUMENT', `${field}: is not JSON`, { field, cause });
  }
}

/** Counts brackets outside of strings; of text that is not JSON it says something harmless. */
function nestsDeeper(text: string, depthMax: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (inString) {
      if (unit === backslash) i++;
      else if (unit === quote) inString = false;
    } else if (unit === quote) inString = true;
    // { and [ differ in one bit, and so do } and ].
    else if ((unit | 0x20) === 0x7b && ++depth > depthMax) return true;
    else if ((unit | 0x20) === 0x7d) depth--;
  }
  return false;
}

/**
 * Refuses what would not come back as it went in: numbers beyond a double, and keys named __proto__, which are harmless
 * here but set a prototype in careless clients. Walks without recursion.
 */
export function checkJson(root: object, field: string): void {
  const open: object[] = [root];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const [key, value] of Object.entries(at)) {
      if (key === '__proto__') throw invalid(field, 'has a key named __proto__');
      if (typeof value === 'number' && !Number.isFinite(value)) throw invalid(field, `${key} is too large a number`);
      if (typeof value === 'object' && value !== null) open.push(value);
    }
  }
}

/**
 * Refuses whole numbers that parsing has rounded: an id of 19 digits would come back as another id. From 1e21 on a number
 * is written with an exponent, and nobody takes that for digits.
 */
export function checkWholeNumbers(root: object, field: string): void {
  const open: object[] = [root];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const [key, value] of Object.entries(at)) {
      if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21)
        throw invalid(
          field,
          `${key} is a whole number above 2^53 - 1, which loses digits in JSON; send it as a string`,
        );
      if (typeof value === 'object' && value !== null) open.push(value);
    }
  }
}

/** The fields of a JSON object, none of them unknown. `at` spells where it stands: empty for the body itself. */
export function fieldsOf(value: unknown, at: string, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(at === '' ? 'body' : at, 'must be a JSON object');
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw invalid(at === '' ? key : `${at}.${key}`, 'is not a field of this call');
  }
  return value as Readonly<Record<string, unknown>>;
}
