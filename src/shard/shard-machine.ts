import { assert } from '../base/assert';
import type { LogIndex, ReplicaId, Space, Term } from '../base/ids';
import { payloadIndexBytesMax, recentPointsBytesMax } from '../base/limits';
import type { StoredPoint } from '../protocol/data-messages';
import type { Filter } from '../protocol/filters';
import { checkLevel } from '../protocol/flags';
import type { Epoch } from '../protocol/ids';
import type { Configuration, Entry, SnapshotMeta } from '../protocol/raft-messages';
import type { Member, Metric } from '../protocol/records';
import type { Schema } from '../protocol/schemas';
import { replicaStateKey, spaceOf } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import type { OrderedType } from '../vector/order';
import type { VectorIndex } from '../vector/ports';
import { ChangeTable } from './change-table';
import { cutAtChecksums, isChecksum } from './checksum-entries';
import { type Descriptor, decodeDescriptor, encodeDescriptor, firstDescriptor, stateChecksum } from './descriptor';
import { ExpiryTable } from './expiry-table';
import { planFiltered, planOrdered } from './filtered';
import { type FeedSource, IndexFeed, type SeenChange } from './index-feed';
import { orderedType } from './ordered';
import { PayloadFeed } from './payload-feed';
import { otherSpaces } from './point-keys';
import { deletion, isEnded } from './point-record';
import { RecentPoints } from './recent-points';
import { digestText } from './record-digest';
import { Restores } from './restores';
import { deleteOtherSchemas, putSchema, readSchema } from './schema-record';
import { Scrub } from './scrub';
import { type ReadSelection, Selecting, type SelectingPlan } from './selecting';
import { applyEntries, type Change, type Outcome, type ShardShape } from './shard-apply';
import {
  getPoints,
  type PointView,
  type Recount,
  recountPoints,
  type SearchRequest,
  scanPoints,
  searchPoints,
} from './shard-query';
import type { ShardSnapshotSink } from './snapshot-sink';
import { ShardSnapshotSource, type SourceLimits } from './snapshot-source';
import { SpaceGarbage } from './space-garbage';

export interface ShardMachineOptions extends ShardShape {
  readonly replica: ReplicaId;
  /** Of a replica that never ran; afterwards the stored ones hold. */
  readonly epoch: Epoch;
  readonly configuration: Configuration;
  /** Only tests begin at another level than 0. */
  readonly level?: number;
  readonly state: KeyValueStore;
  readonly index: VectorIndex;
  readonly snapshotLimits?: SourceLimits;
  /** 0: nothing is remembered. Default: recentPointsBytesMax. */
  readonly recentBytesMax?: number;
  /** What payload indexes may take in memory; smaller is for tests. */
  readonly payloadIndexBytes?: number;
}

/** The checksum of a replica's state when it had applied exactly the entries up to `index`. */
export interface ChecksumNote {
  readonly index: LogIndex;
  readonly checksum: bigint;
}

/**
 * The state machine of one shard replica: its points in the store, its vectors in the index. Owned by the replica actor;
 * nobody else may write the replica's space or descriptor.
 *
 *  1. Points and the applied index, term, log time, counts and digest change in one batch: the state is always that of
 *     exactly the applied index, whatever prefix of the batches survives a crash.
 *  2. apply() is total but for what a later version wrote (see shard-apply), and idempotent across restarts: it never takes an entry twice.
 *  3. The index hears of a change after the store. Searches are right only while indexReady.
 *  4. Each checksum command ends a batch, so that the state that is noted is that of exactly its index.
 *  5. A snapshot becomes the state by one synced descriptor write; before that nothing of it can be seen.
 */
export class ShardMachine {
  private descriptor: Descriptor;
  private readonly feed: IndexFeed;
  private schemaNow: Schema;
  private readonly payloads: PayloadFeed;
  private table: ChangeTable;
  private readonly sources = new Set<ShardSnapshotSource>();
  private readonly selecting = new Set<Selecting>();
  private outcomes: ReadonlyMap<LogIndex, Outcome> = new Map();
  private changed = 0;
  private notes: readonly ChecksumNote[] = [];
  private readonly scrub: Scrub;
  private readonly recent: RecentPoints;
  private readonly garbage: SpaceGarbage;
  private readonly restores: Restores;
  private ends: ExpiryTable;

