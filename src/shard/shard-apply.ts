import { ByteArena } from '../base/arena';
import { present } from '../base/assert';
import { utf8 } from '../base/bytes';
import { asVectronError } from '../base/errors';
import type { KeyHash64, LogIndex, Space } from '../base/ids';
import { ttlMsMax } from '../base/limits';
import { decode } from '../protocol/codec';
import {
  commandLevels,
  conditionLevels,
  operationLevels,
  plainWrite,
  type ShardCommand,
  shardCommandCodec,
} from '../protocol/commands';
import { checkLevel, type FlagRange, isOn } from '../protocol/flags';
import { type HashRange, inRange, type KeyHash } from '../protocol/key-hash';
import { configurationChangeCodec, type Entry } from '../protocol/raft-messages';
import { memberListCodec } from '../protocol/records';
import type { Schema } from '../protocol/schemas';
import { idOfPointKey, pointKey } from '../storage/keys';
import { idsOf, operationFault, optionsFault } from './command-faults';
import { DedupeTable } from './dedupe-table';
import { type Descriptor, formatOf } from './descriptor';
import { decodeRecord, deletion, encodeRecordOf, isEnded, type PointRecord } from './point-record';
import type { Earlier, RecentPoints } from './recent-points';
import { digestWith, digestWithout, recordHash, recordHashOf } from './record-digest';
import { type Outcome, type PointSlot, type Refused, WritePart } from './write-part';

/**
 * Turns log entries into record changes: a pure function of the state before and the entries (DESIGN D6, D7, D14).
 *
 *  1. Total: a command that is malformed, stale or out of bounds changes nothing and has an outcome that says why. What
 *     throws is only a record of ours that is corrupt, since then no answer would be right, and a command or a level that
 *     this program does not know (UNSUPPORTED_VERSION): then nothing of the call is applied, and nothing after it may be.
 *  2. A command is applied whole or not at all (see write-part for repetitions).
 *  3. No clock, no randomness, no order but the log's.
 *  4. Bounded memory: of earlier records it holds the bytes of `readKeysMax` at a time and keeps a few numbers each.
 */
export type { Outcome } from './write-part';

export interface Change {
  readonly id: string;
  readonly hash: KeyHash64;
  /** Of its record in the store. */
  readonly key: Uint8Array;
  /** Of what the store held before all entries of this call. */
  readonly before: Earlier | null;
  readonly record: PointRecord;
  readonly after: Uint8Array;
  /** What a later call has to know of `after`. */
  readonly earlier: Earlier;
  /** False: the point is what it was, and only its record has more to say. */
  readonly revised: boolean;
}

export interface Applied {
  readonly descriptor: Descriptor;
  /** As it is after the entries. */
  readonly schema: Schema;
  readonly changes: readonly Change[];
  readonly outcomes: ReadonlyMap<LogIndex, Outcome>;
}

export interface ShardShape {
  readonly dimension: number;
  readonly range: HashRange;
  readonly keyHash: KeyHash;
  /** What this program supports. */
  readonly flags: FlagRange;
}

/** What is stored of the points. */
export interface StoredPoints {
  readonly space: Space;
  /** Reads at most `readKeysMax` records by their keys, in the order asked for. */
  getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[];
  readonly recent: RecentPoints;
}

/** Records read at once: with the largest payloads and vectors, about 80 MiB. */
export const readKeysMax = 64;

/** The step by which one command may move log time: a leader with a wild clock cannot end every expiry at once. */
export const logTimeStepMsMax = 3_600_000;

export function applyEntries(
  shape: ShardShape,
  stored: StoredPoints,
  before: Descriptor,
  schema: Schema,
  entries: readonly Entry[],
): Applied {
  const work = new ApplyWork(shape, stored, before, schema);
  const commands = entries.map((entry) => (entry.type === 'command' ? parse(entry) : null));
  work.load(commands);
  entries.forEach((entry, at) => {
    const command = commands[at];
    if (command) work.apply(entry.index, command);
    else if (entry.type === 'config') work.changeMembers(entry);
  });
  return work.finish(entries);
}

type Parsed = Exclude<ShardCommand, { readonly kind: 'v1' }> | { readonly kind: 'malformed'; readonly message: string };

/** Commands of every version as the latest. */
function parse(entry: Entry): Parsed {
  try {
    const command = decode(shardCommandCodec, entry.data);
    return command.kind === 'v1' ? { ...command, kind: 'v2', options: plainWrite } : command;
  } catch (thrown) {
    const error = asVectronError(thrown);
    if (error.code === 'UNSUPPORTED_VERSION') throw error;
    return { kind: 'malformed', message: error.message };
  }
}

const nothing = { ok: true, affected: 0, versions: [], previous: [], previousOmitted: 0, replayed: false } as const;

const gone = { live: false, expiryMs: 0 };

