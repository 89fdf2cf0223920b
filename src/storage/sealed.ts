import { ByteReader, ByteWriter } from '../base/bytes';
import { crc32c } from '../base/crc32c';
import { VectronError } from '../base/errors';

/**
 * A value with a checksum over its key and itself, so that a flipped bit, a value cut short and a value under the wrong
 * key are all noticed when it is read, wherever they came from.
 *
 *   crc32c(key ++ body):u32  body
 */
const headerBytes = 4;

/** `write` fills in the body. */
export function seal(key: Uint8Array, capacityBytes: number, write: (body: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(headerBytes + capacityBytes);
  writer.u32(0);
  write(writer);
  const value = writer.finish();
  const checksum = crc32c(value, crc32c(key), headerBytes);
  for (let i = 0; i < headerBytes; i++) value[i] = checksum >>> (8 * i);
  return value;
}

/** A reader at the body's start. Throws CORRUPT. */
export function unseal(key: Uint8Array, value: Uint8Array): ByteReader {
  const reader = new ByteReader(value);
  const checksum = reader.u32();
  if (checksum !== crc32c(value, crc32c(key), headerBytes)) {
    throw new VectronError('CORRUPT', 'a stored value does not have its checksum');
  }
  return reader;
}
