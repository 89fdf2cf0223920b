import { assert } from '../../base/assert';
import { type ErrorCode, VectronError } from '../../base/errors';
import { barrierKey } from '../keys';
import { type Fence, type KeyValue, type RangeOptions, type SequencedStore, WriteBatch } from '../ports';

/**
 * RocksDB behind the ordered store port: the one file that knows @nxtedition/rocksdb, whose version is pinned, because it
 * uses the package's native module directly. That module's calls are synchronous, need no opened wrapper in each thread,
 * and were studied for what a terminated thread leaves behind.
 *
 *  1. One thread of the process opens a database and keeps it open; it must outlive every thread that attached by handle.
 *     The native object closes its database when it is collected, so open databases are held in a set.
 *  2. A thread may be terminated inside any call made here. db_query is never called: terminated inside it, the process
 *     ends. Iterators live within one range() call.
 *  3. The first failed write poisons the fence, which every write checks: RocksDB itself resumes after a full disk, and
 *     would leave a hole where the failed batch belonged.
 *  4. What is read is a copy of its own, as plain Uint8Arrays aligned to 8 bytes.
 */
export interface RocksOptions {
  readonly createIfMissing: boolean;
  /** Bounds the write-ahead log too: about 1.5 times this stays on disk and in memory before it is flushed. */
  readonly memtableBytes: number;
  readonly cacheBytes: number;
}

type Context = { readonly brand: 'rocksdb database' };
type Batch = { readonly brand: 'rocksdb batch' };
type Iterator = { readonly brand: 'rocksdb iterator' };

interface Binding {
  db_init(locationOrHandle: string | bigint): Context;
  db_open(context: Context, options: object, callback: (error: Error | null) => void): void;
  db_close(context: Context, callback: (error: Error | null) => void): void;
  db_get_handle(context: Context): bigint;
  db_get_latest_sequence(context: Context): number;
  db_get_many_sync(context: Context, keys: readonly Uint8Array[], options: object): (Buffer | undefined | null)[];
  db_clear(context: Context, range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): void;
  batch_init(): Batch;
  batch_clear(batch: Batch): void;
  batch_put(batch: Batch, key: Uint8Array, value: Uint8Array, options: undefined): void;
  batch_del(batch: Batch, key: Uint8Array, options: undefined): void;
  batch_write(context: Context, batch: Batch, options: { readonly sync: boolean }): void;
  iterator_init(context: Context, options: object): Iterator;
  iterator_nextv_sync(iterator: Iterator, countMax: number): { readonly rows: readonly Buffer[] };
  iterator_close(iterator: Iterator): void;
}

const binding: Binding = require('@nxtedition/rocksdb/binding');

const opened = new Set<Context>();
const int32Max = 2 ** 31 - 1;
const readOptions = { valueEncoding: 'buffer' };

export class RocksStore implements SequencedStore {
  /** One native batch, used again and again: the collector does not see the memory behind it. */
  private readonly batch = binding.batch_init();
  private closed = false;

  private constructor(
    private readonly context: Context,
    private readonly fence: Fence,
  ) {}

  /** Opens a database for the whole process. FAILED_PRECONDITION if another one has it open, CORRUPT if it is damaged. */
  static async open(directory: string, options: RocksOptions, fence: Fence): Promise<RocksStore> {
    const context = binding.db_init(directory);
    await new Promise<void>((resolve, reject) => {
      binding.db_open(context, nativeOptions(options), (error) => {
        if (error === null) resolve();
        else reject(openError(directory, error));
      });
    });
    opened.add(context);
    return new RocksStore(context, fence);
  }

  /** For any thread of the process that opened the database. */
  static attach(handle: bigint, fence: Fence): RocksStore {
    return new RocksStore(binding.db_init(handle), fence);
  }

  get handle(): bigint {
    return binding.db_get_handle(this.context);
  }

  get sequence(): number {
    this.expectOpen();
    return binding.db_get_latest_sequence(this.context);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.getMany([key])[0];
  }

  getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    this.expectOpen();
    const values = reading(() => binding.db_get_many_sync(this.context, keys, readOptions));
    return values.map((value) => {
      assert(value !== null, 'getMany: a read was cut off, though it had no deadline');
      return value === undefined ? undefined : plainBytes(value);
    });
  }

  write({ operations }: WriteBatch, options: { readonly sync: boolean }): void {
    if (operations.length === 0) {
      if (options.sync) this.sync();
      return;
    }
    this.writing(() => {
      binding.batch_clear(this.batch);
      for (const operation of operations) {
        if (operation.type === 'put') binding.batch_put(this.batch, operation.key, operation.value, undefined);
        else binding.batch_del(this.batch, operation.key, undefined);
      }
      binding.batch_write(this.context, this.batch, options);
    });
  }

  /** By a synced write: the write-ahead log is synced up to it, files that were already full included. */
  sync(): void {
    this.write(new WriteBatch().put(barrierKey, barrierValue), { sync: true });
  }

  range(options: RangeOptions): KeyValue[] {
    this.expectOpen();
    if (options.countMax <= 0) return [];
    return reading(() => {
      const iterator = binding.iterator_init(this.context, nativeRange(options));
      try {
        return pairs(binding.iterator_nextv_sync(iterator, Math.min(options.countMax, int32Max)).rows);
      } finally {
        binding.iterator_close(iterator);
      }
    });
  }

  deleteRange(start: Uint8Array, end: Uint8Array): void {
    this.writing(() => binding.db_clear(this.context, { gte: start, lt: end }));
  }

  /** This thread is done with the database, which stays open. */
  close(): void {
    this.closed = true;
  }

  /** Closes the database for the process. Only by who opened it, after every other thread has let go of it. */
  async closeDatabase(): Promise<void> {
    this.closed = true;
    if (!opened.delete(this.context)) return;
    await new Promise<void>((resolve, reject) => {
      binding.db_close(this.context, (error) => {
        if (error === null) resolve();
        else reject(new VectronError('INTERNAL', `closing a database: ${error.message}`, { cause: error }));
      });
    });
  }

  private expectOpen(): void {
    assert(!this.closed, 'RocksStore: used after close');
  }

  private writing(work: () => void): void {
    this.expectOpen();
    if (this.fence.poisoned) throw new VectronError('POISONED', 'an earlier write to this process’s stores failed');
    try {
      work();
    } catch (cause) {
      this.fence.poison();
      throw new VectronError('POISONED', `a write failed: ${(cause as Error).message}`, { cause });
    }
  }
}

const barrierValue = new Uint8Array(0);

/**
 * Universal compaction, as the binding's levelled one compresses from its third level on, and vectors do not shrink.
 * Without `compaction` the memtable budget would be ignored. No log of its own, no compression of the write-ahead log.
 */
function nativeOptions({ createIfMissing, memtableBytes, cacheBytes }: RocksOptions): object {
  return {
    createIfMissing,
    compaction: 'universal',
    memtableMemoryBudget: memtableBytes,
    compression: false,
    walCompression: false,
    cacheSize: cacheBytes,
    parallelism: 2,
  };
}

function nativeRange({ start, end, bytesMax = int32Max, reverse = false }: RangeOptions): object {
  return {
    gte: start,
    lt: end,
    reverse,
    // The native loop stops above the mark, the port at it.
    highWaterMarkBytes: Math.max(0, Math.min(bytesMax, int32Max) - 1),
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    asyncIO: false,
  };
}

function pairs(rows: readonly Buffer[]): KeyValue[] {
  const found: KeyValue[] = [];
  for (let i = 0; i + 1 < rows.length; i += 2) {
    found.push({ key: plainBytes(rows[i] as Buffer), value: plainBytes(rows[i + 1] as Buffer) });
  }
  return found;
}

/** Not a Buffer, whose slice() does not copy: code written for Uint8Array must find one. */
const plainBytes = (buffer: Buffer): Uint8Array => new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);

function reading<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const code: ErrorCode = codeOf(cause) === 'LEVEL_CORRUPTION' ? 'CORRUPT' : 'INTERNAL';
    throw new VectronError(code, `a read failed: ${(cause as Error).message}`, { cause });
  }
}

function openError(directory: string, cause: Error): VectronError {
  if (codeOf(cause) === 'LEVEL_LOCKED') {
    return new VectronError('FAILED_PRECONDITION', `${directory} is in use by another process`, { cause });
  }
  const damaged = codeOf(cause) === 'LEVEL_CORRUPTION' || cause.message.includes('does not exist');
  return new VectronError(damaged ? 'CORRUPT' : 'INTERNAL', `opening ${directory}: ${cause.message}`, { cause });
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code;
