import { assert } from '../base/assert';
import { equalBytes } from '../base/bytes';
import { VectronError } from '../base/errors';
import type { Prng } from '../base/prng';
import {
  type Fence,
  type KeyValue,
  type RangeOptions,
  type SequencedStore,
  WriteBatch,
  type WriteOperation,
} from './ports';
import { SortedMap } from './sorted-map';

/**
 * Called before a batch is written and before a sync makes writes durable. What it throws reaches the caller: an I/O
 * error, a full disk, or the simulator's signal that the machine dies here.
 */
export type FaultHook = (operation: 'write' | 'sync', batch: WriteBatch | null) => void;
/** Called before anything is read. What it throws reaches the caller; nothing is poisoned by it. */
export type ReadHook = () => void;

interface Undo {
  readonly key: Uint8Array;
  readonly previous: Uint8Array | undefined;
}

const deletePieceCount = 1_024;

/**
 * The ordered store in memory, for tests and the simulator, with the durability of a store that has a write-ahead log.
 *
 *  1. Unsynced batches form a suffix of all batches. A crash keeps a prefix of them, each whole or not at all.
 *  2. A synced batch, and everything before it, survives every crash.
 *  3. After a failed sync nothing becomes durable until the next crash, though later syncs report success: the operating
 *     system may have dropped the dirty pages (Rebello and others, "Can applications recover from fsync failures?",
 *     ATC 2020). Only a caller that takes the first failed sync as final is safe.
 *  4. Keys and values are copied when written. What is read is immutable.
 */
export class MemoryStore implements SequencedStore {
  hook: FaultHook | null = null;
  readHook: ReadHook | null = null;
  /** Shared with the machine's other store: once poisoned nothing is written, and what the hook throws poisons it. */
  fence: Fence | null = null;
  readonly counts = { writes: 0, syncs: 0 };
  private readonly map = new SortedMap();
  /** How to take batches back, oldest first; the first `durableCount` of them are on disk. */
  private readonly history: Undo[][] = [];
  private durableCount = 0;
  private syncFailed = false;
  private closed = false;

  /** `durableHistoryMax`: how many durable batches loseDurable() could take back. */
  constructor(private readonly durableHistoryMax = 0) {}

  /** Grows by one with each operation; a crash sets it back to the last survivor's. */
  sequence = 0;

  get size(): number {
    return this.map.size;
  }

  get unsyncedCount(): number {
    return this.history.length - this.durableCount;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.expectReadable();
    return this.map.get(key);
  }

  /** What a crash now would leave of a value if it took every unsynced batch. */
  getDurable(key: Uint8Array): Uint8Array | undefined {
    const { history } = this;
    for (let i = this.durableCount; i < history.length; i++) {
      for (const undo of history[i] as Undo[]) if (equalBytes(undo.key, key)) return undo.previous;
    }
    return this.map.get(key);
  }

  getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    this.expectReadable();
    return keys.map((key) => this.map.get(key));
  }

  write(batch: WriteBatch, options: { readonly sync: boolean }): void {
    this.expectWritable();
    this.mayFail('write', batch);
    this.counts.writes++;
    this.history.push(batch.operations.map((operation) => this.apply(operation)));
    this.sequence += batch.operations.length;
    if (options.sync) this.sync();
  }

  sync(): void {
    this.expectWritable();
    try {
      this.mayFail('sync', null);
    } catch (error) {
      this.syncFailed = true;
      throw error;
    }
    this.counts.syncs++;
    if (this.syncFailed) return;
    this.history.splice(0, Math.max(0, this.history.length - this.durableHistoryMax));
    this.durableCount = this.history.length;
  }

  range(options: RangeOptions): KeyValue[] {
    this.expectReadable();
    const found: KeyValue[] = [];
    const { start, end, countMax, bytesMax = Number.POSITIVE_INFINITY } = options;
    let bytes = 0;
    const visit = (key: Uint8Array, value: Uint8Array): boolean => {
      found.push({ key, value });
      bytes += key.length + value.length;
      return found.length < countMax && bytes < bytesMax;
    };
    if (countMax <= 0) return found;
    if (options.reverse === true) this.map.descend(start, end, visit);
    else this.map.ascend(start, end, visit);
    return found;
  }

  deleteRange(start: Uint8Array, end: Uint8Array): void {
    for (;;) {
      const piece = this.range({ start, end, countMax: deletePieceCount });
      if (piece.length === 0) return;
      const batch = new WriteBatch();
      for (const { key } of piece) batch.delete(key);
      this.write(batch, { sync: false });
    }
  }

  close(): void {
    this.closed = true;
  }

  /** The process ended or closed the store, and opens it again: nothing is lost. */
  reopen(): void {
    this.closed = false;
  }

  /** The machine lost power: a random prefix of the unsynced batches survives, and is durable from then on. */
  crash(random: Prng): void {
    this.loseBatches(random.between(0, this.unsyncedCount));
    this.history.splice(0, Math.max(0, this.history.length - this.durableHistoryMax));
    this.durableCount = this.history.length;
    this.syncFailed = false;
    this.closed = false;
  }

  /** Durable batches that loseDurable() could take back. */
  get losableCount(): number {
    return this.durableCount;
  }

  /** As it is now, all batches that are remembered included; what is done to the one is not done to the other. */
  copy(): MemoryStore {
    const copied = new MemoryStore(this.durableHistoryMax);
    copied.map.fill(this.map);
    copied.history.push(...this.history);
    copied.durableCount = this.durableCount;
    copied.syncFailed = this.syncFailed;
    copied.sequence = this.sequence;
    return copied;
  }

  /** Corruption that recovery took for the log's end: unsynced batches and the `count` newest durable ones are gone. */
  loseDurable(count: number): void {
    assert(count <= this.durableCount, 'loseDurable: not that many durable batches are remembered');
    this.loseBatches(this.unsyncedCount + count);
    this.durableCount = this.history.length;
  }

  /** Puts other bytes in a value's place behind everybody's back. */
  overwrite(key: Uint8Array, value: Uint8Array): void {
    assert(this.map.get(key) !== undefined, 'overwrite: no value to damage');
    this.map.set(key, value);
  }

  /** Flips one bit of a stored value behind everybody's back. */
  flipBit(key: Uint8Array, random: Prng): void {
    const value = this.map.get(key);
    assert(value !== undefined && value.length > 0, 'flipBit: no value to damage');
    const damaged = value.slice();
    const at = random.between(0, damaged.length - 1);
    damaged[at] = (damaged[at] as number) ^ (1 << random.between(0, 7));
    this.map.set(key, damaged);
  }

  private expectOpen(): void {
    assert(!this.closed, 'MemoryStore: used after close');
  }

  private expectReadable(): void {
    this.expectOpen();
    this.readHook?.();
  }

  private expectWritable(): void {
    this.expectOpen();
    if (this.fence?.poisoned === true) throw new VectronError('POISONED', 'an earlier write to these stores failed');
  }

  private mayFail(operation: 'write' | 'sync', batch: WriteBatch | null): void {
    try {
      this.hook?.(operation, batch);
    } catch (error) {
      this.fence?.poison();
      throw error;
    }
  }

  private apply(operation: WriteOperation): Undo {
    const { key } = operation;
    if (operation.type === 'delete') return { key: new Uint8Array(key), previous: this.map.delete(key) };
    const owned = new Uint8Array(key);
    return { key: owned, previous: this.map.set(owned, new Uint8Array(operation.value)) };
  }

  private loseBatches(count: number): void {
    for (let i = 0; i < count; i++) {
      const undos = this.history.pop() as Undo[];
      this.sequence -= undos.length;
      for (const { key, previous } of undos.reverse()) {
        if (previous === undefined) this.map.delete(key);
        else this.map.set(key, previous);
      }
    }
  }
}
