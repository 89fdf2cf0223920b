import * as path from 'node:path';
import { Prng } from '../../src/base/prng';
import { MemoryFence } from '../../src/storage/memory-disk';
import { MemoryStore } from '../../src/storage/memory-store';
import { RocksStore } from '../../src/storage/node/rocks';
import { WriteBatch } from '../../src/storage/ports';
import { everything, PlainStore, plain, step } from './random-operations';
import { dropScratch, imageOf, scratch } from './scratch';

const options = { createIfMissing: true, memtableBytes: 1024 * 1024, cacheBytes: 1024 * 1024 };
/** Without the engine's own keys. */
const users = { ...everything, start: Uint8Array.of(1) };

afterAll(dropScratch);

describe('RocksDB store', () => {
  test.each([1, 2, 3])(
    'behaves like a plain list and like the memory store, across reopening (seed %i)',
    async (seed) => {
      const random = new Prng(seed);
      const directory = path.join(scratch(), 'db');
      const model = new PlainStore();
      const memory = new MemoryStore();
      for (let round = 0; round < 4; round++) {
        const store = await RocksStore.open(directory, options, new MemoryFence());
        const attached = RocksStore.attach(store.handle, new MemoryFence());
        for (let i = 0; i < 300; i++) {
          const stepSeed = random.uint32();
          const modelBefore = model.copy();
          step(new Prng(stepSeed), i % 2 === 0 ? store : attached, model);
          step(new Prng(stepSeed), memory, modelBefore);
        }
        expect(plain(store.range(users))).toEqual(plain(model.range(users)));
        expect(plain(store.range(users))).toEqual(plain(memory.range(users)));
        await store.closeDatabase();
      }
    },
  );

  test('hands out plain, aligned, independent bytes', async () => {
    const store = await RocksStore.open(path.join(scratch(), 'db'), options, new MemoryFence());
    const key = Uint8Array.of(5);
    const shared = new Uint8Array(new SharedArrayBuffer(12), 4, 8).fill(7);
    store.write(new WriteBatch().put(key, shared).put(Uint8Array.of(6), new Uint8Array(0)), { sync: false });
    const value = store.get(key) as Uint8Array;
    expect(Object.getPrototypeOf(value)).toBe(Uint8Array.prototype);
    expect(value.byteOffset % 8).toBe(0);
    value[0] = 1;
    expect(store.get(key)?.[0]).toBe(7);
    expect(store.get(Uint8Array.of(6))).toHaveLength(0);
    expect(store.get(Uint8Array.of(7))).toBeUndefined();
    await store.closeDatabase();
    expect(() => store.get(key)).toThrow('after close');
  });

  test('a sync covers earlier unsynced writes, and the sequence survives reopening', async () => {
    const directory = path.join(scratch(), 'db');
    const store = await RocksStore.open(directory, options, new MemoryFence());
    for (let i = 1; i < 100; i++)
      store.write(new WriteBatch().put(Uint8Array.of(i), new Uint8Array(9)), { sync: false });
    store.sync();
    const { sequence } = store;
    const image = await RocksStore.open(imageOf(directory), options, new MemoryFence());
    expect(image.sequence).toBeGreaterThanOrEqual(sequence);
    expect(image.range(users)).toHaveLength(99);
    await image.closeDatabase();
    await store.closeDatabase();
  });

  test('a poisoned fence stops writing and not reading', async () => {
    const fence = new MemoryFence();
    const store = await RocksStore.open(path.join(scratch(), 'db'), options, fence);
    store.write(new WriteBatch().put(Uint8Array.of(1), Uint8Array.of(1)), { sync: false });
    fence.poison();
    const refused = expect.objectContaining({ code: 'POISONED' });
    expect(() => store.write(new WriteBatch().delete(Uint8Array.of(1)), { sync: false })).toThrow(refused);
    expect(() => store.deleteRange(Uint8Array.of(0), Uint8Array.of(9))).toThrow(refused);
    expect(() => store.sync()).toThrow(refused);
    expect(store.get(Uint8Array.of(1))).toHaveLength(1);
    await store.closeDatabase();
  });
});
