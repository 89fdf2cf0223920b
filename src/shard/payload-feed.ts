import type { Space } from '../base/ids';
import type { Schema } from '../protocol/schemas';
import { pointRange } from '../storage/keys';
import type { KeyValueStore } from '../storage/ports';
import { PayloadIndexes } from '../vector/payload/payload-indexes';
import type { VectorIndex } from '../vector/ports';
import { pointIdOf, successor } from './point-keys';
import { decodeRecord, type PointRecord } from './point-record';

const sliceRecordsMax = 256;
const sliceBytesMax = 512 * 1024;

interface Building {
  readonly indexes: PayloadIndexes;
  cursor: Uint8Array;
}

/**
 * Keeps payload indexes level with the store: derived state, made anew at each start, for each new schema and after each
 * snapshot by reading all records in slices, while what is applied meanwhile goes into them at once.
 *
 *  1. `ready` is what the schema asks for, or something older, and holds every live point that the vector index has.
 *  2. Slots are the labels of the vector index, so that nothing is built before that index is level with the store, and a
 *     label that is freed is dropped here before the index may give it away again.
 *  3. Without a schema nothing is kept.
 */
export class PayloadFeed {
  private serving: PayloadIndexes | null = null;
  private building: Building | null = null;
  private schema: Schema;
  private space: Space;

  constructor(
    private readonly store: KeyValueStore,
    private readonly index: VectorIndex,
    private readonly bytesMax: number,
    state: { readonly space: Space; readonly schema: Schema },
  ) {
    this.schema = state.schema;
    this.space = state.space;
    this.begin();
  }

  /** Null: filters are answered by reading records. */
  get ready(): PayloadIndexes | null {
    return this.serving;
  }

  /** Whether there is nothing to build. */
  get isLevel(): boolean {
    return this.building === null;
  }

  get bytes(): number {
    return (this.serving?.bytes ?? 0) + (this.building?.indexes.bytes ?? 0);
  }

  setSchema(schema: Schema): void {
    if (schema.revision === this.schema.revision) return;
    this.schema = schema;
    this.begin();
  }

  /** The store's points were replaced, or the vector index is to be brought level with them once more. */
  restart(space: Space, schema: Schema): void {
    this.space = space;
    this.schema = schema;
    this.serving = null;
    this.begin();
  }

  /** After the vector index has heard of it. `freed`: the label that it gave back for it, or -1. */
  changed(id: string, record: PointRecord, freed: number): void {
    if (this.serving === null && this.building === null) return;
    const slot = freed >= 0 ? freed : this.index.labelOf(id);
    if (slot < 0) return;
    for (const indexes of [this.serving, this.building?.indexes]) {
      if (record.deleted) indexes?.remove(slot);
      else indexes?.put(slot, record.payload);
    }
  }

  /** One slice; true when nothing is left to build. Only while the vector index is level with the store. Throws CORRUPT. */
  build(): boolean {
    const { building } = this;
    if (building === null) return true;
    const { end } = pointRange(this.space);
    const range = { start: building.cursor, end, countMax: sliceRecordsMax, bytesMax: sliceBytesMax };
    const found = this.store.range(range);
    for (const { key, value } of found) this.put(building.indexes, pointIdOf(key), value);
    const last = found[found.length - 1];
    if (last !== undefined) building.cursor = successor(last.key);
    else {
      this.serving = building.indexes;
      this.building = null;
    }
    return this.isLevel;
  }

  private put(indexes: PayloadIndexes, id: string, value: Uint8Array): void {
    const record = decodeRecord(id, value);
    const slot = record.deleted ? -1 : this.index.labelOf(id);
    if (slot >= 0) indexes.put(slot, record.payload);
  }

  private begin(): void {
    this.building = null;
    if (this.schema.indexes.length === 0) this.serving = null;
    else {
      const indexes = new PayloadIndexes(this.schema.indexes, this.bytesMax);
      this.building = { indexes, cursor: pointRange(this.space).start };
    }
  }
}
