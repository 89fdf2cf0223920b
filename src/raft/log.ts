import { assert } from '../base/assert';
import { type LogIndex, logIndex, type Term } from '../base/ids';
import { appendEntriesMax } from '../base/limits';
import type { Entry } from '../protocol/raft-messages';

/** What an entry costs beside its data, so that empty ones are not free. */
const entryOverheadBytes = 16;

/**
 * The log as this member believes it: everything after the base, in memory. Owned by the core.
 *
 *  1. Indices are consecutive from base + 1.
 *  2. Terms never fall along the log, and never below the base's.
 *  3. Every entry up to `durableIndex` is in the store, whatever writes are still under way: see output.ts.
 */
export class RaftLog {
  private entries: Entry[];
  private durable: LogIndex;
  private totalBytes = 0;

  constructor(
    private base: LogIndex,
    private term: Term,
    entries: readonly Entry[],
  ) {
    this.entries = [...entries];
    this.durable = logIndex(base + entries.length);
    for (const [i, entry] of entries.entries()) {
      assert(entry.index === base + 1 + i, () => `log has a gap at ${base + 1 + i}`);
      this.totalBytes += sizeOf(entry);
    }
  }

  get baseIndex(): LogIndex {
    return this.base;
  }
  get lastIndex(): LogIndex {
    return logIndex(this.base + this.entries.length);
  }
  get lastTerm(): Term {
    return this.entries[this.entries.length - 1]?.term ?? this.term;
  }
  get durableIndex(): LogIndex {
    return this.durable;
  }
  get bytes(): number {
    return this.totalBytes;
  }

  /** Null outside of [base, last]. */
  termAt(index: LogIndex): Term | null {
    if (index === this.base) return this.term;
    return this.entries[index - this.base - 1]?.term ?? null;
  }

  /** Entries from `from` (at least base + 1) to `to`, as many as one message may hold; at least one if there is one. */
  slice(from: LogIndex, to: LogIndex, bytesMax: number): Entry[] {
    assert(from > this.base, () => `entries from ${from} on are gone`);
    const found: Entry[] = [];
    let bytes = 0;
    const end = Math.min(to, this.lastIndex, from + appendEntriesMax - 1);
    for (let index = from; index <= end; index++) {
      const entry = this.entries[index - this.base - 1] as Entry;
      bytes += sizeOf(entry);
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  /** What the entries from `from` (at least base + 1) to `to` weigh. */
  bytesOf(from: LogIndex, to: LogIndex): number {
    let bytes = 0;
    for (let at = from - this.base - 1; at < to - this.base; at++) bytes += sizeOf(this.entries[at] as Entry);
    return bytes;
  }

  append(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, () => `append ${entry.index} after ${this.lastIndex}`);
    assert(entry.term >= this.lastTerm, () => `term falls from ${this.lastTerm} to ${entry.term}`);
    this.entries.push(entry);
    this.totalBytes += sizeOf(entry);
  }

  /** Drops the tail from `index` on. */
  cutFrom(index: LogIndex): void {
    assert(index > this.base, 'the base cannot be cut');
    for (const entry of this.entries.splice(index - this.base - 1)) this.totalBytes -= sizeOf(entry);
    if (this.durable >= index) this.durable = logIndex(index - 1);
  }

  /** Entries up to `index` are in the store, and no write under way replaces them. */
  madeDurable(index: LogIndex): void {
    assert(index <= this.lastIndex, () => `entry ${index} cannot be durable, the log ends at ${this.lastIndex}`);
    if (index > this.durable) this.durable = index;
  }

  /** Gives up the head, `index` included. */
  dropThrough(index: LogIndex): void {
    const term = this.termAt(index);
    assert(term !== null, () => `cannot drop through ${index}`);
    for (const entry of this.entries.splice(0, index - this.base)) this.totalBytes -= sizeOf(entry);
    this.base = index;
    this.term = term;
    if (this.durable < index) this.durable = index;
  }

  /** Starts anew after a snapshot. */
  reset(index: LogIndex, term: Term): void {
    this.entries = [];
    this.totalBytes = 0;
    this.base = index;
    this.term = term;
    this.durable = index;
  }

  /** The largest index up to `from` whose term is at most `term`: where two logs may still agree. */
  lastWithTermAtMost(from: LogIndex, term: Term): { readonly index: LogIndex; readonly term: Term } {
    for (let index = Math.min(from, this.lastIndex); index > this.base; index--) {
      const held = this.termAt(logIndex(index)) as Term;
      if (held <= term) return { index: logIndex(index), term: held };
    }
    return { index: this.base, term: this.term };
  }

  /** Whether a candidate whose log ends so may be voted for (Raft, section 5.4.1). */
  isUpToDate(lastIndex: LogIndex, lastTerm: Term): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }
}

export const sizeOf = (entry: Entry): number => entry.data.length + entryOverheadBytes;
