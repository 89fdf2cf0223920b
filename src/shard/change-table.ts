import { VectronError } from '../base/errors';
import type { Space } from '../base/ids';
import { list, struct, text, varint } from '../protocol/codec';
import { changesFrom, changesKey } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { seal, unseal } from '../storage/sealed';

/** At index 0 of a space: every change above `from` is in the table. */
const headCodec = struct({ from: varint });
/** `total`: ids that this table was ever told of, those of this record included. Both are durable. */
const recordCodec = struct({ total: varint, ids: list(text) });

const sliceIdsMax = 128;
const sliceRecordsMax = 64;
const sliceBytesMax = 256 * 1024;
/** A record read by its id costs about as much as so many read in order. */
const lookupCost = 4;

/**
 * Which points changed at which log index: what a replica whose graph file holds the state of an earlier index has to
 * offer to its index, instead of every record it has (DESIGN D6). Owned by the shard machine; one for each space.
 *
 *  1. What it says of a change is in the batch of that change. It names every point revised above `from`, for every prefix of
 *     the batches that a crash leaves.
 *  2. `from` moves before what it covers is deleted, and only to an index that a stored graph file holds, or to one where
 *     reading all records would be cheaper.
 *  3. It is derived: a damaged table is no table.
 */
export class ChangeTable {
  /** Null: the space has no table yet. */
  private from: number | null = null;
  private total = 0;
  /** Until `total` is so much, the table is not longer than the records were when it was measured last. */
  private measureAt = 0;

  constructor(
    private readonly store: KeyValueStore,
    private readonly space: Space,
  ) {
    const head = read(store, changesKey(space, 0), headCodec);
    if (head === null) return;
    const { start, end } = changesFrom(space, 1);
    const [last] = store.range({ start, end, countMax: 1, reverse: true });
    const record = last === undefined ? null : opened(last.key, last.value, recordCodec);
    if (last !== undefined && record === null) return;
    this.from = head.from;
    this.total = record?.total ?? 0;
  }

  /** Adds the ids that entries up to `index` revised; before them the state was that of `before`. */
  add(batch: WriteBatch, ids: readonly string[], before: number, index: number): void {
    if (this.from === null) this.begin(batch, before);
    if (ids.length === 0) return;
    this.total += ids.length;
    const key = changesKey(this.space, index);
    const { total } = this;
    batch.put(
      key,
      seal(key, 16 * ids.length, (body) => recordCodec.write(body, { total, ids })),
    );
  }

  /** How many ids were named above `index`; null if some may be missing. */
  countAfter(index: number): number | null {
    if (this.from === null || index < this.from) return null;
    const { start, end } = changesFrom(this.space, index + 1);
    const [first] = this.store.range({ start, end, countMax: 1 });
    if (first === undefined) return 0;
    const record = opened(first.key, first.value, recordCodec);
    return record === null ? null : this.total - record.total + record.ids.length;
  }

  /** How many were named since the graph file that an index as of `stamp` came from; null: that file is older than the table. */
  countUnsaved(stamp: number): number | null {
    return this.from === null || stamp < this.from ? null : this.countAfter(this.from);
  }

  /** Whether going through the changes above `index` is right, and cheaper than going through `records`. */
  isShorterThan(records: number, index: number): boolean {
    const count = this.countAfter(index);
    return count !== null && count * lookupCost <= records;
  }

  /** Nobody needs the changes up to `index` any more. */
  trim(index: number): void {
    if (this.from === null || index <= this.from) return;
    const batch = new WriteBatch();
    this.begin(batch, index);
    this.store.write(batch, { sync: false });
    this.store.deleteRange(changesKey(this.space, 1), changesKey(this.space, index + 1));
  }

  /** Keeps the table below what reading all records costs; `index` is the applied one. */
  bound(records: number, index: number): void {
    if (this.total < records * 2 + sliceIdsMax || this.total < this.measureAt) return;
    const length = this.length();
    if (length === null || length > records) this.trim(index);
    this.measureAt = this.total + records - (length === null || length > records ? 0 : length);
  }

  /** How many ids all its records name; null: that of a damaged one is not known. */
  private length(): number | null {
    const [first] = this.store.range({ ...changesFrom(this.space, 1), countMax: 1 });
    if (first === undefined) return 0;
    const record = opened(first.key, first.value, recordCodec);
    return record === null ? null : this.total - record.total + record.ids.length;
  }

  /** A cursor over the ids named in (after, to]. */
  walk(after: number, to: number): ChangeWalk {
    return new ChangeWalk(this.store, changesKey(this.space, after + 1), changesKey(this.space, to + 1));
  }

  private begin(batch: WriteBatch, from: number): void {
    this.from = from;
    const key = changesKey(this.space, 0);
    batch.put(
      key,
      seal(key, 16, (body) => headCodec.write(body, { from })),
    );
  }
}

/** Goes through a part of the table in slices. */
export class ChangeWalk {
  private waiting: readonly string[] = [];
  private exhausted = false;

  constructor(
    private readonly store: KeyValueStore,
    private cursor: Uint8Array,
    private readonly end: Uint8Array,
  ) {}

  /** The next ids; none: the end. Null: the table is damaged. */
  next(): readonly string[] | null {
    if (this.waiting.length === 0 && !this.exhausted && !this.fill()) return null;
    const ids = this.waiting.slice(0, sliceIdsMax);
    this.waiting = this.waiting.slice(sliceIdsMax);
    return ids;
  }

  private fill(): boolean {
    const { cursor: start, end } = this;
    const found = this.store.range({ start, end, countMax: sliceRecordsMax, bytesMax: sliceBytesMax });
    const ids = new Set<string>();
    for (const { key, value } of found) {
      const record = opened(key, value, recordCodec);
      if (record === null) return false;
      for (const id of record.ids) ids.add(id);
      this.cursor = Uint8Array.of(...key, 0);
    }
    this.waiting = [...ids];
    this.exhausted = found.length === 0;
    return true;
  }
}

type Reader<T> = { read(reader: ReturnType<typeof unseal>): T };

function read<T>(store: KeyValueStore, key: Uint8Array, codec: Reader<T>): T | null {
  const value = store.get(key);
  return value === undefined ? null : opened(key, value, codec);
}

/** Null: it is damaged. */
function opened<T>(key: Uint8Array, value: Uint8Array, codec: Reader<T>): T | null {
  try {
    return codec.read(unseal(key, value));
  } catch (thrown) {
    if (thrown instanceof VectronError && thrown.code === 'CORRUPT') return null;
    throw thrown;
  }
}
