import { pointRange } from '../storage/keys';
import { floatsCopied } from '../vector/metrics';
import type { VectorIndex } from '../vector/ports';
import type { ChangeTable, ChangeWalk } from './change-table';
import { keyOf, pointIdOf, successor } from './point-keys';
import { decodeRecord, isEnded, type PointRecord } from './point-record';
import type { Change } from './shard-apply';
import type { PointView } from './shard-query';

const sliceRecordsMax = 256;
const sliceBytesMax = 512 * 1024;

/** What those hear of a change whose state is derived from the records. */
export type SeenChange = Pick<Change, 'id' | 'record' | 'revised'>;

/** The state that the index is to be level with. */
export interface FeedSource {
  readonly view: PointView;
  readonly table: ChangeTable;
  /** How many there are in the space. */
  readonly records: number;
  readonly appliedIndex: number;
}

/** What is left: to wait for the index's file, every record from a key on, or the points that the table of changes names. */
type Work =
  | { readonly kind: 'loading' }
  | { readonly kind: 'records'; cursor: Uint8Array }
  | { readonly kind: 'changes'; readonly walk: ChangeWalk };

/**
 * Keeps the vector index level with the store (DESIGN D6): the index is derived state.
 *
 *  1. Changes reach the index after the store, in the order of the log, with the log index as version.
 *  2. The stamp index.appliedIndex moves only while no catch-up runs: every record up to it has been offered.
 *  3. After an attach, a load or a snapshot the index may be older than the store, or hold records of a generation that
 *     was replaced. Both are states of the same log, so offering every record newer than the stamp mends both. Which ones are
 *     newer the table of changes tells where it goes back far enough.
 *  4. While the index loads its file it is left alone: what changes meanwhile is newer than the file's stamp.
 */
export class IndexFeed {
  /** Null: nothing is left to do. */
  private work: Work | null = null;
  private source: FeedSource;

  constructor(
    private readonly index: VectorIndex,
    /** As it is now. */
    private readonly sourceNow: () => FeedSource,
  ) {
    this.source = sourceNow();
    this.begin();
  }

  /** Whether searches find every point the store has. */
  get ready(): boolean {
    return this.work === null;
  }

  /** False: nothing can be done before the index has loaded its file. */
  get isWorkable(): boolean {
    return this.work?.kind !== 'loading' || !this.index.loading;
  }

  /** The store's points were replaced, or are met for the first time. */
  begin(): void {
    this.source = this.sourceNow();
    this.work = this.index.loading ? { kind: 'loading' } : this.workFrom(this.index.appliedIndex);
  }

  private workFrom(stamp: number): Work | null {
    const { table, records, appliedIndex } = this.source;
    if (stamp >= appliedIndex) return null;
    if (!table.isShorterThan(records, stamp)) return this.allRecords();
    return { kind: 'changes', walk: table.walk(stamp, appliedIndex) };
  }

  /** `offered` hears of each after the index, with the label that this freed, or -1. */
  changed(
    changes: readonly SeenChange[],
    appliedIndex: number,
    offered: (id: string, record: PointRecord, freed: number) => void,
  ): void {
    if (this.work?.kind === 'loading') return;
    for (const { id, record, revised } of changes) if (revised) offered(id, record, this.offer(id, record));
    if (this.ready) this.index.appliedIndex = Math.max(this.index.appliedIndex, appliedIndex);
  }

  /** One slice; true once the index is level with the store, which has applied up to `appliedIndex`. */
  catchUp(appliedIndex: number): boolean {
    const { work } = this;
    if (work === null) return true;
    if (work.kind === 'loading') this.begin();
    else if (work.kind === 'records') this.offerRecords(work);
    else this.offerChanged(work.walk);
    if (this.ready) this.index.appliedIndex = Math.max(this.index.appliedIndex, appliedIndex);
    return this.ready;
  }

  private offerRecords(work: Extract<Work, { kind: 'records' }>): void {
    const { store, space } = this.source.view;
    const { end } = pointRange(space);
    const found = store.range({ start: work.cursor, end, countMax: sliceRecordsMax, bytesMax: sliceBytesMax });
    for (const { key, value } of found) this.reoffer(pointIdOf(key), value);
    const last = found[found.length - 1];
    if (last === undefined) this.work = null;
    else work.cursor = successor(last.key);
  }

  private offerChanged(walk: ChangeWalk): void {
    const { store, space, keyHash } = this.source.view;
    const ids = walk.next();
    if (ids === null) this.work = this.allRecords();
    else if (ids.length === 0) this.work = null;
    else {
      const values = store.getMany(ids.map((id) => keyOf(space, { id, hash: keyHash(id) })));
      values.forEach((value, at) => {
        if (value !== undefined) this.reoffer(ids[at] as string, value);
      });
    }
  }

  private allRecords(): Work {
    return { kind: 'records', cursor: pointRange(this.source.view.space).start };
  }

  private reoffer(id: string, value: Uint8Array): void {
    const record = decodeRecord(id, value);
    if (record.version > this.index.appliedIndex) this.offer(id, record);
  }

  /** The label that a deletion freed, or -1. */
  private offer(id: string, record: PointRecord): number {
    const { view } = this.source;
    if (record.deleted) return this.index.remove(id, record.version);
    // As if it had been removed by the entry that was applied last: that is newer than its own.
    if (isEnded(record, view.timeMs())) return this.index.remove(id, this.sourceNow().appliedIndex);
    this.index.put(id, record.version, floatsCopied(record.vector));
    return -1;
  }
}
