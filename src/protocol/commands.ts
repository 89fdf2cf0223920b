import { bool, bytes, f64, list, struct, type TypeOf, text, varint, versionedUnion } from './codec';
import { flagNumber } from './flags';
import { epochCodec } from './ids';
import { firstSchemaCodec, schemaCodec } from './schemas';

/**
 * A point as clients write it. `vector` is float32 little-endian, `payload` JSON in UTF-8 (empty: none). Both are
 * written once and immutable from the moment they are proposed.
 */
export const pointCodec = struct({ id: text, vector: bytes, payload: bytes });
export type Point = TypeOf<typeof pointCodec>;

/** How long a point lives from its write on, in log time: as the collection says (without that, for ever); to where it would
 * end without the write; so long. Durable. */
export const lifeCodec = versionedUnion('life', {
  0: ['default', struct({})],
  1: ['kept', struct({})],
  2: ['given', struct({ ttlMs: varint })],
});
export type Life = TypeOf<typeof lifeCodec>;

export const mortalPointCodec = struct({ id: text, vector: bytes, payload: bytes, life: lifeCodec });
export type MortalPoint = TypeOf<typeof mortalPointCodec>;

/** What a shard's log entry of type `command` holds. Durable: never change a variant, add one. */
export const shardOperationCodec = versionedUnion('shard operation', {
  1: ['upsert', struct({ points: list(pointCodec) })],
  2: ['delete', struct({ ids: list(text) })],
  /** An upsert of points that may end. */
  3: ['put', struct({ points: list(mortalPointCodec) })],
});
export type ShardOperation = TypeOf<typeof shardOperationCodec>;

/** What must hold of a point for its part to be written. `version` 0 is the same as `absent`. Durable. */
export const conditionCodec = versionedUnion('condition', {
  0: ['none', struct({})],
  1: ['version', struct({ version: varint })],
  2: ['absent', struct({})],
  3: ['present', struct({})],
});
export type Condition = TypeOf<typeof conditionCodec>;

/**
 * How an operation is to be written (DESIGN D13). `key` names the call, empty: it is not protected against repetition.
 * `issuedMs` is the wall clock of who drew the key; a repetition is known as one until log time passes issuedMs +
 * windowMs, and refused afterwards. `conditions` is empty, or has one for each point of the operation. Durable.
 */
export const writeOptionsCodec = struct({
  key: text,
  issuedMs: f64,
  windowMs: varint,
  conditions: list(conditionCodec),
  returnPrevious: bool,
});
export type WriteOptions = TypeOf<typeof writeOptionsCodec>;

/** Without key or condition: how every v1 command is written. */
export const plainWrite: WriteOptions = { key: '', issuedMs: 0, windowMs: 0, conditions: [], returnPrevious: false };

const stamped = { epoch: epochCodec, timeMs: f64, operation: shardOperationCodec };

/** `epoch` is the proposer's and is checked at apply; `timeMs` is the leader's stamp for log time (DESIGN D14). */
export const shardCommandCodec = versionedUnion('shard command', {
  1: ['v1', struct(stamped)],
  2: ['v2', struct({ ...stamped, options: writeOptionsCodec })],
  /** Changes nothing: every replica notes the checksum of its state at this entry, to compare it with its peers'. */
  10: ['checksum', struct({ epoch: epochCodec })],
  /** From this entry on the shard is at `level` (flags.ts), unless it is at a higher one already. */
  11: ['raise', struct({ epoch: epochCodec, level: varint })],
  /** What payload indexes there are to be, unless the shard knows of a later revision. Changes no point. */
  20: ['schema', struct({ epoch: epochCodec, schema: firstSchemaCodec })],
  /** The same, of a schema that says how long points live. */
  21: ['mortalSchema', struct({ epoch: epochCodec, schema: schemaCodec })],
  /** Moves log time to `timeMs`, and deletes those of the points that have ended by then. */
  30: ['expire', struct({ epoch: epochCodec, timeMs: f64, ids: list(text) })],
});
export type ShardCommand = TypeOf<typeof shardCommandCodec>;

/**
 * The flag that must be on before a command, an operation or a condition may be proposed; 0: none. One that is in the log
 * nevertheless is refused at apply. Whatever is added here after the first release has a flag of its own.
 */
export const commandLevels: { readonly [K in ShardCommand['kind']]: number } = {
  v1: 0,
  v2: 0,
  checksum: 0,
  raise: 0,
  schema: flagNumber('payloadIndexes'),
  mortalSchema: flagNumber('collectionTtl'),
  expire: flagNumber('expiry'),
};
export const operationLevels: { readonly [K in ShardOperation['kind']]: number } = {
  upsert: 0,
  delete: 0,
  put: flagNumber('expiry'),
};
export const conditionLevels: { readonly [K in Condition['kind']]: number } = {
  none: 0,
  version: 0,
  absent: 0,
  present: 0,
};

const checksumTag = 10;
/** Without decoding it: whether a log entry's data is a checksum command. */
export const isChecksumCommand = (data: Uint8Array): boolean => data[0] === checksumTag;
