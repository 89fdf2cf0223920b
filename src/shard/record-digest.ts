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
  const words = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const letters = new DataView(name.buffer, name.byteOffset, name.byteLength);
  const high = murmur3(words, murmur3(letters, 0x9747b28c));
  const low = murmur3(words, murmur3(letters, 0x1b873593) ^ high);
  return (BigInt(high) << 32n) | BigInt(low);
}

/** MurmurHash3_x86_32 (Austin Appleby, public domain algorithm). */
function murmur3(view: DataView, seed: number): number {
  const { byteLength } = view;
  const words = byteLength >>> 2;
  let hash = seed;
  for (let word = 0; word < words; word++) {
    hash ^= scramble(view.getInt32(word * 4, true));
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let at = byteLength - 1; at >= words * 4; at--) tail = (tail << 8) | view.getUint8(at);
  hash ^= scramble(tail) ^ byteLength;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function scramble(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}
