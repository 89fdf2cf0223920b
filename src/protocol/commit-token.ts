import { type CollectionId, collectionId, type LogIndex, logIndex, type ShardId, shardId } from '../base/ids';

/**
 * Names a write: it is in the state of its shard from log index `index` on. A read that presents it sees that write and
 * all before it, on any replica.
 */
export interface CommitToken {
  readonly collection: CollectionId;
  readonly shard: ShardId;
  readonly index: LogIndex;
}

const form = /^1\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/;

/** As clients keep it: they must not look into it. */
export const tokenText = ({ collection, shard, index }: CommitToken): string =>
  ['1', ...[collection, shard, index].map((part) => part.toString(36))].join('.');

/** Null: not a token of ours. */
export function parseToken(text: string): CommitToken | null {
  const parts = form
    .exec(text)
    ?.slice(1)
    .map((part) => Number.parseInt(part, 36));
  if (parts === undefined || !parts.every(Number.isSafeInteger)) return null;
  const [collection, shard, index] = parts as [number, number, number];
  return { collection: collectionId(collection), shard: shardId(shard), index: logIndex(index) };
}
