import { assert } from '../base/assert';
import { ByteReader, ByteWriter } from '../base/bytes';
import { VectronError } from '../base/errors';

/**
 * Binary codecs as values. A message is described once; its TypeScript type follows from the description, and reading
 * checks every bound before memory is spent on it. Malformed bytes throw CORRUPT. Adding a field at the end of a
 * `struct` changes the format: give durable formats a version byte.
 */
export interface Codec<T> {
  // Methods, so that a codec of one type may stand where a codec of unknown is asked for.
  write(writer: ByteWriter, value: T): void;
  read(reader: ByteReader): T;
}
export type TypeOf<C> = C extends Codec<infer T> ? T : never;

const corrupt = (why: string): VectronError => new VectronError('CORRUPT', `malformed message: ${why}`);

export const u8: Codec<number> = { write: (w, v) => w.u8(v), read: (r) => r.u8() };
/** A whole number in [0, 2^53). */
export const varint: Codec<number> = { write: (w, v) => w.varint(v), read: (r) => r.varint() };
export const u64: Codec<bigint> = { write: (w, v) => w.u64(v), read: (r) => r.u64() };
export const f64: Codec<number> = { write: (w, v) => w.f64(v), read: (r) => r.f64() };
export const text: Codec<string> = { write: (w, v) => w.text(v), read: (r) => r.text() };
/** Read as a view of the message's buffer: immutable from then on. */
export const bytes: Codec<Uint8Array> = { write: (w, v) => w.lengthPrefixed(v), read: (r) => r.lengthPrefixed() };
export const bool: Codec<boolean> = {
  write: (w, v) => w.u8(v ? 1 : 0),
  read: (r) => {
    const value = r.u8();
    if (value > 1) throw corrupt(`bool is ${value}`);
    return value === 1;
  },
};

/** The same bytes under a branded type. */
export const branded = <B>(codec: Codec<number> | Codec<string> | Codec<bigint>): Codec<B> =>
  codec as unknown as Codec<B>;

export const oneOf = <const T extends readonly string[]>(...values: T): Codec<T[number]> => ({
  write: (w, v) => {
    const at = values.indexOf(v);
    assert(at >= 0, () => `oneOf: ${v} is none of ${values.join(', ')}`);
    w.u8(at);
  },
  read: (r) => {
    const value = values[r.u8()];
    if (value === undefined) throw corrupt(`not one of ${values.join(', ')}`);
    return value;
  },
});

export const list = <T>(item: Codec<T>, countMax = 1_000_000): Codec<readonly T[]> => ({
  write: (w, items) => {
    assert(items.length <= countMax, () => `list of ${items.length}, limit ${countMax}`);
    w.varint(items.length);
    for (const value of items) item.write(w, value);
  },
  read: (r) => {
    const count = r.varint();
    if (count > countMax || count > r.remaining) throw corrupt(`list of ${count}`);
    const items: T[] = [];
    for (let i = 0; i < count; i++) items.push(item.read(r));
    return items;
  },
});

/** A value or null; never undefined, so that a forgotten field does not compile. */
export const nullable = <T>(inner: Codec<T>): Codec<T | null> => ({
  write: (w, value) => {
    w.u8(value === null ? 0 : 1);
    if (value !== null) inner.write(w, value);
  },
  read: (r) => (bool.read(r) ? inner.read(r) : null),
});

type AnyCodec = Codec<unknown>;
export type StructOf<F> = { readonly [K in keyof F]: F[K] extends Codec<infer T> ? T : never };

/** `names`: of its fields, for those who look at what a message carries. */
export type StructCodec<T> = Codec<T> & { readonly names: readonly string[] };

/** Fields in the order of the description. */
export const struct = <F extends Record<string, Codec<unknown>>>(fields: F): StructCodec<StructOf<F>> => {
  const names = Object.keys(fields);
  const codecs: readonly AnyCodec[] = Object.values(fields);
  return {
    names,
    write: (w, value) => {
      const record = value as Readonly<Record<string, unknown>>;
      for (let i = 0; i < names.length; i++) (codecs[i] as AnyCodec).write(w, record[names[i] as string]);
    },
    read: (r) => {
      const record: Record<string, unknown> = {};
      for (let i = 0; i < names.length; i++) record[names[i] as string] = (codecs[i] as AnyCodec).read(r);
      return record as StructOf<F>;
    },
  };
};

/** A closed union by `kind`. Keys of the table are the wire's tags: never reuse one. */
export type Variants = Readonly<Record<number, readonly [string, Codec<unknown>]>>;
type VariantOf<V> = V extends readonly [infer K extends string, Codec<infer T>] ? { readonly kind: K } & T : never;
export type UnionOf<V extends Variants> = { [Tag in keyof V]: VariantOf<V[Tag]> }[keyof V];

export const union = <const V extends Variants>(variants: V): Codec<UnionOf<V>> => unionOf(variants, unknownTag);

/** From here up no tag of a versionedUnion is ever given out: what begins so is malformed, in every version. */
export const versionedTagMax = 199;

/**
 * For what logs and stores hold: a variant that this program does not know was written by a later one, and throws
 * UNSUPPORTED_VERSION. To skip it would be to guess.
 */
export const versionedUnion = <const V extends Variants>(what: string, variants: V): Codec<UnionOf<V>> =>
  unionOf(variants, (tag) =>
    tag > versionedTagMax
      ? unknownTag(tag)
      : new VectronError('UNSUPPORTED_VERSION', `${what} ${tag} is of a later version of this program`),
  );

const unknownTag = (tag: number): VectronError => corrupt(`unknown tag ${tag}`);

const unionOf = <const V extends Variants>(variants: V, unknown: (tag: number) => VectronError): Codec<UnionOf<V>> => {
  const byKind = new Map<string, { tag: number; codec: AnyCodec }>();
  const byTag = new Map<number, { kind: string; codec: AnyCodec }>();
  for (const [tagText, [kind, codec]] of Object.entries(variants)) {
    const tag = Number(tagText);
    assert(!byKind.has(kind) && tag >= 0 && tag < 256, () => `union: ${kind} twice, or its tag is out of range`);
    byKind.set(kind, { tag, codec: codec as AnyCodec });
    byTag.set(tag, { kind, codec: codec as AnyCodec });
  }
  return {
    write: (w, value) => {
      const { kind } = value as { kind: string };
      const variant = byKind.get(kind);
      assert(variant !== undefined, () => `union: unknown kind ${kind}`);
      w.u8(variant.tag);
      variant.codec.write(w, value);
    },
    read: (r) => {
      const tag = r.u8();
      const variant = byTag.get(tag);
      if (variant === undefined) throw unknown(tag);
      const body = variant.codec.read(r) as Record<string, unknown>;
      body['kind'] = variant.kind;
      return body as UnionOf<V>;
    },
  };
};

/** Free for the next encode(); a buffer that one large value has grown is not kept. */
let idleWriter: ByteWriter | null = null;
const idleBytesMax = 65_536;

/** A fresh buffer with the value in it, exactly as large. */
export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = idleWriter ?? new ByteWriter(1_024);
  // Whoever encodes within a codec gets another one, and so does whoever comes after a value that could not be encoded.
  idleWriter = null;
  codec.write(writer, value);
  const encoded = writer.copy();
  writer.clear();
  if (encoded.length <= idleBytesMax) idleWriter = writer;
  return encoded;
}

/** The value, which must take up all the bytes. */
export function decode<T>(codec: Codec<T>, buffer: Uint8Array): T {
  const reader = new ByteReader(buffer);
  const value = codec.read(reader);
  reader.expectEnd();
  return value;
}
