import { VectronError } from '../base/errors';
import { payloadIndexesMax } from '../base/limits';
import { type Codec, list, oneOf, struct, type TypeOf, text, varint } from './codec';

/** What values a payload index keeps. Their order is durable. */
export const indexedTypes = ['keyword', 'integer', 'float', 'bool', 'datetime'] as const;
export const indexedTypeCodec = oneOf(...indexedTypes);
export type IndexedType = TypeOf<typeof indexedTypeCodec>;

export const payloadIndexCodec = struct({ key: text, type: indexedTypeCodec });
export type PayloadIndex = TypeOf<typeof payloadIndexCodec>;

const indexList = list(payloadIndexCodec, payloadIndexesMax);
const fields = struct({ revision: varint, indexes: indexList });

/**
 * What the shards of a collection must agree on beside its points: what is indexed of their payloads, and how long those live
 * whose writes do not say. `revision` is the placement driver's of its last change; a shard takes a schema only from a later
 * one than its own. At most one index a key, in the order of keys.
 */
export type Schema = TypeOf<typeof fields> & {
  /** Of log time, from a point's last write on; 0: for ever. */
  readonly ttlMs: number;
};

export const emptySchema: Schema = { revision: 0, indexes: [], ttlMs: 0 };

/** The first form, without a life of points, which it drops. Durable, and all that programs before flag 6 know. */
export const firstSchemaCodec: Codec<Schema> = {
  write: fields.write,
  read: (r) => ({ ...fields.read(r), ttlMs: 0 }),
};

/** Where a schema of the first form has its revision; that of revision 0 is empty, so that the number of a form may follow. */
const formMark = 0;
const mortalForm = 1;

/** Durable, and inside others. A schema whose points live for ever has the first form. */
export const schemaCodec: Codec<Schema> = {
  write: (w, schema) => {
    if (schema.ttlMs > 0) {
      varint.write(w, formMark);
      varint.write(w, mortalForm);
    }
    fields.write(w, schema);
    if (schema.ttlMs > 0) varint.write(w, schema.ttlMs);
  },
  read: (r) => {
    const revision = varint.read(r);
    if (revision !== formMark) return { revision, indexes: indexList.read(r), ttlMs: 0 };
    const form = varint.read(r);
    if (form === 0) return emptySchema;
    if (form === mortalForm) return { ...fields.read(r), ttlMs: varint.read(r) };
    throw new VectronError('UNSUPPORTED_VERSION', `schema of form ${form} is of a later version of this program`);
  },
};
