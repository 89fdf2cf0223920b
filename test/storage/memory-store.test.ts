import { Prng } from '../../src/base/prng';
import { FencedLogEngine } from '../../src/storage/log-engine';
import { MemoryDisk, MemoryFence, MemoryMark } from '../../src/storage/memory-disk';
import { MemoryStore } from '../../src/storage/memory-store';
import { WriteBatch } from '../../src/storage/ports';
import { everything, PlainStore, plain, randomBatch, step } from './random-operations';

const put = (key: number, value: number): WriteBatch => new WriteBatch().put(Uint8Array.of(key), Uint8Array.of(value));

describe('memory store', () => {
  test.each([1, 2, 3, 4, 5])('behaves like a plain list (seed %i)', (seed) => {
    const random = new Prng(seed);
    const store = new MemoryStore();
    const model = new PlainStore();
    for (let i = 0; i < 1_500; i++) step(random, store, model);
    expect(plain(store.range(everything))).toEqual(plain(model.range(everything)));
  });

  test('a crash keeps a prefix of the unsynced batches, whole, and everything synced', () => {
    let lost = 0;
    let kept = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Prng(seed);
      const store = new MemoryStore();
      const model = new PlainStore();
      const states: string[] = [];
      for (let i = random.between(1, 30); i > 0; i--) {
        const batch = randomBatch(random);
        const sync = random.chance(0.1);
        store.write(batch, { sync });
        model.write(batch);
        if (sync) states.length = 0;
        states.push(JSON.stringify(plain(model.range(everything))));
      }
      const synced = store.unsyncedCount < states.length;
      if (!synced) states.unshift('[]');
      store.crash(random);
      const after = JSON.stringify(plain(store.range(everything)));
      expect(states).toContain(after);
      if (after === states.at(-1)) kept++;
      else lost++;
      store.crash(random);
      expect(JSON.stringify(plain(store.range(everything)))).toBe(after);
    }
    expect(lost).toBeGreaterThan(20);
    expect(kept).toBeGreaterThan(20);
  });

  test('a write that fails leaves nothing, a sync that fails leaves it undurable for ever', () => {
    const store = new MemoryStore();
    store.write(put(1, 1), { sync: true });
    store.hook = (operation) => {
      if (operation === 'write') throw new Error('ENOSPC');
    };
    expect(() => store.write(put(2, 2), { sync: true })).toThrow('ENOSPC');
    expect(store.get(Uint8Array.of(2))).toBeUndefined();
    store.hook = (operation) => {
      if (operation === 'sync') throw new Error('EIO');
    };
    expect(() => store.write(put(3, 3), { sync: true })).toThrow('EIO');
    expect(store.get(Uint8Array.of(3))).toBeDefined();
    store.hook = null;
    store.write(put(4, 4), { sync: true });
    expect(store.unsyncedCount).toBe(2);
    for (let seed = 1; store.unsyncedCount > 0; seed++) store.crash(new Prng(seed));
    expect(store.get(Uint8Array.of(1))).toBeDefined();
  });

  test('does not share bytes with its writer', () => {
    const store = new MemoryStore();
    const key = Uint8Array.of(1);
    const value = Uint8Array.of(1);
    store.write(new WriteBatch().put(key, value), { sync: false });
    key[0] = 9;
    value[0] = 9;
    expect(store.get(Uint8Array.of(1))).toEqual(Uint8Array.of(1));
  });

  test('refuses to be used after close', () => {
    const store = new MemoryStore();
    store.close();
    expect(() => store.get(Uint8Array.of(1))).toThrow('after close');
    store.reopen();
    expect(store.get(Uint8Array.of(1))).toBeUndefined();
  });

  test('the sequence follows crashes, so that the mark shows lost synced batches', () => {
    const disk = new MemoryDisk(8);
    const engine = disk.openLog();
    for (let i = 0; i < 5; i++) engine.commit(put(i, i));
    disk.log.write(put(9, 9), { sync: false });
    disk.crash(new Prng(1));
    expect(disk.openLog().corruption).toBeNull();
    disk.log.loseDurable(disk.log.get(Uint8Array.of(9)) === undefined ? 1 : 2);
    disk.start();
    const corrupt = disk.openLog();
    expect(corrupt.corruption).toMatch('ends at sequence 4, but 5 had been synced');
    expect(() => corrupt.commit(put(1, 1))).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });

  test('a disk that lied lacks synced batches of one store, says so, and leaves the disk it was made from alone', () => {
    const lost = { log: 0, state: 0 };
    for (let seed = 1; seed <= 100; seed++) {
      const disk = new MemoryDisk(64);
      const engine = disk.openLog();
      for (let i = 0; i < 20; i++) {
        engine.commit(put(i, i));
        disk.state.write(put(i, i), { sync: false });
        if (i % 5 === 0) disk.stateBarrier.sync();
      }
      disk.crash(new Prng(seed));
      const before = plain(disk.log.range(everything)).length + plain(disk.state.range(everything)).length;
      expect(disk.corruption).toBeNull();
      const after = disk.afterLie(new Prng(seed));
      expect(after.corruption).toMatch('had been synced');
      if (after.log.size < disk.log.size) lost.log++;
      if (after.state.size < disk.state.size) lost.state++;
      after.log.write(put(99, 99), { sync: true });
      expect(disk.corruption).toBeNull();
      expect(plain(disk.log.range(everything)).length + plain(disk.state.range(everything)).length).toBe(before);
    }
    expect(lost.log).toBeGreaterThan(20);
    expect(lost.state).toBeGreaterThan(20);
  });

  test('a read that fails reaches its caller and poisons nothing', () => {
    const disk = new MemoryDisk();
    const engine = disk.openLog();
    engine.commit(put(1, 1));
    disk.log.readHook = () => {
      throw new Error('EIO');
    };
    const { log } = disk;
    expect(() => log.get(Uint8Array.of(1))).toThrow('EIO');
    expect(() => log.getMany([Uint8Array.of(1)])).toThrow('EIO');
    expect(() => log.range(everything)).toThrow('EIO');
    log.readHook = null;
    engine.commit(put(2, 2));
    expect(log.range(everything)).toHaveLength(2);
  });

  test('a short range costs the same among 100,000 keys', () => {
    const store = new MemoryStore();
    const random = new Prng(7);
    for (let i = 0; i < 100_000; i++) {
      const key = new Uint8Array(8);
      const view = new DataView(key.buffer);
      view.setUint32(0, random.uint32());
      view.setUint32(4, i);
      store.write(new WriteBatch().put(key, key), { sync: true });
    }
    expect(store.range(everything)).toHaveLength(100_000);
    // Processor time, so that other work on the machine does not decide. Going through all keys takes over 100 times as long.
    const before = process.cpuUsage();
    let found = 0;
    for (let i = 0; i < 1_000; i++) {
      const start = Uint8Array.of(random.between(0, 254));
      found += store.range({ ...everything, start, countMax: 10, reverse: i % 2 === 0 }).length;
    }
    expect(found).toBe(10_000);
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(1_000);
  });
});

