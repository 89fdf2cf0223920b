import { utf8 } from '../base/bytes';
import { crc32c } from '../base/crc32c';
import { type LogIndex, logIndex } from '../base/ids';
import { idempotencyWindowMsMax, pointKeysMax, previousBytesMax } from '../base/limits';
import { encode } from '../protocol/codec';
import {
  type Condition,
  conditionCodec,
  type Life,
  lifeCodec,
  type MortalPoint,
  type Point,
  type ShardOperation,
  type WriteOptions,
} from '../protocol/commands';
import type { Conflict, StoredPoint } from '../protocol/data-messages';
import { isOn } from '../protocol/flags';
import type { KeyHash } from '../protocol/key-hash';
import { type DedupeEntry, type DedupeKey, DedupeTable, dedupeKeyOf } from './dedupe-table';
import { deletion, isEnded, type PointRecord } from './point-record';

/** What became of a command. `versions` are in the order of its points. */
export type Outcome = Written | Refused;
export interface Written {
  readonly ok: true;
  /** Where the last of its points was written: what a commit token says. */
  readonly index: LogIndex;
  readonly affected: number;
  readonly versions: readonly LogIndex[];
  readonly previous: readonly StoredPoint[];
  readonly previousOmitted: number;
  /** Nothing was done, as all of it had been before. */
  readonly replayed: boolean;
}
export interface Refused {
  readonly ok: false;
  readonly code:
    | 'STALE_SHARD'
    | 'INVALID_ARGUMENT'
    | 'FAILED_PRECONDITION'
    | 'RESOURCE_EXHAUSTED'
    | 'IDEMPOTENCY_EXPIRED';
  readonly message: string;
  readonly field?: string;
  readonly conflict?: Conflict;
}

/** What is kept of a point as it was before the entries that are being applied. */
export interface EarlierPoint {
  readonly version: number;
  readonly live: boolean;
  /** Log time at which it ends; 0: never. */
  readonly expiryMs: number;
  readonly dedupe: DedupeTable;
}

/** One point while entries are applied. */
export interface PointSlot {
  readonly id: string;
  readonly before: EarlierPoint | null;
  /** What the entries so far made of it; null: they left it alone. */
  record: PointRecord | null;
  /** Of the record as it is now. */
  dedupe: DedupeTable;
  /** The whole record before the entries; null: none. Reads the store: only for what must be kept or shown. */
  stored(): PointRecord | null;
}

/** Of the shard when the command is applied. */
export interface WriteRules {
  readonly level: number;
  /** How long points live whose write does not say; 0: for ever. */
  readonly ttlMs: number;
}

interface Item {
  readonly at: number;
  readonly slot: PointSlot;
  readonly table: DedupeTable;
  readonly fingerprint: number;
  entry: DedupeEntry | undefined;
}

/** Of points that one part rewrites only to remember that it failed. */
const settledBytesMax = 1024 * 1024;
const noCondition: Condition = { kind: 'none' };
const noConditionCrc = crc32c(encode(conditionCodec, noCondition));
const defaultLife: Life = { kind: 'default' };
const noKey: DedupeKey = { keyHash: 0n, number: 0, settled: 0, wholeHash: 0n };

/**
 * One shard's part of a write, decided at apply (DESIGN D13):
 *
 *  1. A point that knows the key keeps what was decided then: a repetition has no second effect and gets the first answer.
 *  2. The points that do not know it are written all or none: none if a condition of theirs does not hold, or if a point
 *     that knows the key had failed. Points know it in part only when a caller's parts were cut differently before.
 *  3. A failure is kept like a success: whoever was told of it will never see the write happen. Of a part whose points are
 *     so large that rewriting them all for this would take too much, at the first points only, which decide for the rest.
 *  4. A part that is refused for its key (too late, settled, too early, too many, used for other content) changes nothing.
 *
 * Without a key nothing is remembered.
 */
export class WritePart {
  /** Null: nothing is remembered. */
  private readonly key: DedupeKey | null;
  private readonly previous: StoredPoint[] = [];
  private previousBytes = 0;
  private previousOmitted = 0;
  private settledBytes = 0;
  private timeMs = 0;

  constructor(
    private readonly operation: ShardOperation,
    private readonly options: WriteOptions,
    private readonly slots: readonly PointSlot[],
    keyHash: KeyHash,
    private readonly rules: WriteRules,
  ) {
    this.key = options.key === '' ? null : dedupeKeyOf(options.key, keyHash, isOn('sessionKeys', rules.level));
  }

