import { describe, expect, test } from '@jest/globals';
import { ByteReader, ByteWriter, fromUtf8, utf8 } from '../../src/base/bytes';
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
});
