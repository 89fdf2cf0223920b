import { bytes, f64, list, struct, type TypeOf, text, union } from './codec';
import { epochCodec } from './ids';

/**
 * A point as clients write it. `vector` is float32 little-endian, `payload` JSON in UTF-8 (empty: none). Both are
 * written once and immutable from the moment they are proposed.
 */
export const pointCodec = struct({ id: text, vector: bytes, payload: bytes });
export type Point = TypeOf<typeof pointCodec>;

/** What a shard's log entry of type `command` holds. Durable: never change a variant, add one. */
export const shardOperationCodec = union({
  1: ['upsert', struct({ points: list(pointCodec) })],
  2: ['delete', struct({ ids: list(text) })],
});
export type ShardOperation = TypeOf<typeof shardOperationCodec>;

/** `epoch` is the proposer's and is checked at apply; `timeMs` is the leader's stamp for log time (DESIGN D14). */
export const shardCommandCodec = union({
  1: ['v1', struct({ epoch: epochCodec, timeMs: f64, operation: shardOperationCodec })],
});
export type ShardCommand = TypeOf<typeof shardCommandCodec>;
