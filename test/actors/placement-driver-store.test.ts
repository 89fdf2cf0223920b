import { PlacementStore } from '../../src/actors/placement-driver-store';
import { clusterId, logIndex, replicaId, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { Entry } from '../../src/protocol/raft-messages';
import { recordRange, spaceOf } from '../../src/storage/keys';
import { MemoryStore } from '../../src/storage/memory-store';
import { anyOperation, commandOf, creation, register } from '../placement/generate';

const cluster = clusterId('test');
const self = replicaId(2);
const configuration = { voters: [replicaId(1), self, replicaId(3)], votersOutgoing: [], learners: [] };
const seeds = Array.from({ length: 15 }, (_, i) => i + 1);

const open = (store: MemoryStore, of = cluster): PlacementStore =>
  new PlacementStore({ cluster: of, replica: self, store });

function logOf(random: Prng, count: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    index: logIndex(i + 1),
    term: term(1 + (i >> 4)),
    type: random.chance(0.1) ? 'noop' : 'command',
    data: commandOf(anyOperation(random)),
  }));
}

/** Applies in runs of random length. */
function applyAll(store: PlacementStore, log: readonly Entry[], random: Prng): void {
  for (let at = 0; at < log.length; ) {
    const count = random.between(1, 7);
    store.apply(log.slice(at, at + count));
    at += count;
  }
}

function install(from: PlacementStore, to: PlacementStore): void {
  const source = from.openSnapshot();
  const sink = to.openRestore({ index: source.index, term: source.term, configuration });
  for (let n = 0; ; n++) {
    const chunk = source.chunk(n);
    if (chunk === null) break;
    sink.accept(chunk);
  }
  sink.finish();
  source.close();
}

describe('PlacementStore', () => {
  test.each(seeds)('after a power cut it stands where some prefix of the log leads (seed %i)', (seed) => {
    const random = new Prng(seed);
    const disk = new MemoryStore();
    const log = logOf(random, 120);
    let store = open(disk);
    for (let round = 0; round < 6; round++) {
      const rest = log.slice(store.appliedIndex);
      applyAll(store, rest.slice(0, random.between(0, rest.length)), random);
      if (random.chance(0.3)) disk.sync();
      disk.crash(random);
      store = open(disk);
      const model = open(new MemoryStore());
      applyAll(model, log.slice(0, store.appliedIndex), random);
      expect(store.machine.serialise()).toEqual(model.machine.serialise());
      expect(store.appliedTerm).toBe(log[store.appliedIndex - 1]?.term ?? 0);
    }
  });

  test.each(seeds)('a snapshot replaces the state as a whole or not at all (seed %i)', (seed) => {
    const random = new Prng(seed);
    const leader = open(new MemoryStore());
    const log = logOf(random, 150);
    applyAll(leader, log, random);
    const disk = new MemoryStore();
    const behind = open(disk);
    applyAll(behind, log.slice(0, 40), random);
    disk.sync();
    const old = behind.machine.serialise();
    const dieAt = random.between(1, 8);
    let writes = 0;
    disk.hook = () => {
      if (++writes === dieAt) throw new Error('power cut');
    };
    let finished = true;
    try {
      install(leader, behind);
    } catch {
      finished = false;
    }
    disk.hook = null;
    disk.crash(random);
    const after = open(disk);
    if (finished) expect(after.appliedIndex).toBe(150);
    expect(after.machine.serialise()).toEqual(after.appliedIndex === 150 ? leader.machine.serialise() : old);
    expect([40, 150]).toContain(after.appliedIndex);
    install(leader, after);
    expect(open(disk).machine.serialise()).toEqual(leader.machine.serialise());
    const spaces = [0, 1, 2, 3].map((generation) => recordRange(spaceOf(self, generation)));
    const used = spaces.filter((range) => disk.range({ ...range, countMax: 1 }).length > 0);
    expect(used).toHaveLength(1);
  });

  test('a damaged snapshot is refused and changes nothing', () => {
    const leader = open(new MemoryStore());
    leader.apply([{ index: logIndex(1), term: term(1), type: 'command', data: commandOf(register('a')) }]);
    const behind = open(new MemoryStore());
    const chunk = Uint8Array.from(leader.openSnapshot().chunk(0) ?? []);
    chunk[chunk.length - 1] = (chunk[chunk.length - 1] as number) ^ 1;
    const sink = behind.openRestore({ index: logIndex(1), term: term(1), configuration });
    sink.accept(chunk);
    expect(() => sink.finish()).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
    expect(behind.appliedIndex).toBe(0);
    expect(behind.machine.revision).toBe(0);
  });

  test('a flipped bit, and another cluster, are noticed at opening', () => {
    const random = new Prng(3);
    const disk = new MemoryStore();
    applyAll(open(disk), logOf(random, 60), random);
    expect(() => open(disk, clusterId('other'))).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
    const [row] = disk.range({ ...recordRange(spaceOf(self, 0)), countMax: 1 });
    if (row === undefined) throw new Error('no rows');
    disk.flipBit(row.key, random);
    expect(() => open(disk)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });

  test('outcomes are known by log index until the next apply', () => {
    const store = open(new MemoryStore());
    const command = (index: number, data: Uint8Array): Entry => ({
      index: logIndex(index),
      term: term(1),
      type: 'command',
      data,
    });
    store.apply([command(1, commandOf(register('a'))), command(2, commandOf(creation('c', 1, 3)))]);
    expect(store.outcomeOf(logIndex(1))).toMatchObject({ kind: 'workerRegistered', worker: 1 });
    expect(store.outcomeOf(logIndex(2))).toMatchObject({ kind: 'rejected', error: { code: 'FAILED_PRECONDITION' } });
    store.apply([command(3, commandOf(creation('c', 1, 1)))]);
    expect(store.outcomeOf(logIndex(1))).toBeNull();
    expect(store.outcomeOf(logIndex(3))).toMatchObject({ kind: 'collectionCreated' });
  });
});
