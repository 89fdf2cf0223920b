import { assert } from '../base/assert';
import { VectronError } from '../base/errors';
import { type Incarnation, incarnation, type LogIndex, logIndex, type ReplicaId, type Term, term } from '../base/ids';
import type { Entry, HardState } from '../protocol/raft-messages';
import {
  entriesFrom,
  entryKey,
  entryRange,
  hardStateKey,
  type KeyRange,
  logRecordKey,
  logRecordRange,
  replicaOfLogKey,
} from './keys';
import { type LogRecord, putEntry, putHardState, putRecord, readEntry, readHardState, readRecord } from './log-records';
import type { KeyValue, KeyValueStore, WriteBatch } from './ports';

export interface LogSummary {
  readonly replica: ReplicaId;
  readonly removed: boolean;
  readonly descriptor: Uint8Array;
}

export interface OpenedLog {
  readonly outcome: 'ready' | 'removed' | 'corrupt' | 'unknown';
  /** What is wrong, for a person; empty unless corrupt. */
  readonly reason: string;
  readonly incarnation: Incarnation;
  readonly descriptor: Uint8Array;
  readonly hardState: HardState | null;
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  readonly entries: readonly Entry[];
}

/** What is known of an open log once every staged batch is written. */
interface OpenLog {
  record: LogRecord;
  lastIndex: LogIndex;
}

const pageCount = 4_096;
const pageBytes = 4 * 1024 * 1024;

/**
 * The Raft logs of one machine in its log store. Owned by the log writer, called by nobody else.
 *
 *  1. Every change is staged into a batch; the caller commits batches in the order they were staged, drops none, and
 *     uses this object no more after a failed commit. What is remembered here is the store's state after the last batch.
 *  2. A log's entries are (base, last] without a gap, terms never falling from the base term to the hard state's, and the
 *     hard state's commit is at most last. open() checks it all, byte by checksummed byte.
 *  3. What makes entries invisible (a higher base, a tombstone, an overwritten tail) is in the same batch as its reason.
 *     Entries at or below the base, or of a removed replica, are invisible already: sweep() deletes them after the commit,
 *     and whatever a crash left is found at the next open.
 */
export class LogStore {
  private readonly logs = new Map<ReplicaId, OpenLog>();
  /** Tombstones staged by this object, which the store may not show yet. */
  private readonly removed = new Set<ReplicaId>();
  private garbage: KeyRange[] = [];

  constructor(private readonly store: KeyValueStore) {}

  /** Every replica ever opened or removed here, by id. One whose record is corrupt is left out: open() says so. */
  list(): LogSummary[] {
    return this.records().map(({ replica, record }) => ({
      replica,
      removed: record.removed,
      descriptor: record.descriptor,
    }));
  }

  /**
   * Reads and checks a log and stages its next incarnation. The log must have no staged, unwritten entries. With a
   * descriptor an unknown replica is created; without one it is 'unknown'.
   */
  open(batch: WriteBatch, replica: ReplicaId, descriptor: Uint8Array): OpenedLog {
    try {
      return this.openChecked(batch, replica, descriptor);
    } catch (error) {
      if (!(error instanceof VectronError) || error.code !== 'CORRUPT') throw error;
      this.logs.delete(replica);
      return notOpened('corrupt', error.message);
    }
  }

  /** Stages entries in place of whatever the log holds from the first one's index on. */
  append(batch: WriteBatch, replica: ReplicaId, hardState: HardState | null, entries: readonly Entry[]): void {
    const log = this.logOf(replica);
    if (hardState !== null) putHardState(batch, replica, hardState);
    const [first] = entries;
    if (first === undefined) return;
    assert(
      first.index > log.record.baseIndex,
      () => `append: entry ${first.index} is at or below the base of ${replica}`,
    );
    assert(first.index <= log.lastIndex + 1, () => `append: entry ${first.index} leaves a gap after ${log.lastIndex}`);
    let next: number = first.index;
    for (const entry of entries) {
      assert(entry.index === next, () => `append: entry ${entry.index} where ${next} belongs`);
      putEntry(batch, replica, entry);
      next++;
    }
    this.stageTailDeletion(batch, replica, next, log.lastIndex);
    log.lastIndex = logIndex(next - 1);
    assert(
      hardState === null || hardState.commit <= log.lastIndex,
      () => `append: commit beyond the log of ${replica}`,
    );
  }

