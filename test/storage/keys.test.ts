import { compareBytes, utf8 } from '../../src/base/bytes';
import { keyHash64, logIndex, replicaId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import * as keys from '../../src/storage/keys';

const random64 = (random: Prng): bigint => (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
const inside = (key: Uint8Array, { start, end }: keys.KeyRange): boolean =>
  compareBytes(key, start) >= 0 && compareBytes(key, end) < 0;

describe('keys', () => {
  test('a space holds its replica and its generation', () => {
    const space = keys.spaceOf(replicaId(2 ** 44 - 1), 2 ** 20 - 1);
    expect(space).toBe(2n ** 64n - 1n);
    expect(keys.replicaOfSpace(space)).toBe(2 ** 44 - 1);
    expect(keys.generationOfSpace(space)).toBe(2 ** 20 - 1);
    expect(() => keys.spaceOf(replicaId(2 ** 44), 0)).toThrow('44 bits');
    expect(() => keys.spaceOf(replicaId(1), 2 ** 20)).toThrow('20 bits');
  });

  test('points sort by space, hash, id, and ranges hold exactly their hashes', () => {
    const random = new Prng(3);
    const points = Array.from({ length: 300 }, () => {
      const space = keys.spaceOf(replicaId(random.between(1, 3)), random.between(0, 2));
      const hash = keyHash64(random.chance(0.2) ? random.pick([0n, 2n ** 64n - 1n]) : random64(random));
      const id = 'x'.repeat(random.between(0, 3));
      return { space, hash, id, key: keys.pointKey(space, hash, utf8(id)) };
    });
    const byKey = [...points].sort((a, b) => compareBytes(a.key, b.key));
    const byParts = [...points].sort((a, b) => {
      if (a.space !== b.space) return a.space < b.space ? -1 : 1;
      if (a.hash !== b.hash) return a.hash < b.hash ? -1 : 1;
      return a.id.length - b.id.length;
    });
    expect(byKey.map(({ key }) => key)).toEqual(byParts.map(({ key }) => key));
    for (const { space, hash, id, key } of points) {
      expect(keys.hashOfPointKey(key)).toBe(hash);
      expect(keys.idOfPointKey(key)).toEqual(utf8(id));
      const range = {
        start: keyHash64(random64(random)),
        end: keyHash64(random.pick([random64(random), 2n ** 64n - 1n])),
      };
      expect(inside(key, keys.pointRange(space, range))).toBe(hash >= range.start && hash <= range.end);
      expect(inside(key, keys.pointRange(space))).toBe(true);
      expect(inside(key, keys.pointRange(keys.spaceOf(replicaId(9), 0)))).toBe(false);
    }
  });

  test('entries sort by replica and index up to 2^53', () => {
    const numbers = [0, 1, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER];
    const all = numbers.flatMap((r) => numbers.map((i) => keys.entryKey(replicaId(r), logIndex(i))));
    expect([...all].sort(compareBytes)).toEqual(all);
    for (const i of numbers) expect(keys.indexOfEntryKey(keys.entryKey(replicaId(7), logIndex(i)))).toBe(i);
    for (const r of numbers) {
      const from = keys.entriesFrom(replicaId(r), logIndex(255));
      expect(all.filter((key) => inside(key, from))).toHaveLength(numbers.length - 2);
    }
    expect(() => keys.entryKey(replicaId(-1), logIndex(0))).toThrow('safe');
  });

  test('tables do not overlap', () => {
    const replica = replicaId(5);
    const space = keys.spaceOf(replica, 1);
    const all = [
      keys.barrierKey,
      keys.pointKey(space, keyHash64(1n), utf8('a')),
      keys.replicaStateKey(replica, 'descriptor'),
      keys.recordKey(space, 255, utf8('a')),
      keys.entryKey(replica, logIndex(1)),
      keys.hardStateKey(replica),
      keys.logRecordKey(replica),
    ];
    expect(new Set(all.map((key) => key[0])).size).toBe(all.length);
    expect(all.filter((key) => inside(key, keys.logRecordRange))).toHaveLength(1);
    expect(all.filter((key) => inside(key, keys.replicaStateRange))).toHaveLength(1);
    expect(inside(keys.recordKey(space, 255, utf8('z')), keys.recordRange(space))).toBe(true);
    expect(inside(keys.recordKey(space, 255, utf8('z')), keys.recordRange(space, 254))).toBe(false);
    expect(keys.fieldOfStateKey(keys.replicaStateKey(replica, 'applied'))).toBe('applied');
    expect(keys.replicaOfStateKey(keys.replicaStateKey(replica, 'applied'))).toBe(replica);
  });
});
