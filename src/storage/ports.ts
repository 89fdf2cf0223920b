/**
 * The ordered key-value port: what RocksDB and the in-memory engine both offer. Keys and values are bytes, keys ordered
 * as unsigned bytes. All calls are synchronous and short (DESIGN D1); a failed call throws VectronError.
 */
export interface KeyValueStore {
  get(key: Uint8Array): Uint8Array | undefined;
  getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[];
  /** All or nothing. With `sync`, on disk when it returns; otherwise a crash may lose a suffix of unsynced writes. */
  write(batch: WriteBatch, options: { readonly sync: boolean }): void;
  /** Makes every earlier write durable. */
  sync(): void;
  /** Entries with start <= key < end, at most `countMax`, in order (reverse: from the end). A consistent view. */
  range(options: RangeOptions): KeyValue[];
  /** Removes start <= key < end in bounded pieces; not atomic with anything. */
  deleteRange(start: Uint8Array, end: Uint8Array): void;
  close(): void;
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface RangeOptions {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly countMax: number;
  /** Stops after the entry that reaches this many bytes of keys and values. */
  readonly bytesMax?: number;
  readonly reverse?: boolean;
}

export type WriteOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: Uint8Array };

/** Collects writes; applied by KeyValueStore.write. */
export class WriteBatch {
  readonly operations: WriteOperation[] = [];
  bytes = 0;

  put(key: Uint8Array, value: Uint8Array): this {
    this.operations.push({ type: 'put', key, value });
    this.bytes += key.length + value.length;
    return this;
  }

  delete(key: Uint8Array): this {
    this.operations.push({ type: 'delete', key });
    this.bytes += key.length;
    return this;
  }
}

/** A store that numbers its writes: `sequence` grows with every operation and is recovered with the data. */
export interface SequencedStore extends KeyValueStore {
  readonly sequence: number;
}

/**
 * Words that all threads of a process share about their stores. They live as long as the process: what a failed sync
 * left behind is only known again after a restart, which opens the stores anew.
 */
export interface Fence {
  /** Once true, true for ever. */
  readonly poisoned: boolean;
  poison(): void;
  /** Which owner of the log store may write: the newest claim. */
  readonly epoch: number;
  /** Takes the log store over from a predecessor whose thread has ended; what that one still says no longer counts. */
  claim(): number;
}

/**
 * Where the last synced sequence is kept outside the store. `read` gives null if none was ever written and throws
 * CORRUPT if it cannot tell. A mark may lag behind the truth after a power cut, never run ahead of it.
 */
export interface SequenceMark {
  read(): number | null;
  write(sequence: number): void;
}

/**
 * The log's home, opened by the log writer alone. `fence` is the last synced sequence, kept outside the store: a store
 * that opens below it has lost acknowledged writes and is corrupt (DESIGN D3).
 */
export interface LogEngine {
  readonly store: KeyValueStore;
  /** True once a sync failed, in this thread or another: the first failed sync is final. */
  readonly poisoned: boolean;
  /** Writes, syncs, and moves the fence. Throws POISONED, for ever, after the first failure. */
  commit(batch: WriteBatch): void;
  /** Ends all writing in this process: something else than a commit failed whose success was relied upon. */
  poison(): void;
  /** Why the store as opened cannot be trusted, or null. */
  readonly corruption: string | null;
}
