import { floatsOf, utf8 } from '../base/bytes';
import { asVectronError, VectronError } from '../base/errors';
import type { KeyHash64, LogIndex } from '../base/ids';
import { payloadBytesMax, pointIdBytesMax } from '../base/limits';
import { decode } from '../protocol/codec';
import { type Point, type ShardCommand, type ShardOperation, shardCommandCodec } from '../protocol/commands';
import { sameEpoch } from '../protocol/ids';
import { type HashRange, inRange, type KeyHash } from '../protocol/key-hash';
import type { Entry } from '../protocol/raft-messages';
import { checkVector } from '../vector/metrics';
import type { Descriptor } from './descriptor';
import { decodeRecord, deletion, encodeRecord, type PointRecord } from './point-record';
import { digestWith, digestWithout, recordHash } from './record-digest';

/**
 * Turns log entries into record changes: a pure function of the state before and the entries (DESIGN D6, D7, D14).
 *
 *  1. Total: a command that is malformed, stale or out of bounds changes nothing and has an outcome that says why. What
 *     throws is only a record of ours that is corrupt, since then no answer would be right.
 *  2. A command is applied whole or not at all.
 *  3. No clock, no randomness, no order but the log's.
 *  4. Bounded memory: of earlier records it holds the bytes of `readKeysMax` at a time and keeps a few numbers each.
 */
export type Outcome =
  | { readonly ok: true; readonly affected: number }
  | { readonly ok: false; readonly code: 'STALE_SHARD' | 'INVALID_ARGUMENT'; readonly message: string };

/** What is kept of a stored record. */
export interface Earlier {
  readonly version: number;
  readonly live: boolean;
  /** Its part of the digest. */
  readonly recordHash: bigint;
}

export interface Change {
  readonly id: string;
  readonly hash: KeyHash64;
  /** Of what the store held before all entries of this call. */
  readonly before: Earlier | null;
  readonly record: PointRecord;
  readonly after: Uint8Array;
}

export interface Applied {
  readonly descriptor: Descriptor;
  readonly changes: readonly Change[];
  readonly outcomes: ReadonlyMap<LogIndex, Outcome>;
}

export interface ShardShape {
  readonly dimension: number;
  readonly range: HashRange;
  readonly keyHash: KeyHash;
}

/** Reads the stored records of at most `readKeysMax` points, in the order asked for. */
export type ReadRecords = (
  points: readonly { readonly id: string; readonly hash: KeyHash64 }[],
) => (Uint8Array | undefined)[];

/** Records read at once: with the largest payloads and vectors, about 80 MiB. */
export const readKeysMax = 64;

/** The step by which one command may move log time: a leader with a wild clock cannot end every expiry at once. */
export const logTimeStepMsMax = 3_600_000;

export function applyEntries(
  shape: ShardShape,
  read: ReadRecords,
  before: Descriptor,
  entries: readonly Entry[],
): Applied {
  const work = new ApplyWork(shape, before);
  const commands = entries.map((entry) => (entry.type === 'command' ? parse(entry) : null));
  work.load(read, commands);
  entries.forEach((entry, at) => {
    const command = commands[at];
    if (command) work.apply(entry.index, command);
  });
  return work.finish(entries);
}

type Parsed = ShardCommand | { readonly kind: 'malformed'; readonly message: string };

function parse(entry: Entry): Parsed {
  try {
    return decode(shardCommandCodec, entry.data);
  } catch (thrown) {
    return { kind: 'malformed', message: asVectronError(thrown).message };
  }
}

interface Slot {
  readonly id: string;
  readonly hash: KeyHash64;
  readonly before: Earlier | null;
  /** What the entries so far made of it; null: they left it alone. */
  record: PointRecord | null;
}

class ApplyWork {
  private readonly slots = new Map<string, Slot>();
  private readonly outcomes = new Map<LogIndex, Outcome>();
  private timeMs: number;

  constructor(
    private readonly shape: ShardShape,
    private readonly before: Descriptor,
  ) {
    this.timeMs = before.timeMs;
  }

  /** Reads every record that the commands name. */
  load(read: ReadRecords, commands: readonly (Parsed | null)[]): void {
    const ids = new Set<string>();
    for (const command of commands) {
      if (command?.kind !== 'v1') continue;
      for (const id of idsOf(command.operation)) ids.add(id);
    }
    const wanted = [...ids].map((id) => ({ id, hash: this.shape.keyHash(id) }));
    for (let from = 0; from < wanted.length; from += readKeysMax) {
      const part = wanted.slice(from, from + readKeysMax);
      read(part).forEach((value, at) => {
        const { id, hash } = part[at] as { id: string; hash: KeyHash64 };
        this.slots.set(id, { id, hash, before: earlierOf(id, value), record: null });
      });
    }
  }

  apply(index: LogIndex, command: Parsed): void {
    const refusal = this.refusal(command);
    if (refusal !== null) this.outcomes.set(index, refusal);
    else if (command.kind === 'v1') this.outcomes.set(index, { ok: true, affected: this.perform(index, command) });
  }