  /** Throws CORRUPT if the stored descriptor is, and UNSUPPORTED_VERSION if this program cannot go on from it. Deletes what nobody owns; a snapshot that was cut off may go on. */
  constructor(private readonly options: ShardMachineOptions) {
    const value = options.state.get(replicaStateKey(options.replica, 'descriptor'));
    const level = options.level ?? 0;
    this.descriptor = value === undefined ? firstDescriptor({ ...options, level }) : decodeDescriptor(value);
    checkLevel(this.descriptor.level, options.flags, `replica ${options.replica}`);
    const { generation } = this.descriptor;
    this.restores = new Restores(
      {
        ...options,
        appliedIndex: () => this.appliedIndex,
        installed: (descriptor) => this.replaced(descriptor),
        aborted: (space) => this.garbage.add(space),
      },
      generation,
    );
    const { kept } = this.restores;
    for (const { start, end } of otherSpaces(options.replica, ...kept)) options.state.deleteRange(start, end);
    deleteOtherSchemas(options.state, options.replica, kept);
    this.garbage = new SpaceGarbage(options.state);
    this.scrub = new Scrub(options.state);
    this.recent = new RecentPoints(options.recentBytesMax ?? recentPointsBytesMax);
    this.table = new ChangeTable(options.state, this.space);
    this.ends = new ExpiryTable(options.state, this.space);
    this.ends.advance(this.logTimeMs);
    this.feed = new IndexFeed(options.index, () => this.feedSource);
    this.schemaNow = readSchema(options.state, this.space);
    this.payloads = new PayloadFeed(options.state, options.index, options.payloadIndexBytes ?? payloadIndexBytesMax, {
      ...{ space: this.space, schema: this.schemaNow },
    });
  }

  get appliedIndex(): LogIndex {
    return this.descriptor.appliedIndex;
  }
  get appliedTerm(): Term {
    return this.descriptor.appliedTerm;
  }
  get epoch(): Epoch {
    return this.descriptor.epoch;
  }
  get configuration(): Configuration {
    return this.descriptor.configuration;
  }
  /** Of the flags that are on (flags.ts). */
  get level(): number {
    return this.descriptor.level;
  }
  /** Where the members are, as far as the log has said. */
  get members(): readonly Member[] {
    return this.descriptor.members;
  }
  /** Live points. */
  get points(): number {
    return this.descriptor.points - this.ends.ended.size;
  }
  /** Records written by the latest apply(). */
  get changedCount(): number {
    return this.changed;
  }
  get logTimeMs(): number {
    return this.descriptor.timeMs;
  }
  /** 16 hexadecimal digits; equal for replicas with equal records. */
  digest(): string {
    return digestText(this.descriptor.digest);
  }
  get indexReady(): boolean {
    return this.feed.ready;
  }

  apply(entries: readonly Entry[]): void {
    assert(entries[0] === undefined || entries[0].index === this.appliedIndex + 1, 'apply: a gap in the log');
    const outcomes = new Map<LogIndex, Outcome>();
    const notes: ChecksumNote[] = [];
    this.changed = 0;
    for (const batch of cutAtChecksums(entries)) {
      for (const [index, outcome] of this.applyBatch(batch)) outcomes.set(index, outcome);
      const last = batch[batch.length - 1];
      const isNoted = last !== undefined && isChecksum(last) && outcomes.get(last.index)?.ok === true;
      if (isNoted) notes.push({ index: last.index, checksum: stateChecksum(this.descriptor) });
    }
    this.outcomes = outcomes;
    this.notes = notes;
  }

  /** What the checksum commands of the latest apply() noted. */
  get checksumNotes(): readonly ChecksumNote[] {
    return this.notes;
  }

