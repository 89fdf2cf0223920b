import { VectronError } from '../base/errors';
import type { Incarnation, LogIndex, ReplicaId, Term } from '../base/ids';
import { bool, bytes, struct, union } from '../protocol/codec';
import { incarnationCodec, logIndexCodec, termCodec } from '../protocol/ids';
import { type Entry, type HardState, hardStateCodec } from '../protocol/raft-messages';
import { entryKey, hardStateKey, indexOfEntryKey, logRecordKey } from './keys';
import type { KeyValue, WriteBatch } from './ports';
import { seal, unseal } from './sealed';

/**
 * What the log store keeps of a replica beside its entries and its hard state. `removed` is the tombstone: the id can
 * never be opened again. The log begins after (baseIndex, baseTerm).
 */
const logRecordCodec = union({
  1: [
    'v1',
    struct({
      incarnation: incarnationCodec,
      removed: bool,
      descriptor: bytes,
      baseIndex: logIndexCodec,
      baseTerm: termCodec,
    }),
  ],
});

export interface LogRecord {
  readonly incarnation: Incarnation;
  readonly removed: boolean;
  readonly descriptor: Uint8Array;
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
}

const entryTypes = ['noop', 'command', 'config'] as const;
const entryVersion = 1;

export function putRecord(batch: WriteBatch, replica: ReplicaId, record: LogRecord): void {
  const key = logRecordKey(replica);
  const value = seal(key, 64 + record.descriptor.length, (body) =>
    logRecordCodec.write(body, { kind: 'v1', ...record }),
  );
  batch.put(key, value);
}

export function readRecord({ key, value }: KeyValue): LogRecord {
  const body = unseal(key, value);
  const { kind: _, ...record } = logRecordCodec.read(body);
  body.expectEnd();
  return record;
}

export function putHardState(batch: WriteBatch, replica: ReplicaId, hardState: HardState): void {
  const key = hardStateKey(replica);
  batch.put(
    key,
    seal(key, 32, (body) => hardStateCodec.write(body, hardState)),
  );
}

export function readHardState({ key, value }: KeyValue): HardState {
  const body = unseal(key, value);
  const hardState = hardStateCodec.read(body);
  body.expectEnd();
  return hardState;
}

/** The index is in the key; the data is the rest of the value and is not copied when read. */
export function putEntry(batch: WriteBatch, replica: ReplicaId, entry: Entry): void {
  const key = entryKey(replica, entry.index);
  const value = seal(key, 16 + entry.data.length, (body) => {
    body.u8(entryVersion);
    body.u8(entryTypes.indexOf(entry.type));
    body.varint(entry.term);
    body.raw(entry.data);
  });
  batch.put(key, value);
}

export function readEntry({ key, value }: KeyValue): Entry {
  const body = unseal(key, value);
  const version = body.u8();
  const type = entryTypes[body.u8()];
  if (version !== entryVersion || type === undefined) {
    throw new VectronError('CORRUPT', `a log entry has version ${version} or a type this program does not know`);
  }
  const term = termCodec.read(body);
  return { index: indexOfEntryKey(key), term, type, data: body.rest() };
}
