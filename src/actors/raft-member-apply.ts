import type { Entry } from '../protocol/raft-messages';

/** Committed entries that wait to be applied, in order. */
export class ApplyQueue {
  private entries: Entry[] = [];

  get length(): number {
    return this.entries.length;
  }

  add(entries: readonly Entry[]): void {
    for (const entry of entries) this.entries.push(entry);
  }

  /** The first ones, until they have `bytesMax` bytes of data; at least one unless there is none. */
  take(bytesMax: number): Entry[] {
    let count = 0;
    for (let bytes = 0; count < this.entries.length && bytes < bytesMax; count++) {
      bytes += this.entries[count]?.data.length ?? 0;
    }
    return this.entries.splice(0, count);
  }

  clear(): void {
    this.entries = [];
  }
}
