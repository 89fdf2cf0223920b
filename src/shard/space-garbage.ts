import type { Space } from '../base/ids';
import { changesFrom, expiryFrom } from '../storage/keys';
import type { KeyValueStore } from '../storage/ports';
import { spacePart } from './point-keys';
import { deleteSchema } from './schema-record';

const parts = 256;

/** Spaces that nobody can see any more, deleted in slices: a large one at once would hold up its thread. */
export class SpaceGarbage {
  private readonly waiting: { readonly space: Space; part: number }[] = [];

  constructor(private readonly state: KeyValueStore) {}

  add(space: Space): void {
    this.waiting.push({ space, part: 0 });
  }

  /** True when nothing is left. */
  slice(): boolean {
    const oldest = this.waiting[0];
    if (oldest === undefined) return true;
    if (oldest.part === 0) {
      const changes = changesFrom(oldest.space, 0);
      this.state.deleteRange(changes.start, changes.end);
      const ends = expiryFrom(oldest.space, 0);
      this.state.deleteRange(ends.start, ends.end);
    }
    const { start, end } = spacePart(oldest.space, oldest.part++, parts);
    this.state.deleteRange(start, end);
    if (oldest.part < parts) return false;
    deleteSchema(this.state, oldest.space);
    this.waiting.shift();
    return this.waiting.length === 0;
  }
}