  private refusal(command: Parsed): Outcome | null {
    if (command.kind === 'malformed') return { ok: false, code: 'INVALID_ARGUMENT', message: command.message };
    if (!sameEpoch(command.epoch, this.before.epoch)) {
      const { version, confVersion } = this.before.epoch;
      return { ok: false, code: 'STALE_SHARD', message: `the shard's epoch is (${version}, ${confVersion})` };
    }
    for (const id of idsOf(command.operation)) {
      const slot = this.slots.get(id);
      if (slot && !inRange(this.shape.range, slot.hash)) {
        return { ok: false, code: 'STALE_SHARD', message: `point ${id} belongs to another shard` };
      }
    }
    const fault = operationFault(command.operation, this.shape.dimension);
    return fault === null ? null : { ok: false, code: 'INVALID_ARGUMENT', message: fault.message };
  }

  private perform(index: LogIndex, command: ShardCommand): number {
    this.timeMs = nextLogTime(this.timeMs, command.timeMs);
    const { operation } = command;
    if (operation.kind === 'upsert') {
      for (const point of operation.points) this.put(point.id, this.recordOf(index, point));
      return operation.points.length;
    }
    let found = 0;
    for (const id of operation.ids) {
      if (this.isLive(id)) {
        this.put(id, deletion(index, this.timeMs));
        found++;
      }
    }
    return found;
  }

  private isLive(id: string): boolean {
    const slot = this.slots.get(id);
    return slot?.record ? !slot.record.deleted : slot?.before?.live === true;
  }

  private recordOf(index: LogIndex, point: Point): PointRecord {
    const { payload, vector } = point;
    return { version: index, timeMs: this.timeMs, deleted: false, expiryMs: 0, dedupe: noBytes, payload, vector };
  }

  private put(id: string, record: PointRecord): void {
    const slot = this.slots.get(id);
    if (slot) slot.record = record;
  }

  finish(entries: readonly Entry[]): Applied {
    const changes: Change[] = [];
    let { points, records, digest } = this.before;
    for (const { id, hash, before, record } of this.slots.values()) {
      if (record === null) continue;
      const after = encodeRecord(id, record);
      changes.push({ id, hash, before, record, after });
      points += Number(!record.deleted) - Number(before?.live === true);
      records += before === null ? 1 : 0;
      if (before !== null) digest = digestWithout(digest, before.recordHash);
      digest = digestWith(digest, recordHash(id, after));
    }
    const last = entries[entries.length - 1];
    const applied = last ? { appliedIndex: last.index, appliedTerm: last.term } : {};
    const descriptor = { ...this.before, ...applied, timeMs: this.timeMs, points, records, digest };
    return { descriptor, changes, outcomes: this.outcomes };
  }
}

const noBytes = new Uint8Array(0);

/** Throws CORRUPT if the record is. Holds on to none of its bytes. */
function earlierOf(id: string, value: Uint8Array | undefined): Earlier | null {
  if (value === undefined) return null;
  const { version, deleted } = decodeRecord(id, value);
  return { version, live: !deleted, recordHash: recordHash(id, value) };
}

const idsOf = (operation: ShardOperation): readonly string[] =>
  operation.kind === 'upsert' ? operation.points.map((point) => point.id) : operation.ids;

/** Log time never goes back, and after its first step never leaps (DESIGN D14). */
function nextLogTime(previousMs: number, stampMs: number): number {
  if (!Number.isFinite(stampMs) || stampMs <= previousMs) return previousMs;
  return previousMs === 0 ? stampMs : Math.min(stampMs, previousMs + logTimeStepMsMax);
}

/** Why an operation can never be applied to a shard of this dimension, or null. Checked at propose and again at apply. */
export function operationFault(operation: ShardOperation, dimension: number): VectronError | null {
  if (operation.kind === 'delete') return firstFault(operation.ids, (id, at) => idFault(id, `ids[${at}]`));
  return firstFault(operation.points, (point, at) => pointFault(point, dimension, `points[${at}]`));
}

function firstFault<T>(items: readonly T[], check: (item: T, at: number) => VectronError | null): VectronError | null {
  for (let at = 0; at < items.length; at++) {
    const fault = check(items[at] as T, at);
    if (fault !== null) return fault;
  }
  return null;
}

function idFault(id: string, field: string): VectronError | null {
  const length = id.length > pointIdBytesMax ? id.length : utf8(id).length;
  return length >= 1 && length <= pointIdBytesMax
    ? null
    : fault(`${field}.id`, `must have 1 to ${pointIdBytesMax} bytes, has ${length}`);
}

function pointFault(point: Point, dimension: number, field: string): VectronError | null {
  const bad = idFault(point.id, field) ?? vectorFault(point.vector, dimension, `${field}.vector`);
  if (bad !== null || point.payload.length <= payloadBytesMax) return bad;
  return fault(`${field}.payload`, `has ${point.payload.length} bytes, at most ${payloadBytesMax} are allowed`);
}

/** Also for the vector of a query. */
export function vectorFault(vector: Uint8Array, dimension: number, field: string): VectronError | null {
  if (vector.length !== dimension * 4) return fault(field, `has ${vector.length / 4} components, not ${dimension}`);
  try {
    checkVector(floatsOf(vector), dimension, field);
    return null;
  } catch (thrown) {
    return asVectronError(thrown);
  }
}

const fault = (field: string, message: string): VectronError =>
  new VectronError('INVALID_ARGUMENT', `${field}: ${message}`, { field });
