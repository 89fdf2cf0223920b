import { payloadIndexesMax } from '../base/limits';
import { list, oneOf, struct, type TypeOf, text, varint } from './codec';

/** What values a payload index keeps. Their order is durable. */
export const indexedTypes = ['keyword', 'integer', 'float', 'bool', 'datetime'] as const;
export const indexedTypeCodec = oneOf(...indexedTypes);
export type IndexedType = TypeOf<typeof indexedTypeCodec>;

export const payloadIndexCodec = struct({ key: text, type: indexedTypeCodec });
export type PayloadIndex = TypeOf<typeof payloadIndexCodec>;

/**
 * What a collection indexes of its payloads. `revision` is the placement driver's of its last change; a shard takes a
 * schema only from a later one than its own. At most one index a key, in the order of keys. Durable.
 */
export const schemaCodec = struct({ revision: varint, indexes: list(payloadIndexCodec, payloadIndexesMax) });
export type Schema = TypeOf<typeof schemaCodec>;

export const emptySchema: Schema = { revision: 0, indexes: [] };
