import { VectronError } from '../base/errors';
import type { Space } from '../base/ids';
import { pointRange } from '../storage/keys';
import type { KeyValueStore } from '../storage/ports';
import type { Descriptor } from './descriptor';
import { pointIdOf, successor } from './point-keys';
import { decodeRecord } from './point-record';
import { digestWith, emptyDigest, recordHash } from './record-digest';

interface Pass {
  readonly space: Space;
  /** The state's index when the pass began: what it sums up is a whole only if nothing was applied since. */
  readonly index: number;
  cursor: Uint8Array;
  records: number;
  digest: bigint;
}

/**
 * Reads a replica's records again and again, a slice at a time, so that damage is found before the last good copy of a
 * record is gone too. Every record is held against its own checksum; a pass that no apply fell into also holds their
 * number and sum against the descriptor's, and so finds a record that is missing, or old.
 */
export class Scrub {
  private pass: Pass | null = null;

  constructor(private readonly store: KeyValueStore) {}

  /** True at the end of a pass. Throws CORRUPT. */
  slice(space: Space, descriptor: Descriptor, recordsMax: number, bytesMax: number): boolean {
    if (this.pass?.space !== space) this.pass = begin(space, descriptor);
    const { pass } = this;
    const { end } = pointRange(space);
    const found = this.store.range({ start: pass.cursor, end, countMax: recordsMax, bytesMax });
    for (const { key, value } of found) take(pass, pointIdOf(key), value);
    const last = found[found.length - 1];
    if (last !== undefined) {
      pass.cursor = successor(last.key);
      return false;
    }
    this.pass = null;
    compare(pass, descriptor);
    return true;
  }
}

const begin = (space: Space, descriptor: Descriptor): Pass => ({
  space,
  index: descriptor.appliedIndex,
  cursor: pointRange(space).start,
  records: 0,
  digest: emptyDigest,
});

function take(pass: Pass, id: string, value: Uint8Array): void {
  decodeRecord(id, value);
  pass.records++;
  pass.digest = digestWith(pass.digest, recordHash(id, value));
}

function compare(pass: Pass, { appliedIndex, records, digest }: Descriptor): void {
  if (pass.index !== appliedIndex || (pass.records === records && pass.digest === digest)) return;
  const why = `${pass.records} records were found, ${records} had been written, or some are old`;
  throw new VectronError('CORRUPT', `state at ${appliedIndex}: ${why}`);
}
