import { assert } from './assert';
import { VectronError } from './errors';

const encoder = new TextEncoder();
/** ignoreBOM keeps a leading U+FEFF: dropped, two ids would become one. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Up to this length a loop over ASCII is several times as fast as the platform's coder, which costs a call into native code. */
const shortTextMax = 64;

export function utf8(text: string): Uint8Array {
  if (!isShortAscii(text)) return encoder.encode(text);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
/** How many bytes utf8() gives. */
export const utf8Length = (text: string): number => (isShortAscii(text) ? text.length : encoder.encode(text).length);

export const fromUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes);

function isShortAscii(text: string): boolean {
  if (text.length > shortTextMax) return false;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

/** Compares as unsigned bytes, shorter first on a tie: the order of the key-value store. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/**
 * A float32 view of little-endian bytes; copies only when the bytes are not aligned to 4.
 * The caller must treat the result as immutable.
 */
export function floatsOf(bytes: Uint8Array): Float32Array {
  assert(bytes.length % 4 === 0, 'floatsOf: length is not a multiple of 4');
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}

/** The little-endian bytes of a float32 array, without a copy. */
export function bytesOfFloats(floats: Float32Array): Uint8Array {
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}

/** Grows as it is written to. Integers are little-endian unless the name says otherwise. */
export class ByteWriter {
  private buffer: Uint8Array;
  private view: DataView;
  private position = 0;

  constructor(capacityBytes = 256) {
    this.buffer = new Uint8Array(capacityBytes);
    this.view = new DataView(this.buffer.buffer);
  }

  get length(): number {
    return this.position;
  }

  private reserve(count: number): number {
    const start = this.position;
    const needed = start + count;
    if (needed > this.buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
      grown.set(this.buffer.subarray(0, start));
      this.buffer = grown;
      this.view = new DataView(grown.buffer);
    }
    this.position = needed;
    return start;
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.buffer[at] = value;
  }

  u32(value: number): void {
    const at = this.reserve(4);
    this.view.setUint32(at, value, true);
  }

  /** Big-endian, for keys whose order matters. `value` in [0, 2^64). */
  u64BigEndian(value: bigint): void {
    const at = this.reserve(8);
    this.view.setBigUint64(at, value, false);
  }

  u64(value: bigint): void {
    const at = this.reserve(8);
    this.view.setBigUint64(at, value, true);
  }

  f64(value: number): void {
    const at = this.reserve(8);
    this.view.setFloat64(at, value, true);
  }

  /** A whole number in [0, 2^53) in one to eight bytes, seven bits a byte, lowest first. */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, () => `varint: ${value} is not a safe non-negative integer`);
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  raw(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.buffer.set(bytes, at);
  }

  lengthPrefixed(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  text(value: string): void {
    if (!isShortAscii(value)) {
      this.lengthPrefixed(encoder.encode(value));
      return;
    }
    const { length } = value;
    const at = this.reserve(length + 1);
    // Shorter than 128: its length is one byte.
    this.buffer[at] = length;
    for (let i = 0; i < length; i++) this.buffer[at + 1 + i] = value.charCodeAt(i);
  }

  /** Forgets what was written and keeps the buffer for the next use: views of it are overwritten from then on. */
  clear(): void {
    this.position = 0;
  }

  /** What was written, without a copy. The writer must not be used afterwards, or only after clear(). */
  finish(): Uint8Array {
    return this.buffer.subarray(0, this.position);
  }
}

/** Reads what ByteWriter wrote. Malformed input throws CORRUPT, never anything else; results are views, not copies. */
export class ByteReader {
  private readonly view: DataView;
  private position = 0;

  constructor(private readonly buffer: Uint8Array) {
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  get remaining(): number {
    return this.buffer.length - this.position;
  }

  private take(count: number): number {
    if (count > this.remaining) throw corrupt(`needs ${count} bytes, ${this.remaining} left`);
    const at = this.position;
    this.position += count;
    return at;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  /** The next byte, which stays unread. */
  peek(): number {
    const byte = this.u8();
    this.position--;
    return byte;
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  u64BigEndian(): bigint {
    return this.view.getBigUint64(this.take(8), false);
  }

  u64(): bigint {
    return this.view.getBigUint64(this.take(8), true);
  }

  f64(): number {
    return this.view.getFloat64(this.take(8), true);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw corrupt('varint above 2^53');
        return value;
      }
      scale *= 0x80;
    }
    throw corrupt('varint longer than 8 bytes');
  }

  raw(count: number): Uint8Array {
    const at = this.take(count);
    return this.buffer.subarray(at, at + count);
  }

  lengthPrefixed(): Uint8Array {
    return this.raw(this.varint());
  }

  text(): string {
    const bytes = this.lengthPrefixed();
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw corrupt('text is not UTF-8', cause);
    }
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.raw(this.remaining);
  }

  expectEnd(): void {
    if (this.remaining > 0) throw corrupt(`${this.remaining} bytes too many`);
  }
}

function corrupt(why: string, cause?: unknown): VectronError {
  return new VectronError('CORRUPT', `malformed bytes: ${why}`, cause === undefined ? {} : { cause });
}
