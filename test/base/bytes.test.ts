import { describe, expect, test } from '@jest/globals';
import { ByteReader, ByteWriter, compareBytes, equalBytes, fromUtf8, utf8 } from '../../src/base/bytes';
import { Prng } from '../../src/base/prng';

/** Lengths around every limit of the short path, in alphabets of one to four bytes a character. */
function* texts(): Generator<string> {
  const random = new Prng(11);
  const alphabets = ['abcXYZ09-_/ ~', 'a\u007f\u0080é', 'aß漢€', 'a😀\u{10ffff}', '\u0000a'];
  for (const alphabet of alphabets) {
    const characters = [...alphabet];
    for (const length of [0, 1, 2, 31, 63, 64, 65, 127, 128, 300]) {
      for (let i = 0; i < 5; i++) yield Array.from({ length }, () => random.pick(characters)).join('');
    }
  }
}

describe('text as bytes', () => {
  test('is what the platform makes of it, however short or foreign', () => {
    const platform = new TextEncoder();
    for (const text of texts()) {
      expect([...utf8(text)]).toEqual([...platform.encode(text)]);
      expect(fromUtf8(utf8(text))).toBe(text);
    }
  });

  test('keeps a byte order mark: it is part of an id', () => {
    expect(fromUtf8(utf8('\ufeffx'))).toBe('\ufeffx');
  });

  test('is read back from between other fields', () => {
    for (const text of texts()) {
      const writer = new ByteWriter(1);
      writer.u8(7);
      writer.text(text);
      writer.varint(300);
      const reader = new ByteReader(writer.finish());
      expect([reader.u8(), reader.text(), reader.varint()]).toEqual([7, text, 300]);
      reader.expectEnd();
    }
  });

  test('is told apart from every other, also from one that was read a moment ago', () => {
    const random = new Prng(5);
    const alphabet = [...'ab-/0'];
    for (let i = 0; i < 20_000; i++) {
      const text = Array.from({ length: random.between(0, 9) }, () => random.pick(alphabet)).join('');
      const writer = new ByteWriter(16);
      writer.text(text);
      expect(new ByteReader(writer.finish()).text()).toBe(text);
    }
  });

  test('is refused when it is cut short, or is not UTF-8', () => {
    for (const bytes of [
      [2, 0x61],
      [2, 0xc3, 0x28],
      [1, 0xff],
      [3, 0x61, 0xe6, 0xbc],
    ]) {
      expect(() => new ByteReader(Uint8Array.from(bytes)).text()).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
    }
  });
});

describe('numbers as bytes', () => {
  test('are what a DataView makes of them', () => {
    const random = new Prng(7);
    const expected = new DataView(new ArrayBuffer(28));
    for (let i = 0; i < 1_000; i++) {
      const word = random.uint32();
      const big = (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
      const real = random.gaussian() * 10 ** random.between(-300, 300);
      expected.setUint32(0, word, true);
      expected.setBigUint64(4, big, true);
      expected.setBigUint64(12, big, false);
      expected.setFloat64(20, real, true);
      const writer = new ByteWriter(1);
      writer.u32(word);
      writer.u64(big);
      writer.u64BigEndian(big);
      writer.f64(real);
      const bytes = writer.finish();
      expect([...bytes]).toEqual([...new Uint8Array(expected.buffer)]);
      const reader = new ByteReader(bytes);
      expect([reader.u32(), reader.u64(), reader.u64BigEndian(), reader.f64()]).toEqual([word, big, big, real]);
      expect(new ByteReader(bytes, 20).f64()).toBe(real);
    }
  });
});

describe('bytes', () => {
  test('are equal exactly when they compare as equal', () => {
    const random = new Prng(9);
    const draw = (): Uint8Array => Uint8Array.from({ length: random.between(0, 4) }, () => random.between(0, 2));
    for (let i = 0; i < 5_000; i++) {
      const [a, b] = [draw(), draw()];
      expect(equalBytes(a, b)).toBe(compareBytes(a, b) === 0);
    }
  });
});
