import { assert } from '../base/assert';
import { ByteReader, ByteWriter, utf8 } from '../base/bytes';
import { VectronError } from '../base/errors';
import type { ReplicaId, Space } from '../base/ids';
import { decode } from '../protocol/codec';
import { checkLevel, type FlagRange } from '../protocol/flags';
import type { KeyHash } from '../protocol/key-hash';
import type { SnapshotMeta } from '../protocol/raft-messages';
import { expiryKey, pointKey, replicaStateKey, spaceOf } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { type Descriptor, encodeDescriptor } from './descriptor';
import { decodeRecord } from './point-record';
import { digestWith, emptyDigest, recordHash } from './record-digest';
import { clearProgress, putProgress, type RestoreProgress } from './restore-progress';
import { decodeSchema, putSchema } from './schema-record';
import { type SnapshotHeader, schemaItem, snapshotHeaderCodec } from './snapshot-source';

export interface SinkOptions {
  readonly store: KeyValueStore;
  readonly replica: ReplicaId;
  readonly keyHash: KeyHash;
  /** What this program supports: a snapshot of another level is not taken. */
  readonly flags: FlagRange;
  readonly meta: SnapshotMeta;
  /** Names the attempt that chunks come from. */
  readonly stream: number;
  /** Of an earlier start, to go on from; null: from the beginning. */
  readonly resumed: RestoreProgress | null;
  /** A generation no space of this replica has had. */
  readonly generation: number;
  /** The state was replaced, durably. */
  readonly installed: (descriptor: Descriptor) => void;
  /** The space is of no use. */
  readonly aborted: (space: Space) => void;
}

/**
 * Takes a snapshot into a fresh space. Nothing of it is visible before finish(), which writes one descriptor, synced,
 * as the log is about to forget what the old state needed. Every record's checksum, their number and their digest must hold.
 * How far it came is in the batch of each chunk, so that a restart goes on from the last one that survived.
 */
export class ShardSnapshotSink {
  private readonly space: Space;
  private header: SnapshotHeader | null = null;
  private rest: Uint8Array = new Uint8Array(0);
  private points = 0;
  private records = 0;
  private digest = emptyDigest;
  private done = false;
  /** Chunks accepted, in order. */
  chunks = 0;

  constructor(private readonly options: SinkOptions) {
    this.space = spaceOf(options.replica, options.generation);
    const { resumed } = options;
    if (resumed === null) return;
    this.header = resumed.header;
    this.rest = resumed.rest.slice();
    this.points = resumed.points;
    this.records = resumed.records;
    this.digest = resumed.digest;
    this.chunks = resumed.chunks;
  }

  /** Whether chunks of this attempt at this snapshot belong here. */
  isOf(meta: SnapshotMeta, stream: number): boolean {
    const { meta: own, stream: ownStream } = this.options;
    return !this.done && own.index === meta.index && own.term === meta.term && ownStream === stream;
  }

  /** Throws CORRUPT; then only abort() may follow. Throws UNSUPPORTED_VERSION for what this program cannot hold. */
  accept(chunk: Uint8Array): void {
    assert(!this.done, 'snapshot sink: used after its end');
    const writer = new ByteWriter(this.rest.length + chunk.length);
    writer.raw(this.rest);
    writer.raw(chunk);
    const bytes = writer.finish();
    const reader = new ByteReader(bytes);
    const batch = new WriteBatch();
    let used = 0;
    while (this.takeNext(reader, batch)) used = bytes.length - reader.remaining;
    this.rest = bytes.slice(used);
    this.chunks++;
    putProgress(batch, this.options.replica, this.progress());
    this.options.store.write(batch, { sync: false });
  }

  sync(): void {
    this.options.store.sync();
  }

  private progress(): RestoreProgress {
    const { meta, stream, generation } = this.options;
    const { chunks, header, rest, points, records, digest } = this;
    return { stream, meta, generation, chunks, header, rest, points, records, digest };
  }

  finish(): void {
    assert(!this.done, 'snapshot sink: used after its end');
    const { meta, generation, replica, store } = this.options;
    const header = this.verified();
    const { format, epoch, timeMs, points, records, digest, members, level } = header;
    const descriptor: Descriptor = {
      format,
      level,
      generation,
      appliedIndex: meta.index,
      appliedTerm: meta.term,
      configuration: meta.configuration,
      epoch,
      timeMs,
      points,
      records,
      digest,
      members,
    };
    const batch = new WriteBatch().put(replicaStateKey(replica, 'descriptor'), encodeDescriptor(descriptor));
    store.write(clearProgress(batch, replica), { sync: true });
    this.done = true;
    this.options.installed(descriptor);
  }

  /** May be called at any time, also after the end. */
  abort(): void {
    if (this.done) return;
    this.done = true;
    const { store, replica } = this.options;
    store.write(clearProgress(new WriteBatch(), replica), { sync: false });
    this.options.aborted(this.space);
  }

  private verified(): SnapshotHeader {
    const { header } = this;
    if (header === null || this.rest.length > 0) throw corrupt('it is cut short');
    if (header.points !== this.points || header.records !== this.records || header.digest !== this.digest) {
      throw corrupt('its records are not those it was made of');
    }
    return header;
  }

  /** False when what is left is not a whole item. */
  private takeNext(reader: ByteReader, batch: WriteBatch): boolean {
    if (this.header === null) {
      const bytes = wholePrefixed(reader);
      if (bytes === null) return false;
      this.header = decode(snapshotHeaderCodec, bytes);
      checkLevel(this.header.level, this.options.flags, 'a snapshot');
      return true;
    }
    const name = wholePrefixed(reader);
    const value = name === null ? null : wholePrefixed(reader);
    if (name === null || value === null) return false;
    this.take(textOf(name), value, batch);
    return true;
  }

  private take(id: string, value: Uint8Array, batch: WriteBatch): void {
    if (id === schemaItem) {
      putSchema(batch, this.space, decodeSchema(value));
      return;
    }
    const record = decodeRecord(id, value);
    this.records++;
    this.points += record.deleted ? 0 : 1;
    this.digest = digestWith(this.digest, recordHash(id, value));
    const { deleted, expiryMs } = record;
    if (!deleted && expiryMs > 0) batch.put(expiryKey(this.space, expiryMs, utf8(id)), new Uint8Array(0));
    batch.put(pointKey(this.space, this.options.keyHash(id), utf8(id)), value);
  }
}

/** A length-prefixed item if all of it is there. */
function wholePrefixed(reader: ByteReader): Uint8Array | null {
  const length = wholeVarint(reader);
  return length === null || length > reader.remaining ? null : reader.raw(length);
}

function wholeVarint(reader: ByteReader): number | null {
  let value = 0;
  for (let scale = 1; reader.remaining > 0; scale *= 0x80) {
    const byte = reader.u8();
    value += (byte & 0x7f) * scale;
    if (!Number.isSafeInteger(value)) throw corrupt('a length is out of range');
    if (byte < 0x80) return value;
  }
  return null;
}

function textOf(bytes: Uint8Array): string {
  const writer = new ByteWriter(bytes.length + 8);
  writer.lengthPrefixed(bytes);
  return new ByteReader(writer.finish()).text();
}

const corrupt = (why: string): VectronError => new VectronError('CORRUPT', `snapshot: ${why}`);