  /** Stages an empty log that begins after (index, term): a snapshot took the place of what was there. */
  reset(batch: WriteBatch, replica: ReplicaId, index: LogIndex, baseTerm: Term, hardState: HardState): void {
    const log = this.logOf(replica);
    assert(index >= log.record.baseIndex, () => `reset: ${index} is below the base of replica ${replica}`);
    putHardState(batch, replica, hardState);
    // Entries above the new base would belong to the log again: they go in the same batch.
    this.stageTailDeletion(batch, replica, index + 1, log.lastIndex);
    this.moveBase(batch, replica, log, index, baseTerm);
    log.lastIndex = index;
  }

  /** Stages the loss of the log's head up to `index`. False, and nothing staged, if the log has no such entry. */
  truncate(batch: WriteBatch, replica: ReplicaId, index: LogIndex, entryTerm: Term): boolean {
    const log = this.logs.get(replica);
    if (log === undefined || index <= log.record.baseIndex || index > log.lastIndex) return false;
    this.moveBase(batch, replica, log, index, entryTerm);
    return true;
  }

  /** Stages a tombstone, whether or not the replica is known. */
  remove(batch: WriteBatch, replica: ReplicaId): void {
    this.logs.delete(replica);
    this.removed.add(replica);
    putRecord(batch, replica, { ...noRecord, removed: true });
    batch.delete(hardStateKey(replica));
    this.garbage.push(entriesFrom(replica, logIndex(0)));
  }

  /** Deletes what committed batches made invisible. Not synced: losing it costs space until the next open. */
  sweep(): void {
    const ranges = this.garbage;
    this.garbage = [];
    for (const { start, end } of ranges) this.store.deleteRange(start, end);
  }

  /** Finds what removed replicas left behind when the machine stopped between a commit and its sweep. */
  findOrphans(): void {
    for (const { replica, record } of this.records()) {
      if (record.removed) this.collect(entriesFrom(replica, logIndex(0)));
    }
  }

  private records(): { readonly replica: ReplicaId; readonly record: LogRecord }[] {
    const found: { readonly replica: ReplicaId; readonly record: LogRecord }[] = [];
    for (const item of readAll(this.store, logRecordRange)) {
      const record = unlessCorrupt(() => readRecord(item));
      if (record !== null) found.push({ replica: replicaOfLogKey(item.key), record });
    }
    return found;
  }

  private logOf(replica: ReplicaId): OpenLog {
    const log = this.logs.get(replica);
    assert(log !== undefined, () => `the log of replica ${replica} is not open`);
    return log;
  }

  private openChecked(batch: WriteBatch, replica: ReplicaId, descriptor: Uint8Array): OpenedLog {
    if (this.removed.has(replica)) return notOpened('removed');
    const before = this.logs.get(replica)?.record ?? this.readRecordOf(replica);
    if (before === null && descriptor.length === 0) return notOpened('unknown');
    if (before?.removed === true) return notOpened('removed');
    const record: LogRecord = {
      ...(before ?? noRecord),
      incarnation: incarnation((before?.incarnation ?? 0) + 1),
      descriptor: before === null || before.descriptor.length === 0 ? descriptor.slice() : before.descriptor,
    };
    const { hardState, entries } = this.readLog(replica, record);
    putRecord(batch, replica, record);
    this.logs.set(replica, { record, lastIndex: logIndex(record.baseIndex + entries.length) });
    this.collect(entryRange(replica, logIndex(0), logIndex(record.baseIndex + 1)));
    const { removed: _, ...known } = record;
    return { ...known, outcome: 'ready', reason: '', hardState, entries };
  }

