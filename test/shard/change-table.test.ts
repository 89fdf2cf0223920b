import { describe, expect, it } from '@jest/globals';
import { replicaId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { ChangeTable } from '../../src/shard/change-table';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { changesKey, spaceOf } from '../../src/storage/keys';
import { MemoryStore } from '../../src/storage/memory-store';
import { WriteBatch } from '../../src/storage/ports';
import { FlatEngine } from '../../src/vector/flat-index';
import {
  commandOf,
  entryOf,
  indexOf,
  machineOf,
  pointOf,
  remove,
  settleIndex,
  upsert,
  vectorOf,
} from './shard-helpers';

const space = spaceOf(replicaId(11), 0);

function idsAfter(table: ChangeTable, after: number, to: number): ReadonlySet<string> | null {
  const walk = table.walk(after, to);
  const found = new Set<string>();
  for (;;) {
    const ids = walk.next();
    if (ids === null) return null;
    if (ids.length === 0) return found;
    for (const id of ids) found.add(id);
  }
}

describe('the table of changes', () => {
  it('names what changed above any index it covers, as a plain list does, also after a trim and a new start', () => {
    const random = new Prng(5);
    const store = new MemoryStore();
    const plain: { readonly index: number; readonly ids: readonly string[] }[] = [];
    let table = new ChangeTable(store, space);
    let index = 10;
    let from = 10;
    for (let step = 0; step < 150; step++) {
      const before = index;
      index += random.between(1, 4);
      const ids = Array.from({ length: random.between(0, 160) }, () => `p${random.between(0, 50)}`);
      const batch = new WriteBatch();
      table.add(batch, ids, before, index);
      store.write(batch, { sync: false });
      plain.push({ index, ids });
      if (random.chance(0.05)) {
        from = Math.max(from, random.between(from, index));
        table.trim(from);
      }
      if (random.chance(0.1)) table = new ChangeTable(store, space);
      const after = random.between(0, index);
      const named = plain.filter((one) => one.index > after).flatMap((one) => one.ids);
      expect(table.countAfter(after)).toBe(after < from ? null : named.length);
      if (after >= from) expect(idsAfter(table, after, index)).toEqual(new Set(named));
    }
  });

  it('says that it does not know rather than what a flipped bit makes of it', () => {
    const random = new Prng(6);
    const store = new MemoryStore();
    const batch = new WriteBatch();
    new ChangeTable(store, space).add(batch, ['a', 'b'], 0, 5);
    store.write(batch, { sync: false });
    store.flipBit(changesKey(space, 5), random);
    expect(idsAfter(new ChangeTable(store, space), 0, 5)).toBe(null);
    expect(new ChangeTable(store, space).countAfter(0)).toBe(null);
  });

  it('stays smaller than what going through all records costs', () => {
    const store = new MemoryStore();
    const machine = machineOf(store);
    const random = new Prng(7);
    for (let index = 1; index <= 600; index++) {
      machine.apply([entryOf(index, commandOf(upsert(pointOf(`p${index % 5}`, random))))]);
    }
    expect(store.size).toBeLessThan(200);
  });
});

describe('a restart from an older graph file', () => {
  const reads = { count: 0 };
  class CountingStore extends MemoryStore {
    override getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
      reads.count += keys.length;
      return super.getMany(keys);
    }
    override range(options: Parameters<MemoryStore['range']>[0]): ReturnType<MemoryStore['range']> {
      const found = super.range(options);
      reads.count += found.length;
      return found;
    }
  }

  function filled(store: MemoryStore, engine: FlatEngine, points: number): ShardMachine {
    const random = new Prng(8);
    const index = indexOf(engine);
    const machine = machineOf(store, index);
    for (let i = 1; i <= points; i++) machine.apply([entryOf(i, commandOf(upsert(pointOf(`p${i}`, random))))]);
    index.save('graph');
    machine.indexSaved(index.appliedIndex);
    machine.apply([entryOf(points + 1, commandOf(upsert(pointOf('late', random))))]);
    machine.apply([entryOf(points + 2, commandOf(remove('p1')))]);
    return machine;
  }
  const loaded = (engine: FlatEngine): ReturnType<typeof indexOf> =>
    new FlatEngine(engine.files).open(
      { key: 'index', dimension: 4, metric: 'euclidean', m: 8, efConstruction: 32, capacity: 16 },
      'graph',
    );

  it('reads the changed points only, and finds the same', () => {
    const store = new CountingStore();
    const engine = new FlatEngine();
    const before = filled(store, engine, 500);
    const index = loaded(engine);
    reads.count = 0;
    const machine = machineOf(store, index);
    settleIndex(machine);
    expect(reads.count).toBeLessThan(20);
    const request = {
      vector: vectorOf(new Prng(9)),
      k: 600,
      ef: 0,
      exact: true,
      includeVector: false,
      includePayload: false,
    };
    const { hits } = machine.search(request);
    expect(hits.length).toBe(500);
    expect(hits).toEqual(before.search(request).hits);
    expect(machine.unsavedChanges(500)).toBe(2);
  });

  it('goes through all records when the table is damaged or of no use', () => {
    for (const damage of ['flip', 'older release', 'file gone']) {
      const store = new CountingStore();
      const engine = new FlatEngine();
      filled(store, engine, 100);
      if (damage === 'flip') store.flipBit(changesKey(space, 102), new Prng(1));
      if (damage === 'older release') store.deleteRange(changesKey(space, 0), changesKey(space, 1_000));
      const machine = machineOf(store, damage === 'file gone' ? indexOf(new FlatEngine()) : loaded(engine));
      settleIndex(machine);
      const request = {
        vector: vectorOf(new Prng(9)),
        k: 200,
        ef: 0,
        exact: true,
        includeVector: false,
        includePayload: false,
      };
      expect(machine.search(request).hits.length).toBe(100);
    }
  });
});

describe('an index that is still loading its file', () => {
  it('is left alone, and level with the store afterwards', () => {
    const random = new Prng(3);
    const store = new MemoryStore();
    const engine = new FlatEngine();
    const index = indexOf(engine);
    const machine = machineOf(store, index);
    for (let i = 1; i <= 50; i++) machine.apply([entryOf(i, commandOf(upsert(pointOf(`p${i}`, random))))]);
    index.save('graph');
    for (const settled of [true, false]) {
      const options = {
        key: 'index',
        dimension: 4,
        metric: 'euclidean',
        m: 8,
        efConstruction: 32,
        capacity: 16,
      } as const;
      const slow = new FlatEngine(engine.files, 4).open(options, 'graph');
      const restarted = machineOf(store, slow);
      expect(restarted.indexReady).toBe(false);
      const next = restarted.appliedIndex + 1;
      if (!settled) restarted.apply([entryOf(next, commandOf(upsert(pointOf('meanwhile', random))))]);
      expect(restarted.indexReady).toBe(false);
      settleIndex(restarted);
      expect([slow.size, slow.appliedIndex]).toEqual([restarted.points, restarted.appliedIndex]);
    }
  });
});
