import { pointKeysMax } from '../base/limits';
import { decode, encode, f64, list, oneOf, struct, type TypeOf, u8, u64, varint } from '../protocol/codec';
import { logIndexCodec } from '../protocol/ids';
import type { KeyHash } from '../protocol/key-hash';
import { parseSessionKey } from '../protocol/session-key';

/**
 * What became of one write at one point: `written`; `absent`, a delete that found nothing; `violated`, its condition did
 * not hold (`version` is what the point had); `spared`, another point of the part was violated. Durable.
 */
const plainFields = {
  /** Hash of the idempotency key, or of its session: with the fingerprint, 96 bits tell one write of a point from another. */
  keyHash: u64,
  fingerprint: varint,
  /** The last log time at which a repetition is answered. */
  expiresMs: f64,
  /** The log index at which it was decided. */
  index: logIndexCodec,
  result: oneOf('written', 'absent', 'violated', 'spared'),
  version: varint,
};
const plainTableCodec = list(struct(plainFields), pointKeysMax);

/** The write's number in its session, and the session's lowest that may come again; 0 for a key without a session. */
const sessionEntryCodec = struct({ ...plainFields, number: varint, settled: varint });
/** In place of a count, which is never 0. A table without sessions keeps the older format: equal bytes in every release. */
const sessionFormat = 0;
const sessionTableCodec = struct({ format: u8, entries: list(sessionEntryCodec, pointKeysMax) });

export type DedupeEntry = TypeOf<typeof sessionEntryCodec>;
/** How entries name a write. */
export interface DedupeKey extends Pick<DedupeEntry, 'keyHash' | 'number' | 'settled'> {
  /** Of the whole key: how entries name it that were made before the shard knew sessions. */
  readonly wholeHash: bigint;
}

/** `sessions`: whether the flag sessionKeys is on. */
export function dedupeKeyOf(key: string, hash: KeyHash, sessions: boolean): DedupeKey {
  const wholeHash = hash(key);
  const drawn = sessions ? parseSessionKey(key) : null;
  if (drawn === null) return { keyHash: wholeHash, number: 0, settled: 0, wholeHash };
  return { keyHash: hash(drawn.session), number: drawn.number, settled: drawn.settled, wholeHash };
}

const noBytes = new Uint8Array(0);

/**
 * The outcomes of recent writes of one point, kept in its record, so that they go wherever the point goes (DESIGN D13).
 * Immutable.
 *
 *  1. An entry lives until log time has passed its window: a live one is never dropped, a dead one never found.
 *  2. But for those that a newer write of their session calls settled. The newer one outlives their windows, so that a late
 *     copy of a settled write is known as such until it is too late anyway.
 */
export class DedupeTable {
  private constructor(private readonly entries: readonly DedupeEntry[]) {}

  static readonly empty = new DedupeTable([]);

  static read(bytes: Uint8Array): DedupeTable {
    return bytes.length === 0 ? DedupeTable.empty : new DedupeTable(entriesOf(bytes));
  }

  get count(): number {
    return this.entries.length;
  }

  /** Without the entries that are dead at this log time. */
  at(timeMs: number): DedupeTable {
    const isLive = (entry: DedupeEntry): boolean => entry.expiresMs >= timeMs;
    return this.entries.every(isLive) ? this : new DedupeTable(this.entries.filter(isLive));
  }

  find({ keyHash, number, wholeHash }: DedupeKey): DedupeEntry | undefined {
    const isIt = (entry: DedupeEntry): boolean =>
      entry.number === number ? entry.keyHash === keyHash : entry.number === 0 && entry.keyHash === wholeHash;
    return this.entries.find(isIt);
  }

  /** Whether the key's session has said that it will not send this write again. */
  isSettled({ keyHash, number }: DedupeKey): boolean {
    return number > 0 && this.entries.some((entry) => entry.keyHash === keyHash && entry.settled > number);
  }

  isFullFor(key: DedupeKey): boolean {
    return this.entries.length >= pointKeysMax && this.unsettled(key).length >= pointKeysMax;
  }

  /** As stored. */
  encoded(): Uint8Array {
    const { entries } = this;
    if (entries.length === 0) return noBytes;
    if (entries.every(({ number }) => number === 0)) return encode(plainTableCodec, entries);
    return encode(sessionTableCodec, { format: sessionFormat, entries });
  }

  /** With one entry more, in the place of those that it settles. */
  remembering(added: DedupeEntry): DedupeTable {
    const kept = this.unsettled(added);
    let { expiresMs } = added;
    if (kept.length < this.entries.length) {
      for (const entry of this.entries) {
        if (entry.keyHash === added.keyHash) expiresMs = Math.max(expiresMs, entry.expiresMs);
      }
    }
    return new DedupeTable([...kept, { ...added, expiresMs }]);
  }

  private unsettled({ keyHash, settled }: Pick<DedupeKey, 'keyHash' | 'settled'>): readonly DedupeEntry[] {
    if (settled === 0) return this.entries;
    return this.entries.filter((entry) => entry.keyHash !== keyHash || entry.number >= settled);
  }
}

function entriesOf(bytes: Uint8Array): readonly DedupeEntry[] {
  if (bytes[0] === sessionFormat) return decode(sessionTableCodec, bytes).entries;
  return decode(plainTableCodec, bytes).map((entry) => ({ ...entry, number: 0, settled: 0 }));
}
