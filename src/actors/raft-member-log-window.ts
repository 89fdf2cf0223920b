import type { LogIndex, Term } from '../base/ids';
import type { Entry } from '../protocol/raft-messages';
import type { RaftCore } from '../raft/types';

const marksPerWindow = 4;
const entryOverheadBytes = 64;
/** A log this many times its window is cut even if a snapshot that is being streamed then comes too late. */
const overfullFactor = 8;

/**
 * Decides how far the log's head may be cut: applied entries are kept, for followers that lag, until the log is larger
 * than its window. Remembers a mark every quarter of a window instead of every entry.
 */
export class LogWindow {
  private readonly marks: LogIndex[] = [];
  private bytesSinceMark = 0;

  constructor(private readonly windowBytes: number) {}

  clear(): void {
    this.marks.length = 0;
    this.bytesSinceMark = 0;
  }

  applied(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.bytesSinceMark += entry.data.length + entryOverheadBytes;
      if (this.bytesSinceMark < this.windowBytes / marksPerWindow) continue;
      this.marks.push(entry.index);
      this.bytesSinceMark = 0;
    }
  }

  /** The last entry to drop, and its term; null: nothing is to be dropped now. */
  cut(core: RaftCore, keepAfter: LogIndex | null): { readonly index: LogIndex; readonly term: Term } | null {
    const index = this.truncationIndex(core.logBytes, keepAfter);
    const term = index === null ? null : core.termAt(index);
    return index === null || term === null || index <= core.baseIndex ? null : { index, term };
  }

  /** The last entry to drop, if any. `keepAfter`: entries above it are still needed by a snapshot's receiver. */
  private truncationIndex(logBytes: number, keepAfter: LogIndex | null): LogIndex | null {
    if (logBytes <= this.windowBytes) return null;
    const mark = this.marks[0];
    if (mark === undefined) return null;
    if (keepAfter !== null && mark > keepAfter && logBytes < this.windowBytes * overfullFactor) return null;
    this.marks.shift();
    return mark;
  }
}
