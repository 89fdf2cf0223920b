import { ByteReader, ByteWriter, utf8 } from '../base/bytes';
import { crc32c } from '../base/crc32c';
import { VectronError } from '../base/errors';

/**
 * One point as the store holds it (DESIGN D4). A deletion is a record without a vector: it keeps its version, so that
 * an older record can never come back, and is part of the digest.
 */
export interface PointRecord {
  /** The log index that made the point what it is. */
  readonly version: number;
  /** The log index that wrote the record: above `version` when only the outcome of a write was added. */
  readonly touched: number;
  /** Log time of the write (DESIGN D14). */
  readonly timeMs: number;
  readonly deleted: boolean;
  /** Log time at which the point ends; 0: never. */
  readonly expiryMs: number;
  /** The outcomes kept for repetitions of writes (DESIGN D13), see dedupe-table; empty: none. */
  readonly dedupe: Uint8Array;
  readonly payload: Uint8Array;
  /** float32 little-endian; empty for a deletion. */
  readonly vector: Uint8Array;
}

/** Whether a point that is there is there no more, by log time. */
export const isEnded = ({ expiryMs }: Pick<PointRecord, 'expiryMs'>, timeMs: number): boolean =>
  expiryMs > 0 && expiryMs <= timeMs;

const formatPlain = 1;
/** With `touched`: only where it differs from `version`, so that equal records are equal bytes in every release. */
const formatTouched = 2;
const headerBytes = 5;
const empty = new Uint8Array(0);
const flagDeleted = 1;

export const deletion = (version: number, timeMs: number, dedupe: Uint8Array = empty): PointRecord => ({
  version,
  touched: version,
  timeMs,
  deleted: true,
  expiryMs: 0,
  dedupe,
  payload: empty,
  vector: empty,
});

/** Format, CRC-32C of the id and all that follows, then the fields. The id is in the checksum: no record may move. */
export const encodeRecord = (id: string, record: PointRecord): Uint8Array => encodeRecordOf(utf8(id), record).slice();

let scratch = new ByteWriter(1_024);
const scratchBytesMax = 65_536;

/** The same for an id in UTF-8: a view that holds until the next call. */
export function encodeRecordOf(name: Uint8Array, record: PointRecord): Uint8Array {
  const { dedupe, payload, vector, touched, version } = record;
  if (scratch.length > scratchBytesMax) scratch = new ByteWriter(1_024);
  const writer = scratch;
  writer.clear();
  const format = touched === version ? formatPlain : formatTouched;
  writer.u8(format);
  writer.u32(0);
  writer.u8(record.deleted ? flagDeleted : 0);
  writer.varint(version);
  if (format === formatTouched) writer.varint(touched - version);
  writer.f64(record.timeMs);
  writer.f64(record.expiryMs);
  writer.lengthPrefixed(dedupe);
  writer.lengthPrefixed(payload);
  writer.raw(vector);
  const value = writer.finish();
  const checksum = checksumOf(name, value);
  for (let i = 0; i < 4; i++) value[1 + i] = checksum >>> (8 * i);
  return value;
}

/** Verifies the checksum. Throws CORRUPT; the fields are views of `value`. */
export function decodeRecord(id: string, value: Uint8Array): PointRecord {
  verifyRecord(id, value);
  const reader = new ByteReader(value, headerBytes);
  const deleted = (reader.u8() & flagDeleted) !== 0;
  const version = reader.varint();
  const touched = version + (value[0] === formatTouched ? reader.varint() : 0);
  return {
    deleted,
    version,
    touched,
    timeMs: reader.f64(),
    expiryMs: reader.f64(),
    dedupe: reader.lengthPrefixed(),
    payload: reader.lengthPrefixed(),
    vector: reader.rest(),
  };
}

function verifyRecord(id: string, value: Uint8Array): void {
  const reader = new ByteReader(value);
  const format = reader.u8();
  if (format !== formatPlain && format !== formatTouched) throw corrupt(id, 'its format is unknown');
  if (reader.u32() !== checksumOf(utf8(id), value)) throw corrupt(id, 'its checksum does not hold');
}

const checksumOf = (name: Uint8Array, value: Uint8Array): number => crc32c(value, crc32c(name), headerBytes);

const corrupt = (id: string, why: string): VectronError => new VectronError('CORRUPT', `record of point ${id}: ${why}`);
