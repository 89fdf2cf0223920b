import { assert } from '../base/assert';
import { ByteWriter, utf8 } from '../base/bytes';
import { VectronError } from '../base/errors';
import { type ClusterId, type LogIndex, logIndex, type ReplicaId, type Space, type Term, term } from '../base/ids';
import { snapshotChunkBytesMax } from '../base/limits';
import { PlacementMachine, type PlacementOutcome } from '../placement/machine';
import { keyOf, kindByte, type Row, type RowKey, rowCodec } from '../placement/records';
import { bytes, type Codec, decode, struct, varint } from '../protocol/codec';
import { checkLevel, type FlagRange, flagRange } from '../protocol/flags';
import { logIndexCodec, termCodec } from '../protocol/ids';
import type { Entry, SnapshotMeta } from '../protocol/raft-messages';
import { orderedBytes, recordKey, recordRange, replicaStateKey, spaceOf } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { seal, unseal } from '../storage/sealed';
import type { SnapshotSink, SnapshotSource, StateMachine } from './state-machine';

/** Durable. `generation` names the key space that holds the rows: a snapshot is installed beside and switched to. */
const descriptorCodec = struct({ format: varint, generation: varint });
const appliedCodec = struct({ index: logIndexCodec, term: termCodec });
/** wire */
const snapshotCodec = struct({ format: varint, state: bytes });
const format = 1;
const snapshotKey = utf8('placement snapshot');
/** Bytes of rows in one batch while a snapshot is installed. */
const batchBytesMax = 1024 * 1024;
const rowsReadMax = 1_024;

export interface PlacementStoreOptions {
  readonly cluster: ClusterId;
  readonly replica: ReplicaId;
  readonly store: KeyValueStore;
  /** The levels this program supports. */
  readonly flags?: FlagRange;
}

/**
 * The placement driver's machine with its home in the state store. Owned by the placement driver's actor.
 *
 *  1. The rows that a run of entries changed and the applied index are written in one batch: a restart finds a state that
 *     some prefix of the log leads to.
 *  2. A snapshot becomes the state by one synced write, or not at all.
 *  3. Every value carries a checksum; one that does not hold throws CORRUPT at opening.
 */
export class PlacementStore implements StateMachine {
  appliedIndex: LogIndex;
  appliedTerm: Term;
  private machineNow: PlacementMachine;
  private generation: number;
  /** Of the commands of the latest apply() alone. */
  private outcomes = new Map<LogIndex, PlacementOutcome>();

  constructor(private readonly options: PlacementStoreOptions) {
    this.generation = this.read('descriptor', descriptorCodec)?.generation ?? 0;
    const at = this.read('applied', appliedCodec);
    this.appliedIndex = at?.index ?? logIndex(0);
    this.appliedTerm = at?.term ?? term(0);
    for (const stray of [this.generation - 1, this.generation + 1]) if (stray >= 0) this.clear(stray);
    const rows = this.readRows();
    if (rows.length === 0 && this.appliedIndex > 0) throw corrupt('an applied index without its records');
    this.machineNow = rows.length === 0 ? PlacementMachine.fresh(options.cluster) : PlacementMachine.fromRows(rows);
    if (this.machineNow.cluster !== options.cluster) throw corrupt(`it is cluster ${this.machineNow.cluster}'s`);
  }

  digest(): string {
    return this.machineNow.digest();
  }

  get machine(): PlacementMachine {
    return this.machineNow;
  }

  /** What became of a command, known until the next apply(). */
  outcomeOf(index: LogIndex): PlacementOutcome | null {
    return this.outcomes.get(index) ?? null;
  }

  apply(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.outcomes = new Map();
    for (const { index, term, type, data } of entries) {
      assert(index > this.appliedIndex, () => `entry ${index} is applied already`);
      if (type === 'command') this.outcomes.set(index, this.machineNow.apply(data, this.options.flags));
      this.appliedIndex = index;
      this.appliedTerm = term;
    }
    const batch = new WriteBatch();
    for (const { key, row } of this.machineNow.drainWrites()) {
      if (row === null) batch.delete(this.storeKey(key));
      else put(batch, this.storeKey(key), rowCodec, row);
    }
    this.options.store.write(this.putApplied(batch), { sync: false });
  }

