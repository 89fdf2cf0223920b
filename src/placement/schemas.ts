import { VectronError } from '../base/errors';
import type { CollectionId, Revision } from '../base/ids';
import { payloadIndexesMax } from '../base/limits';
import { type FlagName, isOn } from '../protocol/flags';
import type { CollectionRecord } from '../protocol/records';
import { emptySchema, type PayloadIndex, type Schema } from '../protocol/schemas';
import type { PlacementOperationOf } from './commands';
import type { PlacementOutcome, Plan } from './machine';
import type { RowStore, SchemaRecord } from './records';
import { ttlError } from './validate';

/**
 * The part of the placement driver's machine that keeps what the shards of a collection agree on: what is indexed of its payloads,
 * and how long its points live. Owned by it, and under its
 * invariants.
 *
 *  1. A schema's revision is that of the command that changed it last: shards tell a later one by it.
 *  2. `settled`: every shard's group has been seen to have it. The leading driver carries it there until then.
 */
export class Schemas {
  constructor(
    private readonly store: RowStore,
    private readonly names: ReadonlyMap<string, CollectionRecord>,
    private readonly nextRevision: () => Revision,
  ) {}

  /** Of the collection of this name; null: there is none. */
  named(name: string): SchemaRecord | null {
    const collection = this.names.get(name);
    return collection === undefined ? null : this.of(collection.id);
  }

  private of(collection: CollectionId): SchemaRecord {
    const row = this.store.tables.schema.get(collection);
    return row?.record ?? { id: collection, schema: emptySchema, settled: true };
  }

  /** Those that shards may lack, in the order of collections. */
  unsettled(): SchemaRecord[] {
    const records = [...this.store.tables.schema.values()].map((row) => row.record);
    return records.filter(({ settled }) => !settled).sort((a, b) => a.id - b.id);
  }

  /** `level`: of the flags that are on. */
  plan({ name, key, type }: PlacementOperationOf<'changeSchema'>, level: number): Plan {
    if (!isOn('payloadIndexes', level)) return notYet('payloadIndexes');
    const record = this.named(name);
    if (record === null) return noCollection(name);
    const { id: collection, schema } = record;
    const known = schema.indexes.find((index) => index.key === key);
    if (type === null) {
      if (known === undefined) return new VectronError('NOT_FOUND', `no payload index of ${key}`, { field: 'key' });
      return () => this.change(collection, { indexes: without(schema, key) });
    }
    if (known?.type === type) return () => this.outcome(collection);
    if (known !== undefined) {
      return new VectronError('ALREADY_EXISTS', `${key} is indexed as ${known.type}: drop that first`, {
        field: 'key',
      });
    }
    if (schema.indexes.length >= payloadIndexesMax) {
      return new VectronError(
        'RESOURCE_EXHAUSTED',
        `there are ${payloadIndexesMax} payload indexes, which is the limit`,
      );
    }
    return () => this.change(collection, { indexes: [...schema.indexes, { key, type }].sort(byKey) });
  }

  planTtl({ name, ttlMs }: PlacementOperationOf<'changeTtl'>, level: number): Plan {
    const error = mayEnd(level) ?? ttlError(ttlMs);
    if (error !== null) return error;
    const record = this.named(name);
    if (record === null) return noCollection(name);
    const { id: collection, schema } = record;
    return schema.ttlMs === ttlMs ? () => this.outcome(collection) : () => this.change(collection, { ttlMs });
  }

  /** Of a collection that is created under this revision. */
  begin(collection: CollectionId, ttlMs: number, revision: Revision): void {
    if (ttlMs > 0) this.write(collection, { ...emptySchema, ttlMs, revision }, false, revision);
  }

  settle({ collection, revision }: PlacementOperationOf<'settleSchema'>): PlacementOutcome {
    const { schema, settled } = this.of(collection);
    if (!settled && schema.revision === revision) this.write(collection, schema, true, this.nextRevision());
    return this.outcome(collection);
  }

  private change(collection: CollectionId, change: Partial<Schema>): PlacementOutcome {
    const revision = this.nextRevision();
    this.write(collection, { ...this.of(collection).schema, ...change, revision }, false, revision);
    return this.outcome(collection);
  }

  private write(id: CollectionId, schema: Schema, settled: boolean, revision: Revision): void {
    this.store.put({ kind: 'schema', revision, record: { id, schema, settled } });
  }

  private outcome(collection: CollectionId): PlacementOutcome {
    return { kind: 'schemaChanged', record: this.of(collection), revision: this.store.counters.revision };
  }
}

export const noCollection = (name: string): VectronError =>
  new VectronError('NOT_FOUND', `no collection ${name}`, { field: 'name' });

/** Whether collections may say how long points live; null: they may. */
export const mayEnd = (level: number): VectronError | null =>
  isOn('collectionTtl', level) ? null : notYet('collectionTtl');

const notYet = (name: FlagName): VectronError =>
  new VectronError('UNAVAILABLE', `${name} is not switched on yet`, { retryAfterMs: 1_000 });

const without = ({ indexes }: Schema, key: string): readonly PayloadIndex[] =>
  indexes.filter((index) => index.key !== key);

/** By UTF-16 units: the same on every machine. */
const byKey = (a: PayloadIndex, b: PayloadIndex): number => (a.key < b.key ? -1 : 1);
