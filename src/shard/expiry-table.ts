import { compareBytes, utf8 } from '../base/bytes';
import type { Space } from '../base/ids';
import { expiryFrom, expiryKey, expiryOfKey, idOfExpiryKey } from '../storage/keys';
import type { KeyValueStore, WriteBatch } from '../storage/ports';
import type { Change } from './shard-apply';

const sliceRows = 256;
const noBytes = new Uint8Array(0);

/**
 * Which points of a space end when, in the order of their ends: written in the batch of each change, so that it always is what
 * the records say. Owned by the shard machine.
 *
 *  1. A live record that ends has one row, any other none.
 *  2. `ended` are the points that log time has passed and that no command has purged yet: for everybody who reads or
 *     searches they are gone.
 */
export class ExpiryTable {
  private readonly passed = new Set<string>();
  /** Rows below this time are passed. */
  private readTo = 0;
  /** Of the first row that is not passed; null: not looked up since something changed. */
  private next: { readonly atMs: number | null } | null = null;

  constructor(
    private readonly store: KeyValueStore,
    private readonly space: Space,
  ) {}

  get ended(): ReadonlySet<string> {
    return this.passed;
  }

  /** To be called with every change of the batch; `before` is what the store held. */
  put(batch: WriteBatch, { id, before, record }: Pick<Change, 'id' | 'before' | 'record'>): void {
    const had = before?.live === true ? before.expiryMs : 0;
    const has = record.deleted ? 0 : record.expiryMs;
    this.passed.delete(id);
    if (had === has) {
      // Rewritten by a write that found it ended, which only added to its record.
      if (has > 0 && has <= this.readTo) this.passed.add(id);
      return;
    }
    if (had > 0) batch.delete(expiryKey(this.space, had, utf8(id)));
    if (has > 0) batch.put(expiryKey(this.space, has, utf8(id)), noBytes);
    this.next = null;
  }

  /** After a batch: the points whose end log time has passed by now, and had not before. */
  advance(timeMs: number): string[] {
    if ((this.nextMs ?? Number.POSITIVE_INFINITY) > timeMs) return [];
    const fresh: string[] = [];
    for (const id of this.idsWithin(this.readTo, timeMs, Number.MAX_SAFE_INTEGER)) {
      if (!this.passed.has(id)) fresh.push(id);
      this.passed.add(id);
    }
    this.readTo = Math.floor(timeMs);
    this.next = null;
    return fresh;
  }

  /** When the next point ends that has not; null: none does. */
  get nextMs(): number | null {
    if (this.next === null) {
      const { start, end } = expiryFrom(this.space, this.readTo + 1);
      const [first] = this.store.range({ start, end, countMax: 1 });
      this.next = { atMs: first === undefined ? null : expiryOfKey(first.key) };
    }
    return this.next.atMs;
  }

  /** Points to purge once log time is `timeMs`, the first to end first. */
  due(timeMs: number, countMax: number): string[] {
    return this.idsWithin(0, timeMs, countMax);
  }

  /** Both times included. */
  private idsWithin(fromMs: number, toMs: number, countMax: number): string[] {
    const ids: string[] = [];
    let { start } = expiryFrom(this.space, fromMs);
    const { start: end } = expiryFrom(this.space, Math.floor(toMs) + 1);
    while (ids.length < countMax && compareBytes(start, end) < 0) {
      const found = this.store.range({ start, end, countMax: Math.min(sliceRows, countMax - ids.length) });
      for (const { key } of found) ids.push(idOfExpiryKey(key));
      const last = found[found.length - 1];
      if (last === undefined) break;
      start = Uint8Array.of(...last.key, 0);
    }
    return ids;
  }
}