  openSnapshot(): SnapshotSource {
    const image = sealed(snapshotKey, snapshotCodec, { format, state: this.machineNow.serialise() });
    return {
      index: this.appliedIndex,
      term: this.appliedTerm,
      chunk: (n) => {
        const start = n * snapshotChunkBytesMax;
        return start >= image.length ? null : image.subarray(start, start + snapshotChunkBytesMax);
      },
      close: () => undefined,
    };
  }

  openRestore(meta: SnapshotMeta): SnapshotSink {
    const image = new ByteWriter();
    return {
      accept: (chunk) => image.raw(chunk),
      finish: () => this.install(meta, image.finish()),
      abort: () => undefined,
    };
  }

  private install(meta: SnapshotMeta, image: Uint8Array): void {
    const content = unsealed(snapshotKey, snapshotCodec, image);
    if (content.format !== format) throw corrupt(`snapshot format ${content.format} is unknown`);
    const machine = PlacementMachine.restore(content.state);
    if (machine.cluster !== this.options.cluster) throw corrupt(`a snapshot of cluster ${machine.cluster}`);
    checkLevel(machine.level, this.options.flags ?? flagRange, 'a snapshot of the placement driver');
    const previous = this.generation;
    this.generation = previous + 1;
    this.writeRows(machine.rows());
    this.machineNow = machine;
    this.appliedIndex = meta.index;
    this.appliedTerm = meta.term;
    const key = replicaStateKey(this.options.replica, 'descriptor');
    const batch = put(new WriteBatch(), key, descriptorCodec, { format, generation: this.generation });
    this.options.store.write(this.putApplied(batch), { sync: true });
    this.clear(previous);
  }

  private writeRows(rows: readonly Row[]): void {
    let batch = new WriteBatch();
    for (const row of rows) {
      put(batch, this.storeKey(keyOf(row)), rowCodec, row);
      if (batch.bytes < batchBytesMax) continue;
      this.options.store.write(batch, { sync: false });
      batch = new WriteBatch();
    }
    this.options.store.write(batch, { sync: false });
  }

  private readRows(): Row[] {
    const { start, end } = recordRange(this.space(this.generation));
    const rows: Row[] = [];
    for (let from = start; ; ) {
      const piece = this.options.store.range({ start: from, end, countMax: rowsReadMax });
      for (const { key, value } of piece) rows.push(unsealed(key, rowCodec, value));
      const last = piece.at(-1);
      if (last === undefined || piece.length < rowsReadMax) return rows;
      from = Uint8Array.of(...last.key, 0);
    }
  }

  private putApplied(batch: WriteBatch): WriteBatch {
    const key = replicaStateKey(this.options.replica, 'applied');
    return put(batch, key, appliedCodec, { index: this.appliedIndex, term: this.appliedTerm });
  }

  private read<T>(field: 'descriptor' | 'applied', codec: Codec<T>): T | null {
    const key = replicaStateKey(this.options.replica, field);
    const stored = this.options.store.get(key);
    return stored === undefined ? null : unsealed(key, codec, stored);
  }

  private clear(generation: number): void {
    const { start, end } = recordRange(this.space(generation));
    this.options.store.deleteRange(start, end);
  }

  private storeKey(key: RowKey): Uint8Array {
    return recordKey(this.space(this.generation), kindByte(key.kind), orderedBytes(key.id));
  }

  private space(generation: number): Space {
    return spaceOf(this.options.replica, generation);
  }
}

/** What is stored under `key`: the value, with a checksum. */
const sealed = <T>(key: Uint8Array, codec: Codec<T>, value: T): Uint8Array =>
  seal(key, 64, (body) => codec.write(body, value));

function unsealed<T>(key: Uint8Array, codec: Codec<T>, stored: Uint8Array): T {
  return decode(codec, unseal(key, stored).rest());
}

const put = <T>(batch: WriteBatch, key: Uint8Array, codec: Codec<T>, value: T): WriteBatch =>
  batch.put(key, sealed(key, codec, value));

const corrupt = (why: string): VectronError => new VectronError('CORRUPT', `placement state: ${why}`);