  /**
   * `clockMs`: the leader's clock, as far as the shard believes it. Log time follows it by an hour a command, so that after
   * a quiet night it is hours behind, and a key that was just drawn must not be taken for one of the future.
   */
  perform(index: LogIndex, timeMs: number, clockMs: number): Outcome {
    this.timeMs = timeMs;
    const untimely = this.untimely(timeMs, clockMs);
    if (untimely !== null) return untimely;
    const items = this.slots.map((slot, at) => this.itemOf(slot, at, timeMs));
    const misused = this.misused(items);
    if (misused !== null) return misused;
    const fresh = items.filter((item) => item.entry === undefined);
    if (fresh.length > 0) this.decide(items, fresh, index, timeMs);
    return this.answer(items, index, fresh.length === 0 && items.length > 0);
  }

  /** Before anything is looked up: once an entry may be gone, its key must not be taken for a new one. */
  private untimely(timeMs: number, clockMs: number): Refused | null {
    const { key, issuedMs, windowMs } = this.options;
    if (key === '') return null;
    if (issuedMs + windowMs < timeMs) {
      const message = `the window of its idempotency key ended ${Math.ceil(timeMs - issuedMs - windowMs)} ms ago`;
      return { ok: false, code: 'IDEMPOTENCY_EXPIRED', message, field: 'idempotency_key' };
    }
    if (issuedMs <= clockMs + idempotencyWindowMsMax) return null;
    const message = `issued_ms is ${Math.ceil(issuedMs - clockMs)} ms ahead of the shard's time`;
    return { ok: false, code: 'INVALID_ARGUMENT', message, field: 'issued_ms' };
  }

  private itemOf(slot: PointSlot, at: number, timeMs: number): Item {
    const table = slot.dedupe.at(timeMs);
    if (this.key === null) return { at, slot, table, fingerprint: 0, entry: undefined };
    return { at, slot, table, fingerprint: this.fingerprintOf(at), entry: table.find(this.key) };
  }

  private misused(items: readonly Item[]): Refused | null {
    const field = 'idempotency_key';
    const { key } = this;
    if (key === null) return null;
    for (const { slot, entry, fingerprint, table } of items) {
      if (entry !== undefined && entry.fingerprint !== fingerprint) {
        const message = `the idempotency key was used for another write of point ${slot.id}`;
        return { ok: false, code: 'INVALID_ARGUMENT', message, field };
      }
      if (entry === undefined && table.isSettled(key)) {
        const message = `a later write of the same session says that this one of point ${slot.id} is settled`;
        return { ok: false, code: 'IDEMPOTENCY_EXPIRED', message, field };
      }
      if (entry === undefined && table.isFullFor(key)) {
        const message = `point ${slot.id} has ${pointKeysMax} writes that may still be repeated`;
        return { ok: false, code: 'RESOURCE_EXHAUSTED', message };
      }
    }
    return null;
  }

  private decide(items: readonly Item[], fresh: readonly Item[], index: LogIndex, timeMs: number): void {
    const violated = this.violated(fresh);
    const fails = violated.size > 0 || items.some(({ entry }) => entry !== undefined && isFailure(entry));
    if (!fails) for (const item of fresh) this.write(item, index, timeMs);
    else {
      for (const item of violated) this.settle(item, 'violated', index, timeMs);
      for (const item of fresh) if (!violated.has(item)) this.settle(item, 'spared', index, timeMs);
    }
  }

  violated(fresh: readonly Item[]): ReadonlySet<Item> {
    const { conditions } = this.options;
    return new Set(fresh.filter(({ at, slot }) => !holds(conditions[at] ?? noCondition, versionOf(slot, this.timeMs))));
  }

  private write(item: Item, index: LogIndex, timeMs: number): void {
    const { slot } = item;
    const { operation } = this;
    if (operation.kind === 'delete' && versionOf(slot, timeMs) === 0) {
      this.settle(item, 'absent', index, timeMs);
      return;
    }
    if (this.options.returnPrevious) this.keepPrevious(slot);
    slot.dedupe = this.remember(item, 'written', index);
    const dedupe = slot.dedupe.encoded();
    if (operation.kind === 'delete') slot.record = deletion(index, timeMs, dedupe);
    else {
      const life = operation.kind === 'put' ? (operation.points[item.at] as MortalPoint).life : defaultLife;
      const expiryMs = this.endOf(slot, life);
      slot.record = { ...recordOf(operation.points[item.at] as Point, index, timeMs, dedupe), expiryMs };
    }
  }

  /** Log time is fractional only if a leader's clock is; ends are whole. */
  private endOf(slot: PointSlot, life: Life): number {
    if (life.kind === 'given') return this.endAfter(life.ttlMs);
    if (life.kind === 'default' || versionOf(slot, this.timeMs) === 0) return this.endAfter(this.rules.ttlMs);
    return (slot.record ?? slot.before)?.expiryMs ?? 0;
  }

