import { describe, expect, it } from '@jest/globals';
import { floatsOf, utf8 } from '../../src/base/bytes';
import { VectronError } from '../../src/base/errors';
import { logIndex, replicaId, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { Point } from '../../src/protocol/commands';
import { tile } from '../../src/protocol/key-hash';
import type { Entry } from '../../src/protocol/raft-messages';
import { destroyReplicaState } from '../../src/shard/destroy';
import { keyOf } from '../../src/shard/point-keys';
import { clearQuarantine } from '../../src/shard/quarantine';
import { digestText } from '../../src/shard/record-digest';
import { readKeysMax } from '../../src/shard/shard-apply';
import { type ShardMachine } from '../../src/shard/shard-machine';
import { spaceOf } from '../../src/storage/keys';
import { MemoryStore } from '../../src/storage/memory-store';
import { FlatEngine } from '../../src/vector/flat-index';
import type { VectorIndex } from '../../src/vector/ports';
import {
  commandOf,
  configuration,
  entryOf,
  epoch,
  indexOf,
  machineOf,
  pointOf,
  remove,
  settleIndex,
  testKeyHash,
  upsert,
  vectorOf,
} from './shard-helpers';

/** What a shard should be, without stores, batches or digests. */
class Model {
  readonly live = new Map<string, { readonly point: Point; readonly version: number }>();

  apply(entry: Entry, points: readonly Point[], ids: readonly string[]): void {
    for (const point of points) this.live.set(point.id, { point, version: entry.index });
    for (const id of ids) this.live.delete(id);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function expectEqual(machine: ShardMachine, model: Model, random: Prng): void {
  const stored = machine.scan('', 10_000).points;
  expect(new Map(stored.map((p) => [p.id, [p.version, hex(p.vector), hex(p.payload)]]))).toEqual(
    new Map([...model.live].map(([id, { point, version }]) => [id, [version, hex(point.vector), hex(point.payload)]])),
  );
  const recount = machine.recount();
  expect(machine.points).toBe(model.live.size);
  expect(recount.points).toBe(model.live.size);
  expect(machine.digest()).toBe(digestText(recount.digest));
  settleIndex(machine);
  expectSearch(machine, model, vectorOf(random));
}

function expectSearch(machine: ShardMachine, model: Model, query: Uint8Array): void {
  const distance = (vector: Uint8Array): number =>
    floatsOf(vector).reduce((sum, v, at) => sum + (v - (floatsOf(query)[at] as number)) ** 2, 0);
  const wanted = [...model.live.values()].map(({ point }) => distance(point.vector)).sort((a, b) => a - b);
  const request = { vector: query, k: 5, ef: 0, exact: false, includeVector: true, includePayload: true };
  const { hits } = machine.search(request);
  expect(hits.length).toBe(Math.min(5, model.live.size));
  hits.forEach((hit, at) => {
    expect(-hit.score).toBeCloseTo(wanted[at] as number, 3);
    expect(hex(hit.payload)).toBe(hex(model.live.get(hit.id)?.point.payload ?? utf8('no such point')));
  });
}

/** Lends the values of getMany() until the next call that reads or writes: who keeps them finds zeros. */
class LendingStore extends MemoryStore {
  most = 0;
  private lent: Uint8Array[] = [];

  override getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    this.takeBack();
    this.most = Math.max(this.most, keys.length);
    const values = super.getMany(keys).map((value) => value?.slice());
    this.lent = values.filter((value) => value !== undefined);
    return values;
  }

  override write(...call: Parameters<MemoryStore['write']>): void {
    this.takeBack();
    super.write(...call);
  }

  private takeBack(): void {
    for (const value of this.lent) value.fill(0);
    this.lent = [];
  }
}

/** A log of random upserts and deletes over few ids, some with the same id twice, some bad. */
function randomLog(random: Prng, count: number): { entry: Entry; points: Point[]; ids: string[] }[] {
  const id = (): string => `p${random.between(0, 40)}`;
  return Array.from({ length: count }, (_, at) => {
    const index = at + 1;
    const points = Array.from({ length: random.between(1, 4) }, () => pointOf(id(), random));
    const ids = Array.from({ length: random.between(1, 3) }, id);
    const kind = random.between(0, 9);
    if (kind === 0) return { entry: entryOf(index, new Uint8Array(0), 'noop'), points: [], ids: [] };
    if (kind === 1) return { entry: entryOf(index, Uint8Array.of(1, 99, 97)), points: [], ids: [] };
    if (kind === 2) {
      const stale = { epoch: { version: 2, confVersion: 1 } };
      return { entry: entryOf(index, commandOf(upsert(...points), stale)), points: [], ids: [] };
    }
    if (kind <= 4) return { entry: entryOf(index, commandOf(remove(...ids))), points: [], ids };
    return { entry: entryOf(index, commandOf(upsert(...points))), points, ids: [] };
  });
}

describe('a shard machine against a plain model', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('holds the same after writes, crashes and replays, seed %i', (seed) => {
    const random = new Prng(seed);
    const log = randomLog(random, 200);
    const state = new MemoryStore();
    let files = new FlatEngine();
    let machine = machineOf(state, indexOf(files));
    while (machine.appliedIndex < log.length) {
      const from = machine.appliedIndex;
      const slice = log.slice(from, from + random.between(1, 8));
      machine.apply(slice.map(({ entry }) => entry));
      if (random.chance(0.1)) state.sync();
      if (!random.chance(0.1)) continue;
      if (random.chance(0.5)) state.crash(random);
      if (random.chance(0.5)) files = new FlatEngine();
      machine = machineOf(state, indexOf(files));
      const model = new Model();
      for (const { entry, points, ids } of log.slice(0, machine.appliedIndex)) model.apply(entry, points, ids);
      if (indexOf(files).appliedIndex <= machine.appliedIndex) expectEqual(machine, model, random);
    }
    const model = new Model();
    for (const { entry, points, ids } of log) model.apply(entry, points, ids);
    expectEqual(machine, model, random);
    expect(machine.appliedTerm).toBe(1);
  });

  it('comes to the same digest whatever the batches were', () => {
    const log = randomLog(new Prng(77), 120).map(({ entry }) => entry);
    const digests = [1, 7, 120].map((size) => {
      const machine = machineOf(new MemoryStore());
      for (let at = 0; at < log.length; at += size) machine.apply(log.slice(at, at + size));
      return machine.digest();
    });
    expect(new Set(digests).size).toBe(1);
    const shorter = machineOf(new MemoryStore());
    shorter.apply(log.slice(0, 119));
    shorter.apply([entryOf(120, commandOf(upsert(pointOf('other', new Prng(1)))))]);
    expect(digests).not.toContain(shorter.digest());
  });
});

describe('commands that cannot be applied', () => {
  const random = new Prng(5);
  const [lower] = tile(2);
  const idIn = (wanted: boolean): string => {
    for (let n = 0; ; n++) {
      const hash = testKeyHash(`k${n}`);
      if (hash <= (lower?.end ?? 0n) === wanted) return `k${n}`;
    }
  };
  const good = pointOf(idIn(true), random);
  const cases: readonly [string, Uint8Array, string][] = [
    ['malformed', Uint8Array.of(1, 255), 'INVALID_ARGUMENT'],
    ['of another epoch', commandOf(upsert(good), { epoch: { version: 2, confVersion: 1 } }), 'STALE_SHARD'],
    ['with a wrong dimension', commandOf(upsert({ ...good, vector: new Uint8Array(12) })), 'INVALID_ARGUMENT'],
    ['with a wrong number of bytes', commandOf(upsert({ ...good, vector: new Uint8Array(15) })), 'INVALID_ARGUMENT'],
    ['with NaN', commandOf(upsert({ ...good, vector: new Uint8Array(16).fill(0xff) })), 'INVALID_ARGUMENT'],
    ['with an empty id', commandOf(upsert({ ...good, id: '' })), 'INVALID_ARGUMENT'],
    ['with a long id', commandOf(remove('x'.repeat(513))), 'INVALID_ARGUMENT'],
    [
      'with a large payload',
      commandOf(upsert({ ...good, payload: new Uint8Array(1024 * 1024 + 1) })),
      'INVALID_ARGUMENT',
    ],
    ['for another shard', commandOf(upsert({ ...good, id: idIn(false) })), 'STALE_SHARD'],
  ];

  it.each(cases)('%s: change nothing but the applied index', (_, data, code) => {
    if (lower === undefined) throw new Error('unreachable: two ranges were asked for');
    const id = idIn(true);
    const machine = machineOf(new MemoryStore(), undefined, { range: lower });
    machine.apply([entryOf(1, commandOf(upsert({ ...good, id })))]);
    const before = [machine.digest(), machine.points, machine.logTimeMs, machine.recount()];
    machine.apply([entryOf(2, data)]);
    expect(machine.outcomeOf(logIndex(2))).toMatchObject({ ok: false, code });
    expect([machine.digest(), machine.points, machine.logTimeMs, machine.recount()]).toEqual(before);
    expect(machine.appliedIndex).toBe(2);
  });

  it('apply nothing of a batch with one bad point', () => {
    const machine = machineOf(new MemoryStore());
    machine.apply([entryOf(1, commandOf(upsert(good, { ...good, id: 'bad', vector: new Uint8Array(4) })))]);
    expect(machine.points).toBe(0);
  });
});

describe('outcomes', () => {
  it('count what an upsert wrote and what a delete found', () => {
    const random = new Prng(6);
    const machine = machineOf(new MemoryStore());
    machine.apply([
      entryOf(1, commandOf(upsert(pointOf('a', random), pointOf('b', random)))),
      entryOf(2, commandOf(remove('a', 'a', 'never'))),
      entryOf(3, new Uint8Array(0), 'noop', 2),
    ]);
    expect(machine.outcomeOf(logIndex(1))).toMatchObject({ ok: true, affected: 2 });
    expect(machine.outcomeOf(logIndex(2))).toMatchObject({ ok: true, affected: 1 });
    expect(machine.outcomeOf(logIndex(3))).toBeUndefined();
    expect([machine.appliedIndex, machine.appliedTerm]).toEqual([logIndex(3), term(2)]);
    expect(machine.get(['a', 'b', 'c']).map((point) => point.id)).toEqual(['b']);
  });

  it('read earlier records a few at a time, and hold on to none of their bytes', () => {
    const random = new Prng(21);
    const state = new LendingStore();
    const machine = machineOf(state);
    const ids = Array.from({ length: 1_000 }, (_, at) => `p${at}`);
    machine.apply([entryOf(1, commandOf(upsert(...ids.map((id) => pointOf(id, random)))))]);
    machine.apply([
      entryOf(2, commandOf(remove(...ids.slice(0, 900)))),
      entryOf(3, commandOf(upsert(...ids.slice(850).map((id) => pointOf(id, random))))),
      entryOf(4, commandOf(remove(...ids.slice(800, 860)))),
    ]);
    expect([2, 3, 4].map((index) => machine.outcomeOf(logIndex(index)))).toMatchObject(
      [900, 150, 10].map((affected) => ({ ok: true, affected })),
    );
    expect(state.most).toBe(readKeysMax);
    const recount = machine.recount();
    expect([machine.points, machine.digest()]).toEqual([140, digestText(recount.digest)]);
    expect(recount).toMatchObject({ points: 140, records: 1_000 });
  });

  it('refuses a gap in the log', () => {
    const machine = machineOf(new MemoryStore());
    expect(() => machine.apply([entryOf(2, commandOf(remove('a')))])).toThrow('gap');
  });
});

describe('log time', () => {
  it('never goes back and never leaps after its first step', () => {
    const machine = machineOf(new MemoryStore());
    const times = [5_000, 4_000, 6_000, Number.NaN, 1e15].map((timeMs, at) => {
      machine.apply([entryOf(at + 1, commandOf(remove('a'), { timeMs }))]);
      return machine.logTimeMs;
    });
    expect(times).toEqual([5_000, 5_000, 6_000, 6_000, 3_606_000]);
  });
});

describe('reading', () => {
  it('scans live points in key order, page by page', () => {
    const random = new Prng(9);
    const machine = machineOf(new MemoryStore());
    const ids = Array.from({ length: 60 }, (_, n) => `id-${n}`);
    machine.apply([entryOf(1, commandOf(upsert(...ids.map((id) => pointOf(id, random)))))]);
    machine.apply([entryOf(2, commandOf(remove(...ids.filter((_, n) => n % 2 === 0))))]);
    const seen: string[] = [];
    for (let after = '', done = false; !done; after = seen[seen.length - 1] ?? '') {
      const page = machine.scan(after, 7);
      seen.push(...page.points.map((point) => point.id));
      done = page.done;
    }
    const live = ids.filter((_, n) => n % 2 === 1);
    expect(seen).toEqual([...live].sort((a, b) => (testKeyHash(a) < testKeyHash(b) ? -1 : 1)));
  });

  it('never answers from a corrupt record', () => {
    const random = new Prng(10);
    const state = new MemoryStore();
    const machine = machineOf(state);
    machine.apply([entryOf(1, commandOf(upsert(pointOf('a', random), pointOf('b', random))))]);
    state.flipBit(keyOf(spaceOf(replicaId(11), 0), { id: 'a', hash: testKeyHash('a') }), random);
    const corrupt = expect.objectContaining({ code: 'CORRUPT' });
    expect(() => machine.get(['a'])).toThrow(corrupt);
    expect(() => machine.scan('', 10)).toThrow(corrupt);
    machine.forgetRecent();
    expect(() => machine.apply([entryOf(2, commandOf(remove('a')))])).toThrow(corrupt);
    const request = { vector: vectorOf(random), k: 2, ef: 0, exact: true, includeVector: false, includePayload: true };
    expect(() => machine.search(request)).toThrow(corrupt);
    expect(machine.get(['b']).length).toBe(1);
  });
});

describe('the index', () => {
  it('is brought level in slices after it was lost, while writes go on', () => {
    const random = new Prng(11);
    const state = new MemoryStore();
    const first = machineOf(state);
    const points = Array.from({ length: 700 }, (_, n) => pointOf(`p${n}`, random));
    first.apply([entryOf(1, commandOf(upsert(...points)))]);
    const index = indexOf(new FlatEngine());
    const machine = machineOf(state, index);
    expect(machine.indexReady).toBe(false);
    expect(machine.catchUpIndex()).toBe(false);
    const moved = { ...pointOf('p3', random), vector: vectorOf(random) };
    machine.apply([entryOf(2, commandOf(upsert(moved))), entryOf(3, commandOf(remove('p699')))]);
    settleIndex(machine);
    expect([index.size, index.versionOf('p3'), index.versionOf('p699'), index.appliedIndex]).toEqual([699, 2, 3, 3]);
    machine.apply([entryOf(4, commandOf(remove('p0')))]);
    expect([index.size, index.appliedIndex]).toEqual([698, 4]);
  });

  it('is attached to as it is when it misses nothing', () => {
    const state = new MemoryStore();
    const engine = new FlatEngine();
    machineOf(state, indexOf(engine)).apply([entryOf(1, commandOf(upsert(pointOf('a', new Prng(1)))))]);
    expect(machineOf(state, indexOf(engine)).indexReady).toBe(true);
  });
});

describe('an answer larger than a link carries', () => {
  /** Counts what is read at a time. */
  class CountingStore extends MemoryStore {
    most = 0;

    override getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
      this.most = Math.max(this.most, keys.length);
      return super.getMany(keys);
    }
  }

  const errorOf = (call: () => unknown): string => {
    try {
      call();
      return 'none';
    } catch (error) {
      return error instanceof VectronError ? `${error.code} ${error.message}` : String(error);
    }
  };

  it('is refused naming the field, before all of it is in memory', () => {
    const random = new Prng(13);
    const state = new CountingStore();
    const ids = Array.from({ length: 40 }, () => 'large');
    const real = indexOf(new FlatEngine());
    const scores = new Float32Array(ids.length);
    const index: VectorIndex = Object.create(real, {
      exact: { value: () => ({ ids, scores, strategy: 'scan', distances: ids.length }) },
    });
    const machine = machineOf(state, index);
    const payload = new Uint8Array(1024 * 1024);
    machine.apply([entryOf(1, commandOf(upsert({ ...pointOf('large', random), payload })))]);
    settleIndex(machine);
    const query = { vector: vectorOf(random), k: ids.length, ef: 0, exact: true, includeVector: false };
    expect(errorOf(() => machine.get(ids))).toMatch(/^RESOURCE_EXHAUSTED ids: /);
    expect(errorOf(() => machine.search({ ...query, includePayload: true }))).toMatch(/^RESOURCE_EXHAUSTED top_k: /);
    expect(state.most).toBe(32);
    expect(machine.search({ ...query, includePayload: false }).hits.length).toBe(ids.length);
    expect(machine.get(ids.slice(0, 3)).length).toBe(3);
  });
});

describe('destroying a replica', () => {
  it('leaves nothing of it and everything of its neighbour', () => {
    const random = new Prng(12);
    const state = new MemoryStore();
    const engine = new FlatEngine();
    const neighbour = machineOf(state, indexOf(engine, 'neighbour'), { replica: replicaId(12) });
    neighbour.apply([entryOf(1, commandOf(upsert(pointOf('a', random))))]);
    const before = state.size;
    machineOf(state, indexOf(engine)).apply([
      entryOf(1, commandOf(upsert(pointOf('a', random), pointOf('b', random)))),
    ]);
    destroyReplicaState(state, replicaId(11));
    clearQuarantine(state, replicaId(11));
    expect(state.size).toBe(before);
    expect(machineOf(state, indexOf(new FlatEngine())).appliedIndex).toBe(0);
    expect(neighbour.recount().points).toBe(1);
    expect([neighbour.epoch, neighbour.configuration]).toEqual([epoch, configuration]);
  });
});
