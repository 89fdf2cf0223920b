import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { Prng } from '../../src/base/prng';
import type { JsonObject, PointInput } from '../../src/client/node';

export const dimension = 32;

/**
 * What was acknowledged, in a file: a line an id, written before the acknowledgement counts. A point is a function of its id
 * and the seed, so that the file suffices to know what must be stored.
 */
export class Ledger {
  private readonly descriptor: number;

  constructor(
    private readonly file: string,
    private readonly seed: number,
  ) {
    this.descriptor = openSync(file, 'ax');
  }

  pointOf(id: string): PointInput {
    const random = new Prng(this.seed ^ hashOf(id));
    const vector = Float32Array.from({ length: dimension }, () => random.gaussian());
    const payload: JsonObject = { id, check: random.uint32() };
    return { id, vector, payload };
  }

  record(ids: readonly string[]): void {
    writeSync(this.descriptor, ids.map((id) => `${id}\n`).join(''));
  }

  /** Closes the file and reads back what it says. */
  acknowledged(): string[] {
    closeSync(this.descriptor);
    return readFileSync(this.file, 'utf8').split('\n').slice(0, -1);
  }
}

/** FNV-1a, 32 bits: enough to tell ids apart. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const character of text) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}
