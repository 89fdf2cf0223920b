import { assert, present } from '../base/assert';
import { ByteWriter, compareBytes } from '../base/bytes';
import { VectronError } from '../base/errors';
import type { LogIndex, ReplicaId, Term } from '../base/ids';
import { snapshotChunkBytesMax } from '../base/limits';
import { type Codec, encode, f64, struct, type TypeOf, u8, u64, varint } from '../protocol/codec';
import { epochCodec } from '../protocol/ids';
import { laterMembers } from '../protocol/records';
import type { Schema } from '../protocol/schemas';
import { pointRange, spaceOf } from '../storage/keys';
import type { KeyValueStore } from '../storage/ports';
import { checkFormat, type Descriptor, formatOf } from './descriptor';
import { pointIdOf, successor } from './point-keys';
import { decodeRecord } from './point-record';
import { encodeSchema } from './schema-record';
import type { Change } from './shard-apply';

/** What comes before the records: enough for the receiver to know that it has them all, and unharmed. */
const headerFields = {
  format: u8,
  epoch: epochCodec,
  timeMs: f64,
  points: varint,
  records: varint,
  digest: u64,
  members: laterMembers,
};
const headerCodec = struct(headerFields);
export type SnapshotHeader = TypeOf<typeof headerCodec> & {
  /** Of flags that are on; in format 2 alone. */
  readonly level: number;
};

/** Also in the middle of other bytes. Throws UNSUPPORTED_VERSION for a format of a later version. */
export const snapshotHeaderCodec: Codec<SnapshotHeader> = {
  write: (w, header) => {
    const format = formatOf(header.level);
    headerCodec.write(w, { ...header, format });
    if (format > 1) varint.write(w, header.level);
  },
  read: (r) => {
    const header = headerCodec.read(r);
    checkFormat(header.format, 'a snapshot');
    return { ...header, level: header.format === 1 ? 0 : varint.read(r) };
  },
};

/** Old records held for one reader: a snapshot that falls behind a busier writer ends with an error and is begun anew. */
export const preImageBytesMax = 64 * 1024 * 1024;
const scanRecordsMax = 512;
/** In place of an id, which is never empty: what follows is the schema. */
export const schemaItem = '';

/** Smaller ones are for tests. */
export interface SourceLimits {
  readonly chunkBytes: number;
  readonly preImageBytes: number;
}
export const sourceLimits: SourceLimits = { chunkBytes: snapshotChunkBytesMax, preImageBytes: preImageBytesMax };

/**
 * The records of a shard as of one applied index, while applies go on. The store is read in key order; what an apply is
 * about to overwrite ahead of the reader is set aside first.
 *
 *  1. Every record says the log index that wrote it, so a record newer than the snapshot betrays itself. It is replaced
 *     by what was set aside for its key, or left out if nothing was: then the key did not exist.
 *  2. A record is set aside only if it belongs to the snapshot and the reader has not passed its key.
 *  3. Applies never remove a key (a deletion is a record), so no key that belongs to the snapshot can be missed.
 *
 * As bytes: the length-prefixed header, the schema if there is one, then id and value of each record, each length-prefixed; cut into chunks anywhere.
 */
export class ShardSnapshotSource {
  readonly index: LogIndex;
  readonly term: Term;
  private readonly preImages = new Map<string, Uint8Array>();
  private preImageBytes = 0;
  private failure: string | null = null;
  private cursor: Uint8Array;
  private readonly end: Uint8Array;
  private scanned = false;
  private pending: Uint8Array;
  private number = -1;
  private current: Uint8Array | null = null;

  constructor(
    private readonly store: KeyValueStore,
    replica: ReplicaId,
    descriptor: Descriptor,
    schema: Schema,
    private readonly closed: (source: ShardSnapshotSource) => void,
    private readonly limits: SourceLimits = sourceLimits,
  ) {
    const { chunkBytes } = limits;
    assert(chunkBytes > 0 && chunkBytes <= snapshotChunkBytesMax, 'snapshot: chunkBytes is out of range');
    this.index = descriptor.appliedIndex;
    this.term = descriptor.appliedTerm;
    const range = pointRange(spaceOf(replica, descriptor.generation));
    this.cursor = range.start;
    this.end = range.end;
    this.pending = beginning(descriptor, schema);
  }

  /** Must hear of every change before it is written. */
  beforeChange(change: Change, key: Uint8Array): void {
    const { id, before } = change;
    if (this.failure !== null || before === null || before.touched > this.index) return;
    if (this.scanned || this.preImages.has(id) || compareBytes(key, this.cursor) < 0) return;
    const value = present(this.store.get(key), () => `the record of point ${id} before its change`);
    this.preImages.set(id, value);
    this.preImageBytes += value.length;
    if (this.preImageBytes > this.limits.preImageBytes)
      this.fail('too many points changed while the snapshot was read');
  }

  fail(why: string): void {
    this.failure = why;
    this.preImages.clear();
  }

  /** Throws RESOURCE_EXHAUSTED when writers outran it, CORRUPT when a record is. */
  chunk(n: number): Uint8Array | null {
    if (this.failure !== null) throw new VectronError('RESOURCE_EXHAUSTED', `snapshot: ${this.failure}`);
    if (n === this.number) return this.current;
    assert(n === this.number + 1, () => `snapshot: chunk ${n} after ${this.number}`);
    this.current = this.produce();
    this.number = n;
    return this.current;
  }

  close(): void {
    this.fail('closed');
    this.closed(this);
  }

  private produce(): Uint8Array | null {
    const { chunkBytes } = this.limits;
    const writer = new ByteWriter(chunkBytes * 2);
    writer.raw(this.pending);
    while (!this.scanned && writer.length < chunkBytes) this.scanInto(writer);
    const bytes = writer.finish();
    this.pending = bytes.subarray(chunkBytes);
    return bytes.length === 0 ? null : bytes.subarray(0, chunkBytes);
  }

  private scanInto(writer: ByteWriter): void {
    const range = { start: this.cursor, end: this.end, countMax: scanRecordsMax, bytesMax: this.limits.chunkBytes };
    const found = this.store.range(range);
    for (const { key, value } of found) {
      const id = pointIdOf(key);
      const record = this.asOfSnapshot(id, value);
      if (record === undefined) continue;
      writer.text(id);
      writer.lengthPrefixed(record);
    }
    const last = found[found.length - 1];
    if (last === undefined) this.scanned = true;
    else this.cursor = successor(last.key);
  }

  private asOfSnapshot(id: string, value: Uint8Array): Uint8Array | undefined {
    if (decodeRecord(id, value).touched <= this.index) return value;
    const before = this.preImages.get(id);
    this.preImages.delete(id);
    this.preImageBytes -= before?.length ?? 0;
    return before;
  }
}

function beginning(descriptor: Descriptor, schema: Schema): Uint8Array {
  const writer = new ByteWriter();
  writer.lengthPrefixed(encode(snapshotHeaderCodec, descriptor));
  if (schema.revision > 0) {
    writer.text(schemaItem);
    writer.lengthPrefixed(encodeSchema(schema));
  }
  return writer.finish();
}
