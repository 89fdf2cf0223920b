import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { clusterId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { FenceFile } from '../../src/storage/node/fence-file';
import {
  attachLog,
  attachStateStore,
  type MachineStores,
  openMachineStores,
  retireStores,
} from '../../src/storage/node/machine-stores';
import { createIdentity } from '../../src/storage/node/store-identity';
import { WriteBatch } from '../../src/storage/ports';
import { dropScratch, imageOf, scratch } from './scratch';

const options = {
  clusterId: clusterId('c1'),
  logMemtableBytes: 4 << 20,
  stateMemtableBytes: 4 << 20,
  stateCacheBytes: 1 << 20,
};
const commitCount = 200;
const keyOf = (i: number): Uint8Array => Uint8Array.of(0x10, i >> 8, i & 255);
const batchOf = (i: number): WriteBatch => new WriteBatch().put(keyOf(i), new Uint8Array(500).fill(i));

afterAll(dropScratch);

async function using(directory: string, work: (stores: MachineStores) => void): Promise<void> {
  const stores = await openMachineStores(directory, options);
  try {
    work(stores);
  } finally {
    await stores.close();
  }
}

const walOf = (directory: string): string => {
  const files = fs.readdirSync(directory).filter((name) => name.endsWith('.log'));
  return path.join(directory, files.sort().at(-1) as string);
};

/** An image of a machine killed after 200 synced commits, one in three followed by an unsynced write. */
async function killedMachine(): Promise<{ image: string; syncedBytes: number }> {
  const directory = scratch();
  let image = '';
  let syncedBytes = 0;
  await using(directory, ({ handles }) => {
    const log = attachLog(handles);
    for (let i = 0; i < commitCount; i++) log.engine.commit(batchOf(i));
    syncedBytes = fs.statSync(walOf(path.join(directory, 'log'))).size;
    for (let i = 0; i < 30; i++) log.engine.store.write(batchOf(1_000 + i), { sync: false });
    image = imageOf(directory);
    log.close();
  });
  return { image, syncedBytes };
}

async function open(
  image: string,
): Promise<{ corruption: string | null; synced: number; engineCorruption: string | null }> {
  let result = { corruption: null as string | null, synced: 0, engineCorruption: null as string | null };
  await using(image, ({ corruption, handles }) => {
    const log = attachLog(handles);
    let synced = 0;
    while (log.engine.store.get(keyOf(synced)) !== undefined) synced++;
    result = { corruption, synced, engineCorruption: log.engine.corruption };
    log.close();
  });
  return result;
}

describe('machine stores', () => {
  test('keep their identity and their data', async () => {
    const directory = path.join(scratch(), 'deep', 'machine');
    let incarnation = '';
    await using(directory, (stores) => {
      incarnation = stores.identity.incarnation;
      expect(stores.identity).toMatchObject({ cluster: 'c1', ready: true });
      expect(stores.corruption).toBeNull();
      attachStateStore(stores.handles).write(batchOf(1), { sync: false });
      expect(stores.stateStore.get(keyOf(1))).toHaveLength(500);
    });
    await using(directory, (stores) => {
      expect(stores.identity.incarnation).toBe(incarnation);
      expect(stores.stateStore.get(keyOf(1))).toHaveLength(500);
    });
  });

  test('refuse another cluster, stray data, a newer format and a damaged identity', async () => {
    const directory = scratch();
    await using(directory, () => undefined);
    const other = { ...options, clusterId: clusterId('c2') };
    await expect(openMachineStores(directory, other)).rejects.toThrow('belongs to cluster c1, this one is c2');
    const file = path.join(directory, 'identity.json');
    const text = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, text.replace('"c1"', '"c3"'));
    await expect(openMachineStores(directory, options)).rejects.toMatchObject({ code: 'CORRUPT' });
    fs.rmSync(file);
    await expect(openMachineStores(directory, options)).rejects.toThrow('holds log, but no identity.json');
    fs.writeFileSync(file, text);
    await using(directory, () => undefined);
  });

  test('an interrupted creation goes on; what is missing later is damage', async () => {
    const directory = scratch();
    const begun = createIdentity(directory, options.clusterId);
    expect(begun.ready).toBe(false);
    expect(createIdentity(directory, options.clusterId)).toEqual(begun);
    fs.writeFileSync(path.join(directory, 'log.fence'), 'cut');
    await using(directory, ({ identity, corruption }) => {
      expect(identity).toEqual({ ...begun, ready: true });
      expect(corruption).toBeNull();
    });
    fs.rmSync(path.join(directory, 'state'), { recursive: true });
    await expect(openMachineStores(directory, options)).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  test('a second process, and a second opening in this one, are refused with one clear line', async () => {
    const directory = scratch();
    await using(directory, () => undefined);
    const stores = await openMachineStores(directory, options);
    await expect(openMachineStores(directory, options)).rejects.toThrow('is in use by another process');
    const module = path.join(__dirname, '../../src/storage/node/machine-stores.js');
    const script = `require(${JSON.stringify(module)}).openMachineStores(${JSON.stringify(directory)}, { clusterId: 'c1' })
      .then(() => console.log('opened'), (error) => console.log(error.code, error.message))`;
    const { stdout } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(stdout).toMatch(/^FAILED_PRECONDITION .* is in use by another process\n$/);
    attachStateStore(stores.handles).write(batchOf(1), { sync: true });
    await stores.close();
  });

  test('a killed machine loses nothing synced, and a torn unsynced tail is no corruption', async () => {
    const { image, syncedBytes } = await killedMachine();
    const wal = walOf(path.join(image, 'log'));
    const random = new Prng(4);
    for (let i = 0; i < 5; i++) {
      const torn = imageOf(image);
      const size = random.between(syncedBytes, fs.statSync(wal).size);
      fs.truncateSync(walOf(path.join(torn, 'log')), size);
      const result = await open(torn);
      expect(result).toEqual({ corruption: null, engineCorruption: null, synced: commitCount });
    }
    expect((await open(image)).synced).toBe(commitCount);
  });

  test('what is synced behind a torn tail is there after every further kill', async () => {
    const random = new Prng(79);
    let { image } = await killedMachine();
    let synced = commitCount;
    for (let round = 0; round < 6; round++) {
      let syncedBytes = 0;
      let killed = '';
      await using(image, ({ corruption, handles }) => {
        expect(corruption).toBeNull();
        const log = attachLog(handles);
        for (let i = 0; i < synced; i++) expect(log.engine.store.get(keyOf(i))).toBeDefined();
        for (let i = 0; i < 20; i++) log.engine.commit(batchOf(synced++));
        syncedBytes = fs.statSync(walOf(path.join(image, 'log'))).size;
        for (let i = 0; i < 5; i++) log.engine.store.write(batchOf(2_000 + i), { sync: false });
        killed = imageOf(image);
        log.close();
      });
      const wal = walOf(path.join(killed, 'log'));
      fs.truncateSync(wal, random.between(syncedBytes, fs.statSync(wal).size - 1));
      image = killed;
    }
    expect((await open(image)).synced).toBe(synced);
  });

  test('a flipped bit or a missing piece in the middle of the synced log is seen as corruption', async () => {
    const { image, syncedBytes } = await killedMachine();
    const random = new Prng(5);
    let seen = 0;
    for (let i = 0; i < 12; i++) {
      const damaged = imageOf(image);
      const wal = walOf(path.join(damaged, 'log'));
      const position = random.between(0, syncedBytes - 1);
      if (i % 3 === 0) fs.truncateSync(wal, position);
      else flipBit(wal, position, random.between(0, 7));
      const { corruption, engineCorruption, synced } = await open(damaged);
      expect(engineCorruption === null).toBe(corruption === null);
      // Padding between blocks may take a flip without harm.
      if (corruption === null) expect(synced).toBe(commitCount);
      else seen++;
    }
    expect(seen).toBeGreaterThan(8);
  });

  test('the loss of what a state barrier made durable is seen too', async () => {
    const directory = scratch();
    let image = '';
    await using(directory, ({ handles, stateStore }) => {
      for (let i = 0; i < 50; i++) stateStore.write(batchOf(i), { sync: false });
      const log = attachLog(handles);
      log.state.sync();
      image = imageOf(directory);
      log.close();
    });
    await using(imageOf(image), ({ corruption }) => expect(corruption).toBeNull());
    fs.truncateSync(walOf(path.join(image, 'state')), 5_000);
    await using(image, ({ corruption }) => expect(corruption).toMatch(/^state: the store ends at sequence/));
  });

  test('a missing or destroyed fence file is corruption, one torn slot is not', async () => {
    const { image } = await killedMachine();
    const gone = imageOf(image);
    fs.rmSync(path.join(gone, 'log.fence'));
    expect((await open(gone)).corruption).toMatch('fence file is gone');
    const zeros = imageOf(image);
    fs.writeFileSync(path.join(zeros, 'log.fence'), new Uint8Array(8_192));
    expect((await open(zeros)).corruption).toMatch('no valid slot');
    for (const position of [8, 4_096 + 8]) {
      const torn = imageOf(image);
      flipBit(path.join(torn, 'log.fence'), position, 3);
      expect((await open(torn)).corruption).toBeNull();
    }
  });

  test('a fence file with a torn slot lags by one write at most', () => {
    for (const position of [8, 4_096 + 8]) {
      const file = path.join(scratch(), 'fence');
      FenceFile.create(file);
      for (let sequence = 1; sequence <= 10; sequence++) {
        const fence = FenceFile.open(file, () => undefined);
        fence.write(sequence * 2 - 1);
        fence.write(sequence * 2);
        fence.close();
        const torn = path.join(scratch(), 'fence');
        fs.copyFileSync(file, torn);
        expect(FenceFile.open(torn, () => undefined).read()).toBe(sequence * 2);
        flipBit(torn, position, 3);
        const read = FenceFile.open(torn, () => undefined).read();
        expect([sequence * 2 - 1, sequence * 2]).toContain(read);
      }
    }
  });

  test('retired stores make room for new ones under a new incarnation', async () => {
    const directory = scratch();
    let incarnation = '';
    await using(directory, (stores) => {
      incarnation = stores.identity.incarnation;
      attachLog(stores.handles).engine.commit(batchOf(1));
    });
    fs.rmSync(path.join(directory, 'log.fence'));
    await using(directory, (stores) => expect(stores.corruption).not.toBeNull());
    const retired = retireStores(directory);
    expect(fs.readdirSync(retired).sort()).toEqual(['identity.json', 'log', 'state', 'state.fence']);
    await using(directory, (stores) => {
      expect(stores.corruption).toBeNull();
      expect(stores.identity.incarnation).not.toBe(incarnation);
    });
  });

  test('a successor in another thread’s place fences its predecessor, and poison reaches every holder', async () => {
    await using(scratch(), ({ handles, stateStore }) => {
      const first = attachLog(handles);
      first.engine.commit(batchOf(1));
      const second = attachLog(handles);
      expect(() => first.engine.commit(batchOf(2))).toThrow('another log writer has taken over');
      second.engine.commit(batchOf(3));
      expect(second.engine.store.get(keyOf(2))).toBeUndefined();
      second.engine.poison();
      const refused = expect.objectContaining({ code: 'POISONED' });
      expect(() => stateStore.write(batchOf(4), { sync: false })).toThrow(refused);
      expect(() => attachLog(handles).engine.commit(batchOf(5))).toThrow(refused);
    });
  });
});

function flipBit(file: string, position: number, bit: number): void {
  const bytes = fs.readFileSync(file);
  bytes[position] = (bytes[position] as number) ^ (1 << bit);
  fs.writeFileSync(file, bytes);
}
