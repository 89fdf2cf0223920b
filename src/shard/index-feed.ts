import type { Space } from '../base/ids';
import { pointRange } from '../storage/keys';
import type { KeyValueStore } from '../storage/ports';
import { floatsCopied } from '../vector/metrics';
import type { VectorIndex } from '../vector/ports';
import { pointIdOf, successor } from './point-keys';
import { decodeRecord, type PointRecord } from './point-record';
import type { Change } from './shard-apply';

const sliceRecordsMax = 256;
const sliceBytesMax = 512 * 1024;

/**
 * Keeps the vector index level with the store (DESIGN D6): the index is derived state.
 *
 *  1. Changes reach the index after the store, in the order of the log, with the log index as version.
 *  2. The stamp index.appliedIndex moves only while no catch-up runs: every record up to it has been offered.
 *  3. After an attach, a load or a snapshot the index may be older than the store, or hold records of a generation that
 *     was replaced. Both are states of the same log, so offering every record newer than the stamp mends both.
 */
export class IndexFeed {
  private cursor: Uint8Array | null = null;
  private space: Space;

  constructor(
    private readonly store: KeyValueStore,
    private readonly index: VectorIndex,
    space: Space,
    appliedIndex: number,
  ) {
    this.space = space;
    this.switchTo(space, appliedIndex);
  }

  /** Whether searches find every point the store has. */
  get ready(): boolean {
    return this.cursor === null;
  }

  /** The store's points were replaced, or are met for the first time. */
  switchTo(space: Space, appliedIndex: number): void {
    this.space = space;
    this.cursor = this.index.appliedIndex >= appliedIndex ? null : pointRange(space).start;
  }

  changed(changes: readonly Pick<Change, 'id' | 'record' | 'revised'>[], appliedIndex: number): void {
    for (const { id, record, revised } of changes) if (revised) this.offer(id, record);
    if (this.ready) this.index.appliedIndex = Math.max(this.index.appliedIndex, appliedIndex);
  }

  /** One slice; true once the index is level with the store, which has applied up to `appliedIndex`. */
  catchUp(appliedIndex: number): boolean {
    if (this.cursor === null) return true;
    const { end } = pointRange(this.space);
    const range = { start: this.cursor, end, countMax: sliceRecordsMax, bytesMax: sliceBytesMax };
    const found = this.store.range(range);
    for (const { key, value } of found) this.reoffer(pointIdOf(key), value);
    const last = found[found.length - 1];
    this.cursor = last === undefined ? null : successor(last.key);
    if (this.ready) this.index.appliedIndex = appliedIndex;
    return this.ready;
  }

  private reoffer(id: string, value: Uint8Array): void {
    const record = decodeRecord(id, value);
    if (record.version > this.index.appliedIndex) this.offer(id, record);
  }

  private offer(id: string, record: PointRecord): void {
    if (record.deleted) this.index.remove(id, record.version);
    else this.index.put(id, record.version, floatsCopied(record.vector));
  }
}