  private applyBatch(entries: readonly Entry[]): ReadonlyMap<LogIndex, Outcome> {
    const { space, recent } = this;
    const stored = { space, recent, getMany: (keys: readonly Uint8Array[]) => this.options.state.getMany(keys) };
    const applied = applyEntries(this.options, stored, this.descriptor, this.schemaNow, entries);
    const { descriptor, schema, changes, outcomes } = applied;
    this.write(descriptor, changes, schema);
    this.changed += changes.length;
    this.payloads.setSchema(this.schemaNow);
    const ended = this.ends.advance(descriptor.timeMs).map((id) => this.goneAt(id));
    this.tell([...changes.map((change) => this.asSeen(change)), ...ended]);
    return outcomes;
  }

  /** What is derived from the records hears of them, an ended one as of one that was deleted. */
  private tell(seen: readonly SeenChange[]): void {
    this.feed.changed(seen, this.appliedIndex, (...change) => this.payloads.changed(...change));
    for (const work of this.selecting) work.changed(seen);
  }

  private asSeen(change: Change): SeenChange {
    const { record } = change;
    return isEnded(record, this.logTimeMs) ? { ...change, record: { ...record, deleted: true } } : change;
  }

  /** As if the entry that was applied last had deleted it. */
  private goneAt(id: string): SeenChange {
    return { id, revised: true, record: deletion(this.appliedIndex, this.logTimeMs) };
  }

  /** Which points have ended, and which will when. */
  get expiry(): Pick<ExpiryTable, 'nextMs' | 'ended' | 'due'> {
    return this.ends;
  }

  /** What became of a command of the latest apply(). */
  outcomeOf(index: LogIndex): Outcome | undefined {
    return this.outcomes.get(index);
  }

  get(ids: readonly string[]): StoredPoint[] {
    return getPoints(this.view, ids);
  }

  scan(afterId: string, countMax: number): ReturnType<typeof scanPoints> {
    return scanPoints(this.view, afterId, countMax);
  }

  search(request: SearchRequest): ReturnType<typeof searchPoints> {
    assert(this.indexReady, 'search: the index is not level with the store');
    return searchPoints(this.view, this.options.index, request);
  }

  /** The points that match a filter, found in slices while applies go on. To be closed. Throws FAILED_PRECONDITION for an order without an index. */
  select(filter: Filter | null, selection: ReadSelection, metric: Metric): Selecting {
    const closed = (work: Selecting): void => {
      this.selecting.delete(work);
    };
    const order = selection.kind === 'ordered' ? orderedType(this.schema, selection.key) : null;
    const work = new Selecting({
      ...{ view: this.view, filter, selection, metric, closed },
      stored: () => this.points,
      plan: () => this.plan(filter, selection, order),
      ...(order === null ? {} : { order }),
    });
    this.selecting.add(work);
    return work;
  }

  private plan(filter: Filter | null, selection: ReadSelection, order: OrderedType | null): SelectingPlan {
    const indexes = this.indexReady ? this.payloads.ready : null;
    if (indexes === null) return { kind: 'all' };
    const filtered = { view: this.view, index: this.options.index, indexes, stored: this.points };
    if (selection.kind === 'ordered') return planOrdered(filtered, filter, selection, order);
    return filter === null ? { kind: 'all' } : planFiltered(filtered, filter, selection);
  }

  /** Points, records and digest by a scan of everything: must equal what is kept. Slow. */
  recount(): Recount {
    return recountPoints(this.view);
  }

  /**
   * Reads one slice of the records and verifies them; true when all have been read once more. Throws CORRUPT for a record
   * that is not what was written, and for records that are gone.
   */
  scrubSlice(recordsMax: number, bytesMax: number): boolean {
    return this.scrub.slice(this.space, this.descriptor, recordsMax, bytesMax);
  }

  /** How much the graph file lacks, if the index that was brought level was as of `stamp` before. */
  unsavedChanges(stamp: number): number {
    return this.table.countUnsaved(stamp) ?? this.points;
  }

  /** A graph file as of `index` is on disk. */
  indexSaved(index: number): void {
    this.table.trim(index);
  }

  /** False: catchUpIndex() can do nothing before the index has loaded its file. */
  get indexIsWorkable(): boolean {
    return this.feed.isWorkable;
  }

