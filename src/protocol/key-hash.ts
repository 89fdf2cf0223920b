import { assert } from '../base/assert';
import { type KeyHash64, keyHash64 } from '../base/ids';
import { struct, type TypeOf } from './codec';
import { keyHashCodec } from './ids';

/** XXH3_64 of a point id's UTF-8 bytes (DESIGN D4). Handed in, as its implementation is WebAssembly: node/xxh3. */
export type KeyHash = (pointId: string) => KeyHash64;

export const hashSpaceEnd = 2n ** 64n - 1n;

/** Hashes from `start` to `end`, both included. */
export const hashRangeCodec = struct({ start: keyHashCodec, end: keyHashCodec });
export type HashRange = TypeOf<typeof hashRangeCodec>;

export const inRange = (range: HashRange, hash: KeyHash64): boolean => hash >= range.start && hash <= range.end;

/** `count` ranges that tile the whole space without gap or overlap, their sizes equal to within one. */
export function tile(count: number): HashRange[] {
  assert(Number.isInteger(count) && count > 0, 'tile: count must be a positive integer');
  const edge = (i: number): bigint => (BigInt(i) * 2n ** 64n) / BigInt(count);
  return Array.from({ length: count }, (_, i) => ({ start: keyHash64(edge(i)), end: keyHash64(edge(i + 1) - 1n) }));
}
