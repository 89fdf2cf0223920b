import { compareBytes } from '../base/bytes';
import type { KeyRange } from '../storage/keys';
import { keyOf, pointIdOf, successor } from './point-keys';
import { decodeRecord, type PointRecord } from './point-record';
import type { PointView } from './shard-query';

export interface FoundRecord {
  readonly key: Uint8Array;
  readonly id: string;
  readonly record: PointRecord;
}

/** Records in key order, a slice at a time, while the store changes. */
export interface RecordSource {
  /** The next ones, read as they are now; empty: there are no more. Throws CORRUPT. */
  next(): readonly FoundRecord[];
  /** The caller has taken what next() gave up to this record: only what comes after is ahead. */
  took(found: FoundRecord): void;
  /**
   * A point changed. True if it is behind what was taken, so that nobody reads it again; one that is ahead will be read by
   * next(), and one that is not of this source's range never.
   */
  changed(id: string): 'behind' | 'ahead' | 'outside';
}

const sliceRecordsMax = 256;
const sliceBytesMax = 512 * 1024;

/** Every record of a range of keys. */
export class RangeSource implements RecordSource {
  private cursor: Uint8Array;

  constructor(
    private readonly view: PointView,
    private readonly range: KeyRange,
  ) {
    this.cursor = range.start;
  }

  next(): readonly FoundRecord[] {
    const slice = { start: this.cursor, end: this.range.end, countMax: sliceRecordsMax, bytesMax: sliceBytesMax };
    const records = compareBytes(slice.start, slice.end) < 0 ? this.view.store.range(slice) : [];
    return records.map(({ key, value }) => ({ key, id: pointIdOf(key), record: decodeRecord(pointIdOf(key), value) }));
  }

  took({ key }: FoundRecord): void {
    this.cursor = successor(key);
  }

  changed(id: string): 'behind' | 'ahead' | 'outside' {
    const key = keyOf(this.view.space, { id, hash: this.view.keyHash(id) });
    if (compareBytes(key, this.range.start) < 0 || compareBytes(key, this.range.end) >= 0) return 'outside';
    return compareBytes(key, this.cursor) < 0 ? 'behind' : 'ahead';
  }
}

interface Candidate {
  readonly id: string;
  readonly key: Uint8Array;
}

const readCountMax = 64;

/** The records of some points of a range: those that may match a filter, and all that change ahead of what was taken. */
export class ListSource implements RecordSource {
  private readonly waiting: Candidate[];
  private at = 0;
  /** Of the last one taken; null: none was. */
  private taken: Uint8Array | null = null;

  constructor(
    private readonly view: PointView,
    private readonly range: KeyRange,
    ids: readonly string[],
  ) {
    this.waiting = ids.map((id) => this.candidate(id)).filter(({ key }) => this.isInside(key));
    this.waiting.sort((a, b) => compareBytes(a.key, b.key));
  }

  /** Records that the store does not have are passed over: the index they are known from is ahead of it. */
  next(): readonly FoundRecord[] {
    while (this.at < this.waiting.length) {
      const some = this.waiting.slice(this.at, this.at + readCountMax);
      const values = this.view.store.getMany(some.map(({ key }) => key));
      const found = some.flatMap(({ id, key }, i): FoundRecord[] => {
        const value = values[i];
        return value === undefined ? [] : [{ key, id, record: decodeRecord(id, value) }];
      });
      if (found.length > 0) return found;
      this.at += some.length;
    }
    return [];
  }

  took({ key }: FoundRecord): void {
    this.taken = key;
    while (this.at < this.waiting.length && compareBytes((this.waiting[this.at] as Candidate).key, key) <= 0) this.at++;
  }

  changed(id: string): 'behind' | 'ahead' | 'outside' {
    const one = this.candidate(id);
    if (!this.isInside(one.key)) return 'outside';
    if (this.taken !== null && compareBytes(one.key, this.taken) <= 0) return 'behind';
    const place = this.placeOf(one.key);
    const there = this.waiting[place];
    if (there === undefined || compareBytes(there.key, one.key) !== 0) this.waiting.splice(place, 0, one);
    return 'ahead';
  }

  private candidate(id: string): Candidate {
    return { id, key: keyOf(this.view.space, { id, hash: this.view.keyHash(id) }) };
  }

  private isInside(key: Uint8Array): boolean {
    return compareBytes(key, this.range.start) >= 0 && compareBytes(key, this.range.end) < 0;
  }

  private placeOf(key: Uint8Array): number {
    let low = this.at;
    let high = this.waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes((this.waiting[middle] as Candidate).key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
