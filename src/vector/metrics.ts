import { invalid } from '../base/errors';
import type { Metric } from '../protocol/records';

/** The largest squared length of a vector: above it, sums of squares in float32 would overflow to infinity. */
export const squaredLengthMax = 1e37;

/** Throws INVALID_ARGUMENT naming `field` unless the vector has this dimension and is finite and not absurdly long. */
export function checkVector(vector: Float32Array, dimension: number, field: string): void {
  if (vector.length !== dimension) throw invalid(field, `has ${vector.length} components, not ${dimension}`);
  const length = squaredLength(vector);
  if (Number.isFinite(length) && length <= squaredLengthMax) return;
  const at = vector.findIndex((component) => !Number.isFinite(component));
  if (at >= 0) throw invalid(field, `component ${at} is ${vector[at]}`);
  throw invalid(field, `is too long: its squared length is ${length}`);
}

let copied = new Float32Array(0);
let copiedBytes = new Uint8Array(0);

/** Little-endian bytes as float32, wherever they lie: the same array each time, to be used before the next call. */
export function floatsCopied(bytes: Uint8Array): Float32Array {
  if (copiedBytes.length !== bytes.length) {
    copied = new Float32Array(bytes.length / 4);
    copiedBytes = new Uint8Array(copied.buffer);
  }
  copiedBytes.set(bytes);
  return copied;
}

/** Throws INVALID_ARGUMENT unless `value` is a whole number within [low, high]. */
export function checkWhole(value: number, low: number, high: number, field: string): void {
  if (!Number.isSafeInteger(value) || value < low || value > high) {
    throw invalid(field, `${value} is not a whole number in [${low}, ${high}]`);
  }
}

/**
 * How near two vectors of equal length are: larger is better. Cosine of a vector of length zero is 0. Sums run in
 * float64, so this is what the kernels are judged by.
 */
export function similarity(metric: Metric, a: Float32Array, b: Float32Array): number {
  if (metric === 'euclidean') return 0 - squaredDistance(a, b);
  if (metric === 'dot') return dotProduct(a, b);
  const lengths = Math.sqrt(squaredLength(a) * squaredLength(b));
  return lengths === 0 ? 0 : dotProduct(a, b) / lengths;
}

function dotProduct(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function squaredLength(a: Float32Array): number {
  return dotProduct(a, a);
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    sum += difference * difference;
  }
  return sum;
}
