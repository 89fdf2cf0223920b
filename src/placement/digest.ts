/**
 * 64 bits over bytes, as 16 hexadecimal digits: two FNV-1a hashes of 32 bits from different offsets, each finished by
 * the avalanche of MurmurHash3. Tells states apart that differ by accident; not for secrets.
 */
export function digestOf(bytes: Uint8Array): string {
  let low = 0x811c9dc5;
  let high = 0x9dc5811c;
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ (byte + 1), 0x01000193);
  }
  return hex(avalanche(high ^ bytes.length)) + hex(avalanche(low));
}

function avalanche(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

const hex = (value: number): string => value.toString(16).padStart(8, '0');