describe('fenced log engine', () => {
  test('a failed state write stops all writing of the machine until its process starts anew', () => {
    const disk = new MemoryDisk();
    const engine = disk.openLog();
    disk.state.hook = () => {
      throw new Error('ENOSPC');
    };
    expect(() => disk.state.write(put(1, 1), { sync: false })).toThrow('ENOSPC');
    disk.state.hook = null;
    expect(() => disk.state.write(put(2, 2), { sync: false })).toThrow(expect.objectContaining({ code: 'POISONED' }));
    expect(() => engine.commit(put(1, 1))).toThrow(expect.objectContaining({ code: 'POISONED' }));
    disk.start();
    disk.state.write(put(2, 2), { sync: false });
    expect(disk.state.get(Uint8Array.of(2))).toBeDefined();
  });

  test('the first failed sync is final, in every engine of the process', () => {
    const disk = new MemoryDisk();
    const first = disk.openLog();
    disk.log.hook = (operation) => {
      if (operation === 'sync') throw new Error('EIO');
    };
    expect(() => first.commit(put(1, 1))).toThrow(expect.objectContaining({ code: 'POISONED' }));
    disk.log.hook = null;
    expect(first.poisoned).toBe(true);
    expect(() => first.commit(put(2, 2))).toThrow(expect.objectContaining({ code: 'POISONED' }));
    expect(disk.openLog().poisoned).toBe(true);
    expect(disk.log.get(Uint8Array.of(2))).toBeUndefined();
    disk.crash(new Prng(1));
    expect(disk.openLog().poisoned).toBe(false);
  });

  test('a mark that cannot be written is as final as a failed sync', () => {
    const fence = new MemoryFence();
    const mark = new MemoryMark();
    const engine = new FencedLogEngine(new MemoryStore(), mark, fence);
    mark.write = () => {
      throw new Error('EIO');
    };
    expect(() => engine.commit(put(1, 1))).toThrow(expect.objectContaining({ code: 'POISONED' }));
    expect(fence.poisoned).toBe(true);
  });

  test('a successor fences its predecessor, even in the middle of a commit', () => {
    const disk = new MemoryDisk();
    const first = disk.openLog();
    disk.log.hook = (operation) => {
      if (operation === 'sync') disk.openLog();
    };
    expect(() => first.commit(put(1, 1))).toThrow('another log writer');
    disk.log.hook = null;
    expect(() => first.commit(put(2, 2))).toThrow('another log writer');
    const second = disk.openLog();
    second.commit(put(3, 3));
    expect(disk.log.get(Uint8Array.of(2))).toBeUndefined();
    expect(disk.log.get(Uint8Array.of(3))).toBeDefined();
  });
});

test('getDurable shows what losing every unsynced batch would leave', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Prng(seed);
    const store = new MemoryStore();
    const before = new Map<number, Uint8Array | undefined>();
    const step = (sync: boolean): void => {
      const batch = new WriteBatch();
      const key = random.between(0, 5);
      if (random.chance(0.3)) batch.delete(Uint8Array.of(key));
      else batch.put(Uint8Array.of(key), Uint8Array.of(random.between(0, 255)));
      store.write(batch, { sync });
    };
    for (let i = 0; i < 10; i++) step(true);
    for (let key = 0; key <= 5; key++) before.set(key, store.get(Uint8Array.of(key)));
    for (let i = random.between(0, 6); i > 0; i--) step(false);
    for (const [key, value] of before) expect(store.getDurable(Uint8Array.of(key))).toEqual(value);
  }
});
