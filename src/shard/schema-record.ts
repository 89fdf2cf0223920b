import { compareBytes } from '../base/bytes';
import { type ReplicaId, replicaId, type Space } from '../base/ids';
import { emptySchema, type Schema, schemaCodec } from '../protocol/schemas';
import { recordKey, spaceOf } from '../storage/keys';
import { type KeyValueStore, WriteBatch } from '../storage/ports';
import { seal, unseal } from '../storage/sealed';

/**
 * A shard's schema is a record of its space, beside the points: it is installed, replaced and deleted with them. A shard
 * without one has the empty schema.
 */
const schemaKind = 0;
/** Of one replica at a time: each abandoned generation leaves one at most, until the next start. */
const schemasMax = 4_096;
const keyOf = (space: Space): Uint8Array => recordKey(space, schemaKind, new Uint8Array(0));
/** Its seal does not name a space: a snapshot carries it from one to another. */
const sealedAs = new Uint8Array(0);

export const encodeSchema = (schema: Schema): Uint8Array =>
  seal(sealedAs, 256, (body) => schemaCodec.write(body, schema));

/** Throws CORRUPT. */
export const decodeSchema = (value: Uint8Array): Schema => schemaCodec.read(unseal(sealedAs, value));

export const putSchema = (batch: WriteBatch, space: Space, schema: Schema): WriteBatch =>
  batch.put(keyOf(space), encodeSchema(schema));

/** Throws CORRUPT. */
export function readSchema(store: KeyValueStore, space: Space): Schema {
  const value = store.get(keyOf(space));
  return value === undefined ? emptySchema : decodeSchema(value);
}

export function deleteSchema(store: KeyValueStore, space: Space): void {
  store.write(new WriteBatch().delete(keyOf(space)), { sync: false });
}

/** Of all spaces of a replica but those of the generations `kept`. */
export function deleteOtherSchemas(store: KeyValueStore, replica: ReplicaId, kept: readonly number[]): void {
  const own = new Set(kept.map((generation) => spaceOf(replica, generation)));
  const range = { start: keyOf(spaceOf(replica, 0)), end: keyOf(spaceOf(replicaId(replica + 1), 0)) };
  const batch = new WriteBatch();
  for (const { key } of store.range({ ...range, countMax: schemasMax })) {
    if (![...own].some((space) => compareBytes(keyOf(space), key) === 0)) batch.delete(key);
  }
  if (batch.operations.length > 0) store.write(batch, { sync: false });
}
