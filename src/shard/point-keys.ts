import { fromUtf8, utf8 } from '../base/bytes';
import { VectronError } from '../base/errors';
import { type KeyHash64, keyHash64, type ReplicaId, replicaId, type Space } from '../base/ids';
import { changesFrom, expiryFrom, idOfPointKey, type KeyRange, pointKey, pointRange, spaceOf } from '../storage/keys';

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

type RangeOfSpace = (space: Space) => KeyRange;
const changesOf: RangeOfSpace = (space) => changesFrom(space, 0);
const endsOf: RangeOfSpace = (space) => expiryFrom(space, 0);

/** Every point and table of a replica but those of the generations `kept`. */
export const otherSpaces = (replica: ReplicaId, ...kept: readonly number[]): readonly KeyRange[] => [
  ...others(pointRange, replica, kept),
  ...others(changesOf, replica, kept),
  ...others(endsOf, replica, kept),
];

function others(rangeOf: RangeOfSpace, replica: ReplicaId, kept: readonly number[]): readonly KeyRange[] {
  const all = allOf(rangeOf, replica);
  const found: KeyRange[] = [];
  let { start } = all;
  for (const generation of [...kept].sort((a, b) => a - b)) {
    const own = rangeOf(spaceOf(replica, generation));
    found.push({ start, end: own.start });
    start = own.end;
  }
  return [...found, { start, end: all.end }];
}

const allOf = (rangeOf: RangeOfSpace, replica: ReplicaId): KeyRange => ({
  start: rangeOf(spaceOf(replica, 0)).start,
  end: rangeOf(spaceOf(replicaId(replica + 1), 0)).start,
});

/** Every point of a replica. */
export const allSpaces = (replica: ReplicaId): KeyRange => allOf(pointRange, replica);
export const allChanges = (replica: ReplicaId): KeyRange => allOf(changesOf, replica);
export const allEnds = (replica: ReplicaId): KeyRange => allOf(endsOf, replica);
