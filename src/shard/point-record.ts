import { ByteReader, ByteWriter, utf8 } from '../base/bytes';
import { crc32c } from '../base/crc32c';
import { VectronError } from '../base/errors';

/**
 * One point as the store holds it (DESIGN D4). A deletion is a record without a vector: it keeps its version, so that
 * an older record can never come back, and is part of the digest.
 */
export interface PointRecord {
  /** The log index that wrote it. */
  readonly version: number;
  /** Log time of the write (DESIGN D14). */
  readonly timeMs: number;
  readonly deleted: boolean;
  /** Log time at which the point ends; 0: never. */
  readonly expiryMs: number;
  /** The outcome kept for a retry of the same write (DESIGN D13); empty: none. */
  readonly dedupe: Uint8Array;
  readonly payload: Uint8Array;
  /** float32 little-endian; empty for a deletion. */
  readonly vector: Uint8Array;
}

const format = 1;
const headerBytes = 5;
const empty = new Uint8Array(0);
const flagDeleted = 1;

export const deletion = (version: number, timeMs: number): PointRecord => ({
  version,
  timeMs,
  deleted: true,
  expiryMs: 0,
  dedupe: empty,
  payload: empty,
  vector: empty,
});

/** Format, CRC-32C of the id and all that follows, then the fields. The id is in the checksum: no record may move. */
export function encodeRecord(id: string, record: PointRecord): Uint8Array {
  const writer = new ByteWriter(64 + record.payload.length + record.vector.length);
  writer.u8(format);
  writer.u32(0);
  writer.u8(record.deleted ? flagDeleted : 0);
  writer.varint(record.version);
  writer.f64(record.timeMs);
  writer.f64(record.expiryMs);
  writer.lengthPrefixed(record.dedupe);
  writer.lengthPrefixed(record.payload);
  writer.raw(record.vector);
  const value = writer.finish();
  const checksum = checksumOf(id, value);
  new DataView(value.buffer, value.byteOffset).setUint32(1, checksum, true);
  return value;
}

/** Verifies the checksum. Throws CORRUPT; the fields are views of `value`. */
export function decodeRecord(id: string, value: Uint8Array): PointRecord {
  verifyRecord(id, value);
  const reader = new ByteReader(value.subarray(headerBytes));
  return {
    deleted: (reader.u8() & flagDeleted) !== 0,
    version: reader.varint(),
    timeMs: reader.f64(),
    expiryMs: reader.f64(),
    dedupe: reader.lengthPrefixed(),
    payload: reader.lengthPrefixed(),
    vector: reader.rest(),
  };
}

function verifyRecord(id: string, value: Uint8Array): void {
  const reader = new ByteReader(value);
  if (reader.u8() !== format) throw corrupt(id, 'its format is unknown');
  if (reader.u32() !== checksumOf(id, value)) throw corrupt(id, 'its checksum does not hold');
}

const checksumOf = (id: string, value: Uint8Array): number => crc32c(value.subarray(headerBytes), crc32c(utf8(id)));

const corrupt = (id: string, why: string): VectronError => new VectronError('CORRUPT', `record of point ${id}: ${why}`);
