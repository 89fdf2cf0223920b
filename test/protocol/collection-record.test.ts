import { collectionId, shardId } from '../../src/base/ids';
import { decode, encode, list, struct, varint } from '../../src/protocol/codec';
import { type CollectionRecord, collectionRecordCodec, defaultStorage, laterStorage } from '../../src/protocol/records';

const record: CollectionRecord = {
  id: collectionId(5),
  name: 'things',
  dimension: 3,
  metric: 'dot',
  hnsw: { m: 16, efConstruction: 200 },
  storage: defaultStorage,
  replicationFactor: 3,
  shardIds: [shardId(7), shardId(8)],
};
/** As the programs before storage wrote it. */
const first = [5, 6, ...Buffer.from('things'), 3, 2, 16, 200, 1, 3, 2, 7, 8];

describe('a collection record', () => {
  test('with the default storage has the bytes that it always had', () => {
    expect([...encode(collectionRecordCodec, record)]).toEqual(first);
    expect(decode(collectionRecordCodec, Uint8Array.from(first))).toEqual(record);
  });

  test('keeps what it says of its storage, also among others', () => {
    const records = (['int8', 'none'] as const).flatMap((quantisation) =>
      (['memory', 'disk'] as const).map((originals) => ({ ...record, storage: { quantisation, originals } })),
    );
    const codec = list(collectionRecordCodec);
    expect(decode(codec, encode(codec, records))).toEqual(records);
  });

  test('of a later form is nothing that this program could guess', () => {
    expect(() => decode(collectionRecordCodec, Uint8Array.from([0, 2, ...first]))).toThrow('later version');
  });

  test('a message without storage means the default, and is what says the default', () => {
    const codec = struct({ shards: varint, storage: laterStorage });
    expect([...encode(codec, { shards: 4, storage: defaultStorage })]).toEqual([4]);
    expect(decode(codec, Uint8Array.from([4]))).toEqual({ shards: 4, storage: defaultStorage });
    const other = { shards: 4, storage: { quantisation: 'none', originals: 'disk' } } as const;
    expect(decode(codec, encode(codec, other))).toEqual(other);
  });
});