function namedBy(command: Parsed | null): readonly string[] {
  if (command?.kind === 'v2') return idsOf(command.operation);
  return command?.kind === 'expire' ? command.ids : [];
}

interface Slot extends PointSlot {
  readonly hash: KeyHash64;
  readonly before: Earlier | null;
}

/** A point that is not remembered. */
interface Wanted {
  readonly id: string;
  readonly hash: KeyHash64;
  readonly key: Uint8Array;
}

class ApplyWork {
  private readonly slots = new Map<string, Slot>();
  private readonly outcomes = new Map<LogIndex, Outcome>();
  private readonly arena = new ByteArena();
  private timeMs: number;
  private level: number;
  private membership: Pick<Descriptor, 'configuration' | 'epoch' | 'members'>;

  constructor(
    private readonly shape: ShardShape,
    private readonly stored: StoredPoints,
    private readonly before: Descriptor,
    private schema: Schema,
  ) {
    this.timeMs = before.timeMs;
    this.level = before.level;
    this.membership = before;
  }

  /** Learns what is stored of every point that the commands name: as remembered, or else from its record. */
  load(commands: readonly (Parsed | null)[]): void {
    const unknown = new Map<string, Wanted>();
    for (const command of commands) {
      for (const id of namedBy(command)) if (!this.slots.has(id) && !unknown.has(id)) this.meet(id, unknown);
    }
    const wanted = [...unknown.values()];
    for (let from = 0; from < wanted.length; from += readKeysMax) {
      const part = wanted.slice(from, from + readKeysMax);
      const values = this.stored.getMany(part.map(({ key }) => key));
      for (const [at, { id, hash }] of part.entries()) this.addSlot(id, hash, earlierOf(id, values[at]));
    }
  }

  private meet(id: string, unknown: Map<string, Wanted>): void {
    const recent = this.stored.recent.find(id);
    if (recent !== undefined) this.addSlot(id, recent.hash, recent.earlier);
    else {
      const hash = this.shape.keyHash(id);
      unknown.set(id, { id, hash, key: this.keyOf(id, hash) });
    }
  }

  private addSlot(id: string, hash: KeyHash64, before: Earlier | null): void {
    const stored = (): PointRecord | null => {
      const [value] = this.stored.getMany([this.keyOf(id, hash)]);
      return value === undefined ? null : decodeRecord(id, value);
    };
    this.slots.set(id, { id, hash, before, record: null, dedupe: before?.dedupe ?? DedupeTable.empty, stored });
  }

  private keyOf(id: string, hash: KeyHash64): Uint8Array {
    return pointKey(this.stored.space, hash, utf8(id), this.arena);
  }

  apply(index: LogIndex, command: Parsed): void {
    const refusal = this.refusal(command);
    if (refusal !== null) this.outcomes.set(index, refusal);
    else if (command.kind === 'v2') this.outcomes.set(index, this.perform(index, command));
    else if (command.kind === 'raise') this.raise(index, command.level);
    else if (command.kind === 'expire') this.expire(index, command);
    else {
      if ('schema' in command && command.schema.revision > this.schema.revision) this.schema = command.schema;
      this.outcomes.set(index, { ...nothing, index });
    }
  }

  /** Purges what the proposer named, as far as it has ended here: nothing else in apply makes an end of a point. */
  private expire(index: LogIndex, { timeMs, ids }: Extract<Parsed, { kind: 'expire' }>): void {
    this.timeMs = nextLogTime(this.timeMs, timeMs);
    let affected = 0;
    for (const id of ids) {
      const slot = this.slots.get(id);
      if (slot === undefined) continue;
      const { expiryMs, live } =
        slot.record === null ? (slot.before ?? gone) : { ...slot.record, live: !slot.record.deleted };
      if (!live || !isEnded({ expiryMs }, this.timeMs)) continue;
      slot.record = deletion(index, this.timeMs, slot.dedupe.encoded());
      affected++;
    }
    this.outcomes.set(index, { ...nothing, index, affected });
  }

  /** Every replica from this entry on: those behind it in the same call as well. */
  private raise(index: LogIndex, level: number): void {
    checkLevel(level, { ...this.shape.flags, oldest: 0 }, `entry ${index}`);
    this.level = Math.max(this.level, level);
    this.outcomes.set(index, { ...nothing, index });
  }

  /** Each entry is one step of the epoch, the one that enters a joint configuration and the one that leaves it. */
  changeMembers(entry: Entry): void {
    const { configuration, context } = decode(configurationChangeCodec, entry.data);
    const { version, confVersion } = this.membership.epoch;
    const members = context.length === 0 ? this.membership.members : decode(memberListCodec, context);
    this.membership = { configuration, members, epoch: { version, confVersion: confVersion + 1 } };
  }