  private readRecordOf(replica: ReplicaId): LogRecord | null {
    const key = logRecordKey(replica);
    const value = this.store.get(key);
    if (value !== undefined) return readRecord({ key, value });
    // A tombstone or a vote that was forgotten could be given twice: a replica without a record must be wholly unknown.
    const { start, end } = entriesFrom(replica, logIndex(0));
    const traces = this.store.get(hardStateKey(replica)) !== undefined || this.hasAny({ start, end });
    if (traces) throw new VectronError('CORRUPT', `replica ${replica} has a log but no record`);
    return null;
  }

  private readLog(replica: ReplicaId, record: LogRecord): { hardState: HardState | null; entries: Entry[] } {
    const key = hardStateKey(replica);
    const value = this.store.get(key);
    const hardState = value === undefined ? null : readHardState({ key, value });
    const range = entriesFrom(replica, logIndex(record.baseIndex + 1));
    const entries = Array.from(readAll(this.store, range), readEntry);
    checkLog(record, hardState, entries);
    return { hardState, entries };
  }

  private stageTailDeletion(batch: WriteBatch, replica: ReplicaId, first: number, last: number): void {
    for (let index = first; index <= last; index++) batch.delete(entryKey(replica, logIndex(index)));
  }

  private moveBase(batch: WriteBatch, replica: ReplicaId, log: OpenLog, index: LogIndex, baseTerm: Term): void {
    const swept = entryRange(replica, logIndex(log.record.baseIndex + 1), logIndex(index + 1));
    log.record = { ...log.record, baseIndex: index, baseTerm };
    putRecord(batch, replica, log.record);
    if (index > 0) this.garbage.push(swept);
  }

  /** Marks a range for sweeping if there is anything in it: deleting nothing would still cost a range tombstone. */
  private collect(range: KeyRange): void {
    if (this.hasAny(range)) this.garbage.push(range);
  }

  private hasAny(range: KeyRange): boolean {
    return this.store.range({ ...range, countMax: 1 }).length > 0;
  }
}

const noRecord: LogRecord = {
  incarnation: incarnation(0),
  removed: false,
  descriptor: new Uint8Array(0),
  baseIndex: logIndex(0),
  baseTerm: term(0),
};

/** The answer to an open that gives no log. */
export const notOpened = (outcome: 'removed' | 'corrupt' | 'unknown', reason = ''): OpenedLog => ({
  outcome,
  reason,
  incarnation: noRecord.incarnation,
  descriptor: noRecord.descriptor,
  hardState: null,
  baseIndex: noRecord.baseIndex,
  baseTerm: noRecord.baseTerm,
  entries: [],
});

/** Invariant 2, whose violation means that the store lost or invented something. */
function checkLog(record: LogRecord, hardState: HardState | null, entries: readonly Entry[]): void {
  let previousTerm = record.baseTerm;
  let previousIndex = record.baseIndex;
  for (const { index, term: entryTerm } of entries) {
    expect(index === previousIndex + 1, `entry ${index} follows entry ${previousIndex}`);
    expect(entryTerm >= previousTerm, `entry ${index} has term ${entryTerm} after term ${previousTerm}`);
    previousIndex = index;
    previousTerm = entryTerm;
  }
  if (hardState === null) {
    expect(previousIndex === 0, 'there are entries, but no hard state');
    return;
  }
  expect(
    hardState.commit <= previousIndex,
    `entry ${hardState.commit} was committed, the last one is ${previousIndex}`,
  );
  expect(previousTerm <= hardState.term, `the last entry has term ${previousTerm}, the hard state ${hardState.term}`);
}

function expect(holds: boolean, otherwise: string): void {
  if (!holds) throw new VectronError('CORRUPT', otherwise);
}

function unlessCorrupt<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof VectronError && error.code === 'CORRUPT') return null;
    throw error;
  }
}

/** A whole range in pages: the log writer is the store's only writer, so nothing changes between them. */
function* readAll(store: KeyValueStore, range: KeyRange): Generator<KeyValue> {
  let { start } = range;
  for (;;) {
    const page = store.range({ start, end: range.end, countMax: pageCount, bytesMax: pageBytes });
    yield* page;
    const last = page[page.length - 1];
    if (last === undefined) return;
    start = new Uint8Array(last.key.length + 1);
    start.set(last.key);
  }
}
