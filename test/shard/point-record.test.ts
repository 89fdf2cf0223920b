import { describe, expect, it } from '@jest/globals';
import { utf8 } from '../../src/base/bytes';
import { crc32c } from '../../src/base/crc32c';
import { VectronError } from '../../src/base/errors';
import { Prng } from '../../src/base/prng';
import { decodeRecord, deletion, encodeRecord, type PointRecord } from '../../src/shard/point-record';
import { recordHash } from '../../src/shard/record-digest';
import { vectorOf } from './shard-helpers';

const record = (random: Prng, version = random.between(1, 2 ** 31)): PointRecord => ({
  version,
  touched: version,
  timeMs: random.between(0, 2 ** 31),
  deleted: false,
  expiryMs: 5,
  dedupe: utf8('key'),
  payload: utf8('{"a":1}'),
  vector: vectorOf(random),
});

describe('crc32c', () => {
  it('gives the published check values', () => {
    expect(crc32c(utf8('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  });

  it('is the same in pieces of any size as in one', () => {
    const random = new Prng(3);
    const bytes = Uint8Array.from({ length: 257 }, () => random.between(0, 255));
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
      expect(crc32c(bytes, crc32c(bytes.subarray(0, cut)), cut)).toBe(crc32c(bytes));
    }
  });
});

describe('a point record', () => {
  it('reads back what was written, deletions too', () => {
    const random = new Prng(1);
    for (let i = 0; i < 50; i++) {
      const written = record(random);
      expect(decodeRecord('a', encodeRecord('a', written))).toEqual(written);
    }
    const gone = decodeRecord('a', encodeRecord('a', deletion(9, 4)));
    expect(gone).toMatchObject({ version: 9, timeMs: 4, deleted: true });
    expect(gone.vector.length).toBe(0);
  });

  it('notices every flipped bit, every cut, and a record under another id', () => {
    const value = encodeRecord('a', record(new Prng(2)));
    const corrupt = expect.objectContaining({ code: 'CORRUPT' });
    const codeOf = (id: string, bytes: Uint8Array): unknown => {
      try {
        return decodeRecord(id, bytes);
      } catch (thrown) {
        return thrown instanceof VectronError ? thrown : new Error(`not ours: ${String(thrown)}`);
      }
    };
    for (let bit = 0; bit < value.length * 8; bit++) {
      const damaged = value.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(codeOf('a', damaged)).toEqual(corrupt);
    }
    for (let length = 0; length < value.length; length++)
      expect(codeOf('a', value.subarray(0, length))).toEqual(corrupt);
    expect(codeOf('b', value)).toEqual(corrupt);
  });
});

describe('the hash of a record', () => {
  it('differs with any bit of value or id, in both of its halves', () => {
    const value = encodeRecord('a', record(new Prng(4)));
    const seen = new Set([recordHash('a', value), recordHash('b', value)]);
    const halves = new Set([...seen].flatMap((hash) => [hash >> 32n, hash & 0xffffffffn]));
    for (let bit = 0; bit < value.length * 8; bit++) {
      const other = value.slice();
      other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
      const hash = recordHash('a', other);
      seen.add(hash);
      halves.add(hash >> 32n).add(hash & 0xffffffffn);
    }
    expect(seen.size).toBe(value.length * 8 + 2);
    expect(halves.size).toBe(2 * seen.size);
  });
});