  private refusal(command: Parsed): Outcome | null {
    if (command.kind === 'malformed') return { ok: false, code: 'INVALID_ARGUMENT', message: command.message };
    if (command.epoch.version !== this.before.epoch.version) {
      const { version, confVersion } = this.before.epoch;
      return { ok: false, code: 'STALE_SHARD', message: `the shard's epoch is (${version}, ${confVersion})` };
    }
    const tooEarly = this.tooEarly(command);
    if (tooEarly !== null) return tooEarly;
    if (command.kind === 'mortalSchema' && command.schema.ttlMs > ttlMsMax) {
      return { ok: false, code: 'INVALID_ARGUMENT', message: `ttl_ms: is above ${ttlMsMax}` };
    }
    if (command.kind !== 'v2') return null;
    const { operation, options } = command;
    for (const id of idsOf(operation)) {
      const slot = this.slots.get(id);
      if (slot && !inRange(this.shape.range, slot.hash)) {
        return { ok: false, code: 'STALE_SHARD', message: `point ${id} belongs to another shard` };
      }
    }
    const fault = operationFault(operation, this.shape.dimension) ?? optionsFault(options, operation);
    return fault === null ? null : { ok: false, code: 'INVALID_ARGUMENT', message: fault.message };
  }

  /** Proposers ask the level of what they have applied, so this is a command of one that did not. */
  private tooEarly(command: Exclude<Parsed, { kind: 'malformed' }>): Refused | null {
    const levels = [commandLevels[command.kind]];
    if (command.kind === 'v2') {
      levels.push(operationLevels[command.operation.kind]);
      for (const { kind } of command.options.conditions) levels.push(conditionLevels[kind]);
    }
    const level = Math.max(...levels);
    if (level <= this.level) return null;
    const message = `a command of level ${level} while the shard is at level ${this.level}`;
    return { ok: false, code: 'FAILED_PRECONDITION', message };
  }

  private perform(index: LogIndex, command: Extract<Parsed, { kind: 'v2' }>): Outcome {
    this.timeMs = nextLogTime(this.timeMs, command.timeMs);
    const { operation, options } = command;
    const slots = idsOf(operation).map((id) => present(this.slots.get(id), () => `apply: point ${id} was not loaded`));
    const clockMs = isOn('issueTimes', this.level) ? laterOf(this.timeMs, command.timeMs) : this.timeMs;
    const { level, schema } = this;
    const rules = { level, ttlMs: schema.ttlMs };
    return new WritePart(operation, options, slots, this.shape.keyHash, rules).perform(index, this.timeMs, clockMs);
  }

  finish(entries: readonly Entry[]): Applied {
    const changes: Change[] = [];
    let { points, records, digest } = this.before;
    for (const { id, hash, before, record, dedupe } of this.slots.values()) {
      if (record === null) continue;
      const key = this.keyOf(id, hash);
      const name = idOfPointKey(key);
      const after = this.arena.copyOf(encodeRecordOf(name, record));
      const { version, touched, deleted, expiryMs } = record;
      const earlier = { version, touched, live: !deleted, expiryMs, dedupe, recordHash: recordHashOf(name, after) };
      changes.push({ id, hash, key, before, record, after, earlier, revised: version !== before?.version });
      points += Number(!record.deleted) - Number(before?.live === true);
      records += before === null ? 1 : 0;
      if (before !== null) digest = digestWithout(digest, before.recordHash);
      digest = digestWith(digest, earlier.recordHash);
    }
    const last = entries[entries.length - 1];
    const applied = last ? { appliedIndex: last.index, appliedTerm: last.term } : {};
    const { configuration, epoch, members } = this.membership;
    const membership = { configuration, epoch, members };
    const levelled = { level: this.level, format: formatOf(this.level) };
    const descriptor = {
      ...this.before,
      ...levelled,
      ...membership,
      ...applied,
      timeMs: this.timeMs,
      points,
      records,
      digest,
    };
    return { descriptor, schema: this.schema, changes, outcomes: this.outcomes };
  }
}

/** Throws CORRUPT if the record is. Holds on to none of its bytes. */
function earlierOf(id: string, value: Uint8Array | undefined): Earlier | null {
  if (value === undefined) return null;
  const { version, touched, deleted, expiryMs, dedupe } = decodeRecord(id, value);
  const hash = recordHash(id, value);
  return { version, touched, live: !deleted, expiryMs, dedupe: DedupeTable.read(dedupe), recordHash: hash };
}

const laterOf = (timeMs: number, stampMs: number): number =>
  Number.isFinite(stampMs) ? Math.max(timeMs, stampMs) : timeMs;

/** Log time never goes back, and after its first step never leaps (DESIGN D14). */
function nextLogTime(previousMs: number, stampMs: number): number {
  if (!Number.isFinite(stampMs) || stampMs <= previousMs) return previousMs;
  return previousMs === 0 ? stampMs : Math.min(stampMs, previousMs + logTimeStepMsMax);
}