  private endAfter(ttlMs: number): number {
    return ttlMs === 0 ? 0 : Math.ceil(this.timeMs) + ttlMs;
  }

  /** The point stays what it is, and remembers why. One that never was becomes a deletion that does. */
  private settle(item: Item, result: DedupeEntry['result'], index: LogIndex, timeMs: number): void {
    const dedupe = this.remember(item, result, index);
    if (this.key === null || this.settledBytes > settledBytesMax) return;
    const { slot } = item;
    const record = slot.record ?? slot.stored() ?? deletion(index, timeMs);
    this.settledBytes += record.payload.length + record.vector.length;
    slot.dedupe = dedupe;
    slot.record = { ...record, touched: index, dedupe: dedupe.encoded() };
  }

  private remember(item: Item, result: DedupeEntry['result'], index: LogIndex): DedupeTable {
    const { issuedMs, windowMs } = this.options;
    const { table, slot, fingerprint } = item;
    const version = versionOf(slot, this.timeMs);
    const { keyHash, number, settled } = this.key ?? noKey;
    const expiresMs = issuedMs + windowMs;
    item.entry = { keyHash, fingerprint, expiresMs, index, result, version, number, settled };
    return this.key === null ? table : table.remembering(item.entry);
  }

  private keepPrevious(slot: PointSlot): void {
    if (versionOf(slot, this.timeMs) === 0) return;
    const record = this.previousBytes > previousBytesMax ? null : (slot.record ?? slot.stored());
    this.previousBytes += record === null ? 0 : record.vector.length + record.payload.length;
    if (record === null || this.previousBytes > previousBytesMax) {
      this.previousOmitted++;
      return;
    }
    const { version, vector, payload } = record;
    this.previous.push({ id: slot.id, version, vector, payload });
  }

  private answer(items: readonly Item[], index: LogIndex, replayed: boolean): Outcome {
    const entries = items.map(({ entry }) => entry as DedupeEntry);
    if (entries.some(isFailure)) return refusalOf(entries);
    const versions = entries.map((entry) => entry.index);
    return {
      ok: true,
      index: replayed ? latest(versions) : index,
      affected: entries.filter(({ result }) => result === 'written').length,
      versions,
      previous: this.previous,
      previousOmitted: this.previousOmitted,
      replayed,
    };
  }

  /** CRC-32C over what is asked of a point. */
  private fingerprintOf(at: number): number {
    const { operation } = this;
    const asked = this.options.conditions[at];
    const condition = asked === undefined ? noConditionCrc : crc32c(encode(conditionCodec, asked));
    if (operation.kind === 'delete') return crc32c(utf8('delete'), condition);
    const { vector, payload } = operation.points[at] as Point;
    const content = crc32c(vector, crc32c(payload, condition));
    if (operation.kind === 'upsert') return content;
    return crc32c(encode(lifeCodec, (operation.points[at] as MortalPoint).life), content);
  }
}

const latest = (indexes: readonly LogIndex[]): LogIndex => logIndex(Math.max(...indexes));

const isFailure = ({ result }: DedupeEntry): boolean => result === 'violated' || result === 'spared';

/** What clients see: 0 for a point that does not exist, or has ended. */
function versionOf({ record, before }: PointSlot, timeMs: number): number {
  if (record !== null) return record.deleted || isEnded(record, timeMs) ? 0 : record.version;
  return before?.live === true && !isEnded(before, timeMs) ? before.version : 0;
}

function holds(condition: Condition, version: number): boolean {
  if (condition.kind === 'none') return true;
  if (condition.kind === 'version') return version === condition.version;
  return condition.kind === 'present' ? version !== 0 : version === 0;
}

function recordOf({ payload, vector }: Point, index: LogIndex, timeMs: number, dedupe: Uint8Array): PointRecord {
  return { version: index, touched: index, timeMs, deleted: false, expiryMs: 0, dedupe, payload, vector };
}

function refusalOf(entries: readonly DedupeEntry[]): Refused {
  const position = entries.findIndex(({ result }) => result === 'violated');
  const at = entries[position];
  const message = 'the condition of another point of this write did not hold';
  if (at === undefined) return { ok: false, code: 'FAILED_PRECONDITION', message };
  const why = at.version === 0 ? 'it does not exist' : `its version is ${at.version}`;
  const conflict = { position, version: at.version };
  return { ok: false, code: 'FAILED_PRECONDITION', message: `the condition does not hold: ${why}`, conflict };
}
