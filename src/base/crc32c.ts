/**
 * CRC-32C (Castagnoli polynomial, as in RFC 3720, appendix B.4), eight bytes a step by table lookup (Kounavis and Berry,
 * "Novel table lookup-based algorithms for high-performance CRC generation", 2008, section 3: slicing by eight).
 */
const polynomial = 0x82f63b78;
const slices = 8;
const tables = buildTables();

function buildTables(): readonly Int32Array[] {
  const first = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0);
    first[byte] = remainder;
  }
  const all = [first];
  for (let slice = 1; slice < slices; slice++) {
    const previous = all[slice - 1] as Int32Array;
    all.push(previous.map((value) => (value >>> 8) ^ (first[value & 0xff] as number)));
  }
  return all;
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

/** The checksum in [0, 2^32), of the bytes from `start` on. `previous` continues that of the bytes that came before. */
export function crc32c(bytes: Uint8Array, previous = 0, start = 0): number {
  let crc = ~previous;
  let at = start;
  for (; at + 8 <= bytes.length; at += 8) {
    crc =
      (t7[(crc ^ (bytes[at] as number)) & 0xff] as number) ^
      (t6[((crc >>> 8) ^ (bytes[at + 1] as number)) & 0xff] as number) ^
      (t5[((crc >>> 16) ^ (bytes[at + 2] as number)) & 0xff] as number) ^
      (t4[(crc >>> 24) ^ (bytes[at + 3] as number)] as number) ^
      (t3[bytes[at + 4] as number] as number) ^
      (t2[bytes[at + 5] as number] as number) ^
      (t1[bytes[at + 6] as number] as number) ^
      (t0[bytes[at + 7] as number] as number);
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ (t0[(crc ^ (bytes[at] as number)) & 0xff] as number);
  return ~crc >>> 0;
}
