import { present } from '../../src/base/assert';
import { type CollectionId, clusterId, replicaId, revision, type ShardId, workerId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { PlacementOperation } from '../../src/placement/commands';
import { PlacementMachine, type PlacementOutcome } from '../../src/placement/machine';
import { rowCodec } from '../../src/placement/records';
import { decode, list } from '../../src/protocol/codec';
import { flagRange } from '../../src/protocol/flags';
import { hashSpaceEnd } from '../../src/protocol/key-hash';
import type { PlacementChange } from '../../src/protocol/placement-messages';
import type { ShardRecord } from '../../src/protocol/records';
import { anyOperation, commandOf, creation, register, shuffled } from './generate';

const cluster = clusterId('test');
const seeds = Array.from({ length: 12 }, (_, i) => i + 1);
const apply = (machine: PlacementMachine, operation: PlacementOperation): PlacementOutcome =>
  machine.apply(commandOf(operation));
const everything = (machine: PlacementMachine): PlacementChange => machine.changesSince(revision(0), workerId(0));

function machineWith(...nodes: string[]): PlacementMachine {
  const machine = PlacementMachine.fresh(cluster);
  for (const node of nodes) apply(machine, register(node));
  return machine;
}

/** To the highest level, as soon as every node has said that it knows it. */
function raised(machine: PlacementMachine): void {
  const driver = { kind: 'driver', id: 1 } as const;
  const workers = everything(machine).workers.map(({ id }) => ({ kind: 'worker', id }) as const);
  for (const node of [driver, ...workers]) apply(machine, { kind: 'noteSupport', node, range: flagRange });
  const rise = { kind: 'raiseLevel', level: flagRange.newest, drivers: [replicaId(1)] } as const;
  expect(codeOf(apply(machine, rise))).toBe('noted');
}

function codeOf(outcome: PlacementOutcome): string {
  return outcome.kind === 'rejected' ? outcome.error.code : outcome.kind;
}

function expectTiled(shards: readonly ShardRecord[]): void {
  const ranges = shards.map((shard) => shard.range).sort((a, b) => (a.start < b.start ? -1 : 1));
  let next = 0n;
  for (const { start, end } of ranges) {
    expect(start).toBe(next);
    next = end + 1n;
  }
  expect(next).toBe(hashSpaceEnd + 1n);
}

describe('PlacementMachine, any commands in any order', () => {
  test.each(seeds)('ids grow and are never reused, ranges tile, replicas are apart (seed %i)', (seed) => {
    const random = new Prng(seed);
    const machine = PlacementMachine.fresh(cluster);
    const replicas = new Set<number>();
    const shards = new Set<number>();
    let [replicaHighest, shardHighest, collectionHighest] = [0, 0, 0];
    for (let i = 0; i < 150; i++) {
      const before = machine.revision;
      const outcome = apply(machine, anyOperation(random));
      expect(machine.revision - before).toBeLessThanOrEqual(1);
      if (outcome.kind !== 'collectionCreated') continue;
      expect(outcome.collection.id).toBeGreaterThan(collectionHighest);
      collectionHighest = outcome.collection.id;
      const records = outcome.collection.shardIds.map((id) => present(machine.shard(id), 'shard'));
      expectTiled(records);
      for (const record of records) {
        expect(record.id).toBeGreaterThan(shardHighest);
        shardHighest = record.id;
        shards.add(record.id);
        expect(new Set(record.members.map((member) => member.node)).size).toBe(outcome.collection.replicationFactor);
        for (const { replica } of record.members) {
          expect(replica).toBeGreaterThan(replicaHighest);
          replicaHighest = replica;
          replicas.add(replica);
        }
      }
    }
    expect(shards.size).toBeGreaterThan(10);
    expect(replicas.size).toBeGreaterThan(30);
  });

  test.each(seeds)('a rejected command changes nothing, and check() foretells it (seed %i)', (seed) => {
    const random = new Prng(seed);
    const machine = PlacementMachine.fresh(cluster);
    let rejected = 0;
    for (let i = 0; i < 100; i++) {
      const operation = anyOperation(random);
      const foretold = machine.check(operation);
      const before = machine.serialise();
      const outcome = apply(machine, operation);
      expect(outcome.kind === 'rejected' ? outcome.error.code : null).toBe(foretold?.code ?? null);
      if (outcome.kind !== 'rejected') continue;
      rejected++;
      expect(machine.serialise()).toEqual(before);
    }
    expect(rejected).toBeGreaterThan(5);
  });

  test.each(seeds)('the same log gives equal bytes, also from a restored state (seed %i)', (seed) => {
    const random = new Prng(seed);
    const log = Array.from({ length: 120 }, () => commandOf(anyOperation(random)));
    const first = PlacementMachine.fresh(cluster);
    let second = PlacementMachine.fresh(cluster);
    for (const command of log) {
      first.apply(command);
      second.apply(command);
      if (random.chance(0.2)) second = restoredShuffled(second, random);
    }
    expect(second.serialise()).toEqual(first.serialise());
    expect(second.digest()).toBe(first.digest());
    for (const worker of [0, 1, 2]) {
      for (const from of [0, first.revision >> 1, first.revision]) {
        expect(second.changesSince(revision(from), workerId(worker))).toEqual(
          first.changesSince(revision(from), workerId(worker)),
        );
      }
    }
  });

  test.each(seeds)('drained writes rebuild the state (seed %i)', (seed) => {
    const random = new Prng(seed);
    const machine = PlacementMachine.fresh(cluster);
    const disk = new Map<string, Parameters<typeof PlacementMachine.fromRows>[0][number]>();
    for (let i = 0; i < 100; i++) {
      apply(machine, anyOperation(random));
      if (random.chance(0.5)) continue;
      for (const { key, row } of machine.drainWrites()) {
        if (row === null) disk.delete(`${key.kind}/${key.id}`);
        else disk.set(`${key.kind}/${key.id}`, row);
      }
      expect(PlacementMachine.fromRows([...disk.values()]).serialise()).toEqual(machine.serialise());
    }
  });

  test.each(seeds)('following the changes from any revision gives the whole truth (seed %i)', (seed) => {
    const random = new Prng(seed);
    const machine = PlacementMachine.fresh(cluster);
    const followers = [0, 1, 2, 3].map((worker) => new Follower(worker));
    for (let i = 0; i < 150; i++) {
      apply(machine, anyOperation(random));
      for (const follower of followers) if (random.chance(0.3)) follower.expectTruth(machine);
    }
    for (const follower of followers) follower.expectTruth(machine);
  });
});

/** Rebuilds from the rows of the state in a random order. */
function restoredShuffled(machine: PlacementMachine, random: Prng): PlacementMachine {
  return PlacementMachine.fromRows(shuffled(decode(list(rowCodec), machine.serialise()), random));
}

/** The simplest watcher there is: maps of what it heard. */
class Follower {
  private at = revision(0);
  private readonly collections = new Map<CollectionId, unknown>();
  private readonly shards = new Map<ShardId, ShardRecord>();
  private readonly workers = new Map<number, unknown>();

  constructor(private readonly worker: number) {}

  expectTruth(machine: PlacementMachine): void {
    const change = machine.changesSince(this.at, workerId(this.worker));
    this.take(change);
    const whole = machine.changesSince(revision(0), workerId(this.worker));
    expect([...this.shards.values()].sort((a, b) => a.id - b.id)).toEqual(whole.shards);
    expect([...this.workers.values()]).toEqual(whole.workers);
    for (const collection of whole.collections) expect(this.collections.get(collection.id)).toEqual(collection);
    if (this.worker === 0) expect(this.collections.size).toBe(whole.collections.length);
  }

  private take(change: PlacementChange): void {
    expect(change.full).toBe(this.at === 0);
    for (const record of change.workers) this.workers.set(record.id, record);
    for (const record of change.collections) this.collections.set(record.id, record);
    for (const record of change.shards) this.shards.set(record.id, record);
    for (const id of change.collectionsDeleted) this.collections.delete(id);
    for (const id of change.shardsRetired) this.shards.delete(id);
    this.at = change.revision;
  }
}

describe('PlacementMachine', () => {
  test('the same node and store keep their worker id, a new store gets a new one and retires the old', () => {
    const machine = machineWith('a', 'b');
    expect(apply(machine, register('a'))).toMatchObject({ worker: 1, revision: 2 });
    expect(apply(machine, register('a', { zone: 'z' }))).toMatchObject({ worker: 1, revision: 3 });
    expect(apply(machine, register('a', { store: 'replaced' }))).toMatchObject({ worker: 3 });
    expect(machine.worker(workerId(1))?.state).toBe('draining');
    expect(apply(machine, register('a'))).toMatchObject({ worker: 1 });
    expect(machine.worker(workerId(3))?.state).toBe('draining');
  });

  test('replicas are spread over zones, then racks, then by count', () => {
    const machine = PlacementMachine.fresh(cluster);
    const places = ['z1 r1', 'z1 r1', 'z1 r2', 'z2 r1', 'z2 r1', 'z2 r2', 'z3 r1', 'z3 r1'];
    places.forEach((place, i) => {
      const [zone = '', rack = ''] = place.split(' ');
      apply(machine, register(`m${i}`, { zone, rack }));
    });
    apply(machine, creation('five', 6, 5));
    for (const { members } of everything(machine).shards) {
      const where = members.map((member) => places[member.worker - 1] as string);
      expect(new Set(where.map((place) => place.slice(0, 2))).size).toBe(3);
      expect(new Set(where.slice(0, 5)).size).toBe(5);
    }
    const counts = new Map<number, number>();
    apply(machine, creation('one', 80, 1));
    for (const { members } of everything(machine).shards) {
      for (const { worker } of members) counts.set(worker, (counts.get(worker) ?? 0) + 1);
    }
    expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1);
  });

  test('a zone that has less room is used for every shard all the same', () => {
    const machine = PlacementMachine.fresh(cluster);
    const places: [string, string][] = [
      ['z1', 'r1'],
      ['z1', 'r2'],
      ['z1', 'r3'],
      ['z2', 'r1'],
      ['z3', 'r1'],
    ];
    places.forEach(([zone, rack], i) => {
      apply(machine, register(`m${i}`, { zone, rack }));
    });
    apply(machine, creation('c', 6, 3));
    for (const { members } of everything(machine).shards) {
      expect(members.map((member) => places[member.worker - 1]?.[0]).sort()).toEqual(['z1', 'z2', 'z3']);
    }
  });

  test('bad collections are refused with the field at fault', () => {
    const machine = machineWith('a', 'b', 'c');
    const bad: [string, Partial<ReturnType<typeof creation>> | object][] = [
      ['name', { name: '' }],
      ['name', { name: 'a b' }],
      ['name', { name: 'x'.repeat(129) }],
      ['dimension', { dimension: 0 }],
      ['dimension', { dimension: 65_537 }],
      ['hnsw.m', { hnsw: { m: 1, efConstruction: 100 } }],
      ['hnsw.ef_construction', { hnsw: { m: 16, efConstruction: 0 } }],
      ['shard_count', { shardCount: 0 }],
      ['shard_count', { shardCount: 1_025 }],
      ['replication_factor', { replicationFactor: 2 }],
    ];
    for (const [field, change] of bad) {
      const outcome = apply(machine, { ...creation('ok'), ...change });
      expect(outcome).toMatchObject({ kind: 'rejected', error: { code: 'INVALID_ARGUMENT', field } });
    }
    expect(codeOf(apply(machine, creation('x'.repeat(128))))).toBe('collectionCreated');
    expect(codeOf(apply(machine, creation('x'.repeat(128))))).toBe('ALREADY_EXISTS');
  });

  test('a collection says how it is stored once all programs know that', () => {
    const machine = machineWith('a', 'b', 'c');
    const storage = { quantisation: 'int8', originals: 'disk' } as const;
    const wanted = { ...creation('stored'), kind: 'createStored', storage } as const;
    expect(codeOf(apply(machine, wanted))).toBe('FAILED_PRECONDITION');
    expect(codeOf(apply(machine, creation('plain')))).toBe('collectionCreated');
    raised(machine);
    expect(apply(machine, wanted)).toMatchObject({ kind: 'collectionCreated', collection: { storage } });
    expect(codeOf(apply(machine, wanted))).toBe('ALREADY_EXISTS');
    const restored = everything(machine).collections.map(({ name, storage: one }) => [name, one.originals]);
    expect(restored).toEqual([
      ['plain', 'memory'],
      ['stored', 'disk'],
    ]);
  });

  test('too few workers: a precondition when they are not registered, a matter of time when they are not alive', () => {
    const machine = machineWith('a', 'b', 'c');
    expect(codeOf(apply(machine, creation('five', 1, 5)))).toBe('FAILED_PRECONDITION');
    expect(codeOf(apply(machine, { ...creation('c'), avoid: [workerId(2)] }))).toBe('RESOURCE_EXHAUSTED');
    apply(machine, register('d'));
    const outcome = apply(machine, { ...creation('c'), avoid: [workerId(2)] });
    expect(codeOf(outcome)).toBe('collectionCreated');
    expect(everything(machine).shards[0]?.members.map((member) => member.worker)).toEqual([1, 3, 4]);
  });

  test('deletion orders the removal of every replica until its worker has confirmed', () => {
    const machine = machineWith('a', 'b', 'c');
    apply(machine, creation('c', 2));
    const { shards } = everything(machine);
    const before = machine.revision;
    expect(codeOf(apply(machine, { kind: 'deleteCollection', name: 'c' }))).toBe('collectionDeleted');
    expect(codeOf(apply(machine, { kind: 'deleteCollection', name: 'c' }))).toBe('NOT_FOUND');
    const own = shards.map(
      (shard) =>
        present(
          shard.members.find((member) => member.worker === 2),
          'member',
        ).replica,
    );
    const change = machine.changesSince(before, workerId(2));
    expect(change).toMatchObject({ full: false, collectionsDeleted: [1], shardsRetired: [1, 2] });
    expect(change.removals.map((removal) => removal.replica)).toEqual(own);
    expect(change.removals[0]).toMatchObject({ cluster, shard: 1, confVersion: 1, shardRetired: true, worker: 2 });
    // Only the worker it was addressed to can confirm.
    apply(machine, { kind: 'confirmRemovals', worker: workerId(1), replicas: own });
    expect(machine.changesSince(revision(0), workerId(2)).removals).toHaveLength(2);
    apply(machine, { kind: 'confirmRemovals', worker: workerId(2), replicas: own.slice(0, 1) });
    expect(machine.changesSince(revision(0), workerId(2)).removals.map((r) => r.replica)).toEqual(own.slice(1));
  });

  test('who stands before forgotten deletions starts from the whole truth', () => {
    const machine = machineWith('a');
    const early = machine.revision;
    for (let i = 0; i < 5; i++) {
      apply(machine, creation('c', 1_024, 1));
      apply(machine, { kind: 'deleteCollection', name: 'c' });
    }
    apply(machine, creation('last', 1, 1));
    const resync = machine.changesSince(early, workerId(0));
    expect(resync).toMatchObject({ full: true, shardsRetired: [], collectionsDeleted: [] });
    expect(resync.collections.map((collection) => collection.name)).toEqual(['last']);
    const late = machine.changesSince(revision(machine.revision - 2), workerId(0));
    expect(late.full).toBe(false);
    expect(late.shardsRetired).toHaveLength(1_024);
  });

  test('the first incarnation in the log holds for ever, also in a restored state', () => {
    const machine = PlacementMachine.fresh(cluster);
    apply(machine, { kind: 'found', incarnation: 0 });
    expect([machine.incarnation, machine.revision, everything(machine).incarnation]).toEqual([0, 0, 0]);
    for (const incarnation of [7, 8]) {
      expect(apply(machine, { kind: 'found', incarnation })).toEqual({ kind: 'founded', revision: 1 });
    }
    apply(machine, register('a'));
    const restored = PlacementMachine.restore(machine.serialise());
    expect([restored.incarnation, everything(restored).incarnation]).toEqual([7, 7]);
    expect(machine.changesSince(revision(1), workerId(1)).incarnation).toBe(7);
    expect(restored.serialise()).toEqual(machine.serialise());
    const rebuilt = machine.drainWrites().flatMap(({ row }) => (row === null ? [] : [row]));
    expect(PlacementMachine.fromRows(rebuilt).incarnation).toBe(7);
  });

  test('bytes that are no command change nothing', () => {
    const machine = machineWith('a');
    const before = machine.serialise();
    expect(codeOf(machine.apply(new Uint8Array([1, 3, 99])))).toBe('CORRUPT');
    expect(codeOf(machine.apply(new Uint8Array([250, 9, 9])))).toBe('CORRUPT');
    expect(machine.serialise()).toEqual(before);
  });

  test('a command or an operation of a later version is not passed over', () => {
    const machine = machineWith('a');
    const before = machine.serialise();
    for (const later of [
      [9, 9, 9],
      [1, 150, 3],
    ]) {
      expect(() => machine.apply(new Uint8Array(later))).toThrow(/of a later version/);
    }
    expect(machine.serialise()).toEqual(before);
  });
});
