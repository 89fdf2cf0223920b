import type { ByteArena } from '../base/arena';
import { AssertionError, assert } from '../base/assert';
import { fromUtf8 } from '../base/bytes';
import { type KeyHash64, keyHash64, type LogIndex, logIndex, type ReplicaId, replicaId, type Space } from '../base/ids';
import type { HashRange } from '../protocol/key-hash';

/**
 * The layout of both stores' keys. The first byte is a table: column families would do the same, but the binding
 * cannot add one to an open store, and one idle family keeps the write-ahead log of all others on disk (DESIGN D3).
 * Numbers are big-endian, so that the order of keys is the order of numbers.
 *
 *   both   00 ...                         the engine's own: the barrier that a sync writes
 *   state  01 space:u64 hash:u64 id       a point (DESIGN D4)
 *          02 replica:u64 field:u8        a replica's descriptor, applied index, why it is in quarantine, how far a
 *                                        snapshot was taken
 *          03 space:u64 kind:u8 id        a record of the placement driver
 *          04 space:u64 index:u64         which points the entries up to an index changed; at index 0, how far back this goes
 *          05 space:u64 time:u64 id       nothing: a point that ends at this log time
 *   log    10 replica:u64 index:u64       an entry of a replica's Raft log
 *          11 replica:u64                 a hard state
 *          12 replica:u64                 a replica's record: descriptor, incarnation, tombstone, where its log begins
 */
const tables = {
  engine: 0x00,
  point: 0x01,
  replicaState: 0x02,
  record: 0x03,
  changes: 0x04,
  expiry: 0x05,
  entry: 0x10,
  hardState: 0x11,
  log: 0x12,
};

export interface KeyRange {
  readonly start: Uint8Array;
  /** Not included. */
  readonly end: Uint8Array;
}

const generationMax = 2 ** 20 - 1;
const spaceReplicaMax = 2 ** 44 - 1;

/**
 * A replica's own key space: its id above 20 bits of generation. Replica ids are never reused (DESIGN D7) and a replica
 * counts its generations up, so spaces need no allocator and are never reused either.
 */
export function spaceOf(replica: ReplicaId, generation: number): Space {
  assert(replica >= 0 && replica <= spaceReplicaMax, () => `spaceOf: replica ${replica} needs more than 44 bits`);
  assert(
    generation >= 0 && generation <= generationMax,
    () => `spaceOf: generation ${generation} needs more than 20 bits`,
  );
  return ((BigInt(replica) << 20n) | BigInt(generation)) as Space;
}

export const replicaOfSpace = (space: Space): ReplicaId => replicaId(Number(space >> 20n));
export const generationOfSpace = (space: Space): number => Number(space & BigInt(generationMax));

/** What an engine writes to make everything before it durable. */
export const barrierKey: Uint8Array = Uint8Array.of(tables.engine, 0x01);

const pointHeaderBytes = 17;

export function pointKey(space: Space, hash: KeyHash64, id: Uint8Array, arena?: ByteArena): Uint8Array {
  const length = pointHeaderBytes + id.length;
  const key = arena === undefined ? new Uint8Array(length) : arena.take(length);
  key[0] = tables.point;
  writeBig(key, 1, space);
  writeBig(key, 9, hash);
  key.set(id, pointHeaderBytes);
  return key;
}

/** A copy of the id's bytes. */
export const idOfPointKey = (key: Uint8Array): Uint8Array => key.slice(pointHeaderBytes);
export const hashOfPointKey = (key: Uint8Array): KeyHash64 => keyHash64(readBig(key, 9));

/** Every point of a space whose hash lies in the range; the whole space without one. */
export function pointRange(space: Space, range?: HashRange): KeyRange {
  const start = headOf(tables.point, pointHeaderBytes);
  writeBig(start, 1, space);
  if (range !== undefined) writeBig(start, 9, range.start);
  const end = headOf(tables.point, pointHeaderBytes);
  writeBig(end, 1, space);
  if (range === undefined) writeBig(end, 9, 2n ** 64n - 1n);
  else writeBig(end, 9, range.end);
  return { start, end: after(end) };
}

/** The fields of a replica in the state store. */
export const replicaFields = { descriptor: 1, applied: 2, quarantine: 3, restore: 4 } as const;
export type ReplicaField = keyof typeof replicaFields;

export function replicaStateKey(replica: ReplicaId, field: ReplicaField): Uint8Array {
  const key = headOf(tables.replicaState, 10);
  writeNumber(key, 1, replica);
  key[9] = replicaFields[field];
  return key;
}

/** All fields of all replicas: what a start goes through to find orphaned spaces. */
export const replicaStateRange: KeyRange = tableRange(tables.replicaState);
export const replicaOfStateKey = (key: Uint8Array): ReplicaId => replicaId(readNumber(key, 1));
/** Null for a field this version does not know. */
export function fieldOfStateKey(key: Uint8Array): ReplicaField | null {
  const fields = Object.keys(replicaFields) as ReplicaField[];
  return fields.find((field) => key[9] === replicaFields[field]) ?? null;
}

const recordHeaderBytes = 10;

/** A record of the placement driver; `kind` is the placement layer's and in [0, 255]. */
export function recordKey(space: Space, kind: number, id: Uint8Array): Uint8Array {
  assert(Number.isInteger(kind) && kind >= 0 && kind <= 255, () => `recordKey: kind ${kind} is not a byte`);
  const key = headOf(tables.record, recordHeaderBytes + id.length);
  writeBig(key, 1, space);
  key[9] = kind;
  key.set(id, recordHeaderBytes);
  return key;
}

