import { pointKeysMax } from '../base/limits';
import { decode, encode, f64, list, oneOf, struct, type TypeOf, u64, varint } from '../protocol/codec';
import { logIndexCodec } from '../protocol/ids';

/**
 * What became of one write at one point: `written`; `absent`, a delete that found nothing; `violated`, its condition did
 * not hold (`version` is what the point had); `spared`, another point of the part was violated. Durable.
 */
const entryCodec = struct({
  /** Hash of the idempotency key: with the fingerprint, 96 bits tell one write of a point from another. */
  keyHash: u64,
  fingerprint: varint,
  /** The last log time at which a repetition is answered. */
  expiresMs: f64,
  /** The log index at which it was decided. */
  index: logIndexCodec,
  result: oneOf('written', 'absent', 'violated', 'spared'),
  version: varint,
});
export type DedupeEntry = TypeOf<typeof entryCodec>;
const entriesCodec = list(entryCodec, pointKeysMax);

const noBytes = new Uint8Array(0);

/**
 * The outcomes of recent writes of one point, kept in its record, so that they go wherever the point goes (DESIGN D13).
 * Immutable. An entry lives until log time has passed its window: a live one is never dropped, a dead one never found.
 */
export class DedupeTable {
  private constructor(private readonly entries: readonly DedupeEntry[]) {}

  static read(bytes: Uint8Array, timeMs: number): DedupeTable {
    const all = bytes.length === 0 ? [] : decode(entriesCodec, bytes);
    return new DedupeTable(all.filter((entry) => entry.expiresMs >= timeMs));
  }

  get isFull(): boolean {
    return this.entries.length >= pointKeysMax;
  }

  find(keyHash: bigint): DedupeEntry | undefined {
    return this.entries.find((entry) => entry.keyHash === keyHash);
  }

  /** As stored, with one entry more if there is one to add. */
  encoded(added: DedupeEntry | null): Uint8Array {
    const entries = added === null ? this.entries : [...this.entries, added];
    return entries.length === 0 ? noBytes : encode(entriesCodec, entries);
  }
}
