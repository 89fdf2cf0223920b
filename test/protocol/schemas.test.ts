import { describe, expect, test } from '@jest/globals';
import { decode, encode } from '../../src/protocol/codec';
import { emptySchema, firstSchemaCodec, type Schema, schemaCodec } from '../../src/protocol/schemas';

const index = { key: 'k', type: 'integer' } as const;
const plain: Schema = { revision: 7, indexes: [index], ttlMs: 0 };

describe('a schema', () => {
  test('whose points live for ever has the bytes that it always had', () => {
    for (const schema of [emptySchema, plain]) {
      const bytes = encode(schemaCodec, schema);
      expect(bytes).toEqual(encode(firstSchemaCodec, schema));
      expect(decode(schemaCodec, bytes)).toEqual(schema);
    }
  });

  test('that says how long points live is read back, also among other bytes', () => {
    for (const schema of [
      { ...plain, ttlMs: 90 },
      { ...emptySchema, revision: 3, ttlMs: 2 ** 40 },
    ]) {
      expect(decode(schemaCodec, encode(schemaCodec, schema))).toEqual(schema);
    }
    // What earlier gateways are told of it.
    const told = decode(firstSchemaCodec, encode(firstSchemaCodec, { ...plain, ttlMs: 90 }));
    expect(told).toEqual(plain);
  });

  test('of a form that this program does not know stops it', () => {
    expect(() => decode(schemaCodec, Uint8Array.of(0, 2, 7, 0))).toThrow(/later version/);
  });
});