  /** One slice of bringing the index level with the store; true when it is. */
  catchUpIndex(): boolean {
    if (!this.feed.catchUp(this.appliedIndex)) return false;
    // A graph file may have brought some back.
    if (this.ends.ended.size > 0) this.tell([...this.ends.ended].map((id) => this.goneAt(id)));
    return true;
  }

  /** One slice of making payload indexes; true when they are what the schema asks for. */
  buildPayloadIndexes(): boolean {
    return this.indexReady && this.payloads.build();
  }

  /** What payload indexes there are to be. */
  get schema(): Schema {
    return this.schemaNow;
  }
  get payloadIndexesReady(): boolean {
    return this.payloads.isLevel;
  }
  /** About what they take in memory. */
  get payloadIndexBytes(): number {
    return this.payloads.bytes;
  }

  /** One slice of deleting replaced spaces; true when none is left. */
  collectGarbage(): boolean {
    return this.garbage.slice();
  }

  /** The state as of now, readable while applies go on. */
  openSnapshot(): ShardSnapshotSource {
    const closed = (source: ShardSnapshotSource): void => {
      this.sources.delete(source);
    };
    const { state, replica, snapshotLimits } = this.options;
    const source = new ShardSnapshotSource(state, replica, this.descriptor, this.schemaNow, closed, snapshotLimits);
    this.sources.add(source);
    return source;
  }

  /** A restore that was under way is aborted. */
  openRestore(meta: SnapshotMeta, stream: number): ShardSnapshotSink {
    assert(meta.index > this.appliedIndex, 'openRestore: the snapshot is older than the state');
    return this.restores.open(meta, stream);
  }

  resumeRestore(meta: SnapshotMeta, stream: number): ReturnType<Restores['resume']> {
    return this.restores.resume(meta, stream);
  }

  dropRestore(): void {
    this.restores.drop();
  }

  private get space(): Space {
    return spaceOf(this.options.replica, this.descriptor.generation);
  }

  private get feedSource(): FeedSource {
    const { points, records, appliedIndex } = this.descriptor;
    return { view: this.view, table: this.table, records: Math.max(points, records), appliedIndex };
  }

  private get view(): PointView {
    const { state: store, keyHash } = this.options;
    return { store, space: this.space, keyHash, timeMs: () => this.logTimeMs };
  }

  private write(descriptor: Descriptor, changes: readonly Change[], schema: Schema): void {
    const batch = new WriteBatch();
    if (schema !== this.schemaNow) putSchema(batch, this.space, schema);
    for (const change of changes) {
      const { key } = change;
      for (const source of this.sources) source.beforeChange(change, key);
      batch.put(key, change.after);
      this.ends.put(batch, change);
    }
    const revised = changes.filter((change) => change.revised).map((change) => change.id);
    this.table.add(batch, revised, this.appliedIndex, descriptor.appliedIndex);
    batch.put(replicaStateKey(this.options.replica, 'descriptor'), encodeDescriptor(descriptor));
    this.options.state.write(batch, { sync: false });
    this.descriptor = descriptor;
    for (const { id, hash, earlier } of changes) this.recent.keep(id, { hash, earlier });
    this.schemaNow = schema;
    this.table.bound(descriptor.records, descriptor.appliedIndex);
  }

  /** Gives back what is remembered only to be faster. */
  forgetRecent(): void {
    this.recent.clear();
  }

  private replaced(descriptor: Descriptor): void {
    assert(descriptor.appliedIndex > this.appliedIndex, 'restore: the snapshot is older than the state');
    for (const source of this.sources) source.fail('its state was replaced');
    for (const work of this.selecting) work.fail('the state was replaced by a snapshot');
    this.garbage.add(this.space);
    this.recent.clear();
    this.descriptor = descriptor;
    this.table = new ChangeTable(this.options.state, this.space);
    this.ends = new ExpiryTable(this.options.state, this.space);
    this.ends.advance(this.logTimeMs);
    this.feed.begin();
    this.schemaNow = readSchema(this.options.state, this.space);
    this.payloads.restart(this.space, this.schemaNow);
  }
}
