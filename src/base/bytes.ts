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

/** Short texts that were read lately, by hash: names of nodes, actors and points come again and again. */
const knownTexts: (string | undefined)[] = new Array(2_048).fill(undefined);

/** The text of `length` bytes from `at` on if all are ASCII; null: they are not. */
function shortAsciiOf(bytes: Uint8Array, at: number, length: number): string | null {
  let hash = length;
  for (let i = at; i < at + length; i++) {
    const byte = bytes[i] as number;
    if (byte > 0x7f) return null;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  const slot = (hash ^ (hash >>> 15)) & (knownTexts.length - 1);
  const known = knownTexts[slot];
  if (known !== undefined && spells(known, bytes, at, length)) return known;
  const text = decoder.decode(bytes.subarray(at, at + length));
  knownTexts[slot] = text;
  return text;
}

function spells(text: string, bytes: Uint8Array, at: number, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[at + i]) return false;
  return true;
}

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

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  // Keys of one table differ at their ends.
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
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

/** Small arrays live on the heap until somebody asks for their buffer, as a DataView does: numbers are taken apart here. */
const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

/** Grows as it is written to. Integers are little-endian unless the name says otherwise. */
export class ByteWriter {
  private buffer: Uint8Array;
  private position = 0;

  constructor(capacityBytes = 256) {
    this.buffer = new Uint8Array(capacityBytes);
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
    for (let i = 0; i < 4; i++) this.buffer[at + i] = value >>> (8 * i);
  }

  /** Big-endian, for keys whose order matters. `value` in [0, 2^64). */
  u64BigEndian(value: bigint): void {
    scratchView.setBigUint64(0, value, false);
    this.scratch();
  }

  u64(value: bigint): void {
    scratchView.setBigUint64(0, value, true);
    this.scratch();
  }

  f64(value: number): void {
    scratchView.setFloat64(0, value, true);
    this.scratch();
  }

  private scratch(): void {
    const at = this.reserve(8);
    for (let i = 0; i < 8; i++) this.buffer[at + i] = scratch[i] as number;
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
    return this.position === this.buffer.length ? this.buffer : this.buffer.subarray(0, this.position);
  }

  /** A copy of what was written, exactly as large. */
  copy(): Uint8Array {
    return this.buffer.slice(0, this.position);
  }
}

/** Up to this size a copy is cheaper than a view. */
const copyBytesMax = 64;

/**
 * Reads what ByteWriter wrote. Malformed input throws CORRUPT, never anything else; what is read may share memory with the
 * input, large parts always do.
 */
export class ByteReader {
  private position: number;

  /** Reads from byte `start` on. */
  constructor(
    private readonly buffer: Uint8Array,
    start = 0,
  ) {
    this.position = start;
  }

  get remaining(): number {
    return this.buffer.length - this.position;
  }

  private take(count: number): number {
    const at = this.position;
    const end = at + count;
    if (end > this.buffer.length) throw corrupt(`needs ${count} bytes, ${this.remaining} left`);
    this.position = end;
    return at;
  }

  u8(): number {
    return this.buffer[this.take(1)] as number;
  }

  /** The next byte, which stays unread. */
  peek(): number {
    const byte = this.u8();
    this.position--;
    return byte;
  }

  u32(): number {
    const at = this.take(4);
    const { buffer } = this;
    const low = (buffer[at] as number) | ((buffer[at + 1] as number) << 8) | ((buffer[at + 2] as number) << 16);
    return (low | ((buffer[at + 3] as number) << 24)) >>> 0;
  }

  u64BigEndian(): bigint {
    return this.scratched().getBigUint64(0, false);
  }

  u64(): bigint {
    return this.scratched().getBigUint64(0, true);
  }

  f64(): number {
    return this.scratched().getFloat64(0, true);
  }

  /** The next eight bytes. */
  private scratched(): DataView {
    const at = this.take(8);
    for (let i = 0; i < 8; i++) scratch[i] = this.buffer[at + i] as number;
    return scratchView;
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
    return count <= copyBytesMax ? this.buffer.slice(at, at + count) : this.buffer.subarray(at, at + count);
  }

  lengthPrefixed(): Uint8Array {
    return this.raw(this.varint());
  }

  text(): string {
    const length = this.varint();
    const at = this.take(length);
    try {
      const short = length <= shortTextMax ? shortAsciiOf(this.buffer, at, length) : null;
      return short ?? decoder.decode(this.buffer.subarray(at, at + length));
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
