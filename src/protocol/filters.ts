import type { ByteReader, ByteWriter } from '../base/bytes';
import { VectronError } from '../base/errors';
import { filterClausesMax, filterDepthMax } from '../base/limits';
import { bool, type Codec, f64, list, nullable, struct, type TypeOf, text, u8, union, varint } from './codec';

/** What a payload's value is compared with. Values of different types are never equal. */
export type Scalar = string | number | boolean;

const scalarCodec: Codec<Scalar> = {
  write: (writer, value) => {
    if (typeof value === 'string') tagged(writer, 0, text, value);
    else if (typeof value === 'number') tagged(writer, 1, f64, value);
    else tagged(writer, 2, bool, value);
  },
  read: (reader) => {
    const tag = u8.read(reader);
    if (tag === 0) return text.read(reader);
    if (tag === 1) return f64.read(reader);
    if (tag === 2) return bool.read(reader);
    throw new VectronError('CORRUPT', `malformed filter: a value has the unknown tag ${tag}`);
  },
};

function tagged<T>(writer: ByteWriter, tag: number, codec: Codec<T>, value: T): void {
  u8.write(writer, tag);
  codec.write(writer, value);
}

/** Null: not bounded that way. */
export const boundsCodec = struct({ gt: nullable(f64), gte: nullable(f64), lt: nullable(f64), lte: nullable(f64) });
export type Bounds = TypeOf<typeof boundsCodec>;

const words = struct({ key: text, text });
const within = struct({ key: text, bounds: boundsCodec });
const oneOfMany = struct({ key: text, values: list(scalarCodec) });

/** Tests of one point. What each means: src/vector/filter-match.ts and docs/filters.md. */
const testVariants = {
  2: ['any', oneOfMany],
  3: ['except', oneOfMany],
  4: ['text', words],
  5: ['prefix', words],
  6: ['range', within],
  /** Bounds in milliseconds since 1970. */
  7: ['datetime', within],
  8: ['valuesCount', within],
  9: ['isEmpty', struct({ key: text })],
  10: ['isNull', struct({ key: text })],
  11: ['hasId', struct({ ids: list(text) })],
} as const;
const testCodec = union(testVariants);
export type FilterTest = TypeOf<typeof testCodec>;

/** All of `must`, none of `mustNot`, and at least `minShould` of `should`. */
export interface FilterGroup {
  readonly kind: 'group';
  readonly must: readonly Filter[];
  readonly should: readonly Filter[];
  readonly mustNot: readonly Filter[];
  /** From 1 to the number of `should`; 0 without any. */
  readonly minShould: number;
}

/** Some one object in the array at `key` (or the object there) matches `filter` by itself. */
export interface FilterNested {
  readonly kind: 'nested';
  readonly key: string;
  readonly filter: Filter;
}
export type Filter = FilterGroup | FilterNested | FilterTest;

const groupTag = 0;
const nestedTag = 1;

/** Bounded in depth and clauses when read, so that no message can exhaust a stack. Tags are the wire's. */
export const filterCodec: Codec<Filter> = {
  write,
  read: (reader) => read(reader, { depth: 0, clauses: 0 }),
};

function write(writer: ByteWriter, filter: Filter): void {
  if (filter.kind === 'group') {
    u8.write(writer, groupTag);
    for (const clauses of [filter.must, filter.should, filter.mustNot]) writeAll(writer, clauses);
    varint.write(writer, filter.minShould);
  } else if (filter.kind === 'nested') {
    u8.write(writer, nestedTag);
    text.write(writer, filter.key);
    write(writer, filter.filter);
  } else testCodec.write(writer, filter);
}

function writeAll(writer: ByteWriter, filters: readonly Filter[]): void {
  varint.write(writer, filters.length);
  for (const filter of filters) write(writer, filter);
}

interface Budget {
  depth: number;
  clauses: number;
}

function read(reader: ByteReader, budget: Budget): Filter {
  if (++budget.clauses > filterClausesMax || budget.depth >= filterDepthMax) {
    throw new VectronError('CORRUPT', 'malformed filter: too deep or too large');
  }
  budget.depth++;
  const filter = readOne(reader, budget);
  budget.depth--;
  return filter;
}

/** The tag is looked at, and left to the codec of tests if it is one of theirs. */
function readOne(reader: ByteReader, budget: Budget): Filter {
  const tag = reader.peek();
  if (tag === groupTag) {
    u8.read(reader);
    const [must, should, mustNot] = [readAll(reader, budget), readAll(reader, budget), readAll(reader, budget)];
    return { kind: 'group', must, should, mustNot, minShould: varint.read(reader) };
  }
  if (tag !== nestedTag) return testCodec.read(reader);
  u8.read(reader);
  return { kind: 'nested', key: text.read(reader), filter: read(reader, budget) };
}

function readAll(reader: ByteReader, budget: Budget): readonly Filter[] {
  const count = varint.read(reader);
  if (count > filterClausesMax) throw new VectronError('CORRUPT', `malformed filter: ${count} clauses`);
  return Array.from({ length: count }, () => read(reader, budget));
}
