import type { Space } from '../base/ids';
import { emptySchema, type Schema, schemaCodec } from '../protocol/schemas';
import { recordKey } from '../storage/keys';
import type { KeyValueStore, WriteBatch } from '../storage/ports';
import { seal, unseal } from '../storage/sealed';

/**
 * A shard's schema is a record of its space, beside the points: it is installed, replaced and deleted with them. A shard
 * without one has the empty schema.
 */
const schemaKind = 0;
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

/** Every schema of the spaces from `first` up to before `end`. */
export function deleteSchemas(store: KeyValueStore, first: Space, end: Space): void {
  store.deleteRange(keyOf(first), keyOf(end));
}
