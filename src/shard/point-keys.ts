import { fromUtf8, utf8 } from '../base/bytes';
import { VectronError } from '../base/errors';
import { type KeyHash64, keyHash64, type ReplicaId, replicaId, type Space } from '../base/ids';
import { idOfPointKey, type KeyRange, pointKey, pointRange, spaceOf } from '../storage/keys';

export const keyOf = (space: Space, point: { readonly id: string; readonly hash: KeyHash64 }): Uint8Array =>
  pointKey(space, point.hash, utf8(point.id));

/** Throws CORRUPT: a key of ours always ends in UTF-8. */
export function pointIdOf(key: Uint8Array): string {
  try {
    return fromUtf8(idOfPointKey(key));
  } catch (cause) {
    throw new VectronError('CORRUPT', 'a point key is not UTF-8', { cause });
  }
}

/** The smallest key above `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** One of `count` parts of a space, cut by hash: for work on a space in slices. */
export function spacePart(space: Space, part: number, count: number): KeyRange {
  const edge = (n: number): bigint => (BigInt(n) << 64n) / BigInt(count);
  return pointRange(space, { start: keyHash64(edge(part)), end: keyHash64(edge(part + 1) - 1n) });
}

/** Every space of a replica but that of generation `kept`. */
export function otherSpaces(replica: ReplicaId, kept: number): readonly KeyRange[] {
  const all = allSpaces(replica);
  const own = pointRange(spaceOf(replica, kept));
  return [
    { start: all.start, end: own.start },
    { start: own.end, end: all.end },
  ];
}

export const allSpaces = (replica: ReplicaId): KeyRange => ({
  start: pointRange(spaceOf(replica, 0)).start,
  end: pointRange(spaceOf(replicaId(replica + 1), 0)).start,
});
