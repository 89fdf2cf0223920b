import { utf8 } from '../base/bytes';

/**
 * The digest of a replica: the sum, modulo 2^64, of one hash per record, deletions included (DESIGN D6). A sum does not
 * depend on order and is kept up to date by subtracting the record that goes and adding the one that comes.
 */
export type Digest = bigint;

export const emptyDigest: Digest = 0n;
export const digestWith = (digest: Digest, hash: bigint): Digest => BigInt.asUintN(64, digest + hash);
export const digestWithout = (digest: Digest, hash: bigint): Digest => BigInt.asUintN(64, digest - hash);
export const digestText = (digest: Digest): string => digest.toString(16).padStart(16, '0');

/** The hash of one record as stored: two lanes of 32-bit MurmurHash3 over the value, seeded with the id's. */
export const recordHash = (id: string, value: Uint8Array): bigint => recordHashOf(utf8(id), value);

/** The same for an id in UTF-8. */
export function recordHashOf(name: Uint8Array, value: Uint8Array): bigint {
  const high = murmur3(value, murmur3(name, 0x9747b28c));
  const low = murmur3(value, murmur3(name, 0x1b873593) ^ high);
  return (BigInt(high) << 32n) | BigInt(low);
}

/** MurmurHash3_x86_32 (Austin Appleby, public domain algorithm). */
function murmur3(bytes: Uint8Array, seed: number): number {
  const words = bytes.length >>> 2;
  let hash = seed;
  for (let at = 0; at < words * 4; at += 4) {
    hash ^= scramble(wordAt(bytes, at));
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let at = bytes.length - 1; at >= words * 4; at--) tail = (tail << 8) | (bytes[at] as number);
  hash ^= scramble(tail) ^ bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Four bytes, the lowest first. Without a DataView, which would take a small array off the heap. */
function wordAt(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
  return low | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
}

function scramble(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}