export const idOfRecordKey = (key: Uint8Array): Uint8Array => key.slice(recordHeaderBytes);
export const kindOfRecordKey = (key: Uint8Array): number => key[9] as number;

/** Every record of a space, or those of one kind. */
export function recordRange(space: Space, kind?: number): KeyRange {
  const start = kind === undefined ? headOf(tables.record, 9) : recordKey(space, kind, new Uint8Array(0));
  writeBig(start, 1, space);
  return { start, end: after(start) };
}

const changesKeyBytes = 17;

/** Of the table of changes of a space. */
export function changesKey(space: Space, index: number): Uint8Array {
  const key = headOf(tables.changes, changesKeyBytes);
  writeBig(key, 1, space);
  writeNumber(key, 9, index);
  return key;
}

/** Every record of a space's table of changes from `index` on; from 0 on, the whole table. */
export function changesFrom(space: Space, index: number): KeyRange {
  const prefix = headOf(tables.changes, 9);
  writeBig(prefix, 1, space);
  return { start: changesKey(space, index), end: after(prefix) };
}

const expiryHeaderBytes = 17;

/** Of the table of ends of a space. `timeMs` is whole. */
export function expiryKey(space: Space, timeMs: number, id: Uint8Array): Uint8Array {
  const key = headOf(tables.expiry, expiryHeaderBytes + id.length);
  writeBig(key, 1, space);
  writeNumber(key, 9, timeMs);
  key.set(id, expiryHeaderBytes);
  return key;
}

/** Every row of a space's table of ends from `timeMs` on; from 0 on, the whole table. */
export function expiryFrom(space: Space, timeMs: number): KeyRange {
  const prefix = headOf(tables.expiry, 9);
  writeBig(prefix, 1, space);
  return { start: expiryKey(space, timeMs, new Uint8Array(0)), end: after(prefix) };
}

export const expiryOfKey = (key: Uint8Array): number => readNumber(key, 9);
export const idOfExpiryKey = (key: Uint8Array): string => fromUtf8(key.subarray(expiryHeaderBytes));

/** Eight bytes, for ids inside keys. */
export function orderedBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeNumber(bytes, 0, value);
  return bytes;
}

export function entryKey(replica: ReplicaId, index: LogIndex): Uint8Array {
  const key = headOf(tables.entry, 17);
  writeNumber(key, 1, replica);
  writeNumber(key, 9, index);
  return key;
}

export const indexOfEntryKey = (key: Uint8Array): LogIndex => logIndex(readNumber(key, 9));

/** Entries first <= index < end of one replica. */
export const entryRange = (replica: ReplicaId, first: LogIndex, end: LogIndex): KeyRange => ({
  start: entryKey(replica, first),
  end: entryKey(replica, end),
});

/** Every entry of one replica from `first` on. */
export const entriesFrom = (replica: ReplicaId, first: LogIndex): KeyRange => ({
  start: entryKey(replica, first),
  end: after(replicaKey(tables.entry, replica)),
});

export const hardStateKey = (replica: ReplicaId): Uint8Array => replicaKey(tables.hardState, replica);
export const logRecordKey = (replica: ReplicaId): Uint8Array => replicaKey(tables.log, replica);
export const logRecordRange: KeyRange = tableRange(tables.log);
export const replicaOfLogKey = (key: Uint8Array): ReplicaId => replicaId(readNumber(key, 1));

function replicaKey(table: number, replica: ReplicaId): Uint8Array {
  const key = headOf(table, 9);
  writeNumber(key, 1, replica);
  return key;
}

function tableRange(table: number): KeyRange {
  return { start: Uint8Array.of(table), end: Uint8Array.of(table + 1) };
}

function headOf(table: number, length: number): Uint8Array {
  const key = new Uint8Array(length);
  key[0] = table;
  return key;
}

function writeBig(key: Uint8Array, at: number, value: bigint): void {
  writeWord(key, at, Number(value >> 32n));
  writeWord(key, at + 4, Number(value & 0xffff_ffffn));
}

const readBig = (key: Uint8Array, at: number): bigint =>
  (BigInt(readWord(key, at)) << 32n) | BigInt(readWord(key, at + 4));

function writeNumber(key: Uint8Array, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, () => `key: ${value} is not a safe non-negative integer`);
  writeWord(key, at, Math.floor(value / 2 ** 32));
  writeWord(key, at + 4, value % 2 ** 32);
}

/** Without a DataView, which would take a small array off the heap. */
function writeWord(key: Uint8Array, at: number, word: number): void {
  key[at] = word >>> 24;
  key[at + 1] = word >>> 16;
  key[at + 2] = word >>> 8;
  key[at + 3] = word;
}

function readNumber(key: Uint8Array, at: number): number {
  return readWord(key, at) * 2 ** 32 + readWord(key, at + 4);
}

function readWord(key: Uint8Array, at: number): number {
  const high = ((key[at] as number) << 24) | ((key[at + 1] as number) << 16);
  return (high | ((key[at + 2] as number) << 8) | (key[at + 3] as number)) >>> 0;
}

/** The first key after all that begin with `prefix`. */
function after(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  for (let at = end.length - 1; at >= 0; at--) {
    const byte = end[at] as number;
    if (byte < 255) {
      end[at] = byte + 1;
      return at === end.length - 1 ? end : end.slice(0, at + 1);
    }
  }
  throw new AssertionError('keys: no table is 0xff');
}
