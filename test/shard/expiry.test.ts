import { describe, expect, test } from '@jest/globals';
import { replicaId } from '../../src/base/ids';
import { ttlMsMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';
import { encode } from '../../src/protocol/codec';
import { type Condition, type Life, shardCommandCodec } from '../../src/protocol/commands';
import { flagNumber } from '../../src/protocol/flags';
import type { Entry } from '../../src/protocol/raft-messages';
import { destroyReplicaState } from '../../src/shard/destroy';
import { allEnds } from '../../src/shard/point-keys';
import { logTimeStepMsMax } from '../../src/shard/shard-apply';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { MemoryStore } from '../../src/storage/memory-store';
import { entryOf, epoch, machineOf, pointOf, remove, settleIndex, upsert, vectorOf, writeOf } from './shard-helpers';

const random = new Prng(7);
const level = flagNumber('expiry');
const start = 1_000_000_000;
const a = pointOf('a', random);
const b = pointOf('b', random);
const lasting = (ttlMs: number): Life => ({ kind: 'given', ttlMs });
const put = (life: Life, ...points: (typeof a)[]) => ({
  kind: 'put' as const,
  points: points.map((point) => ({ ...point, life })),
});
const expire = (timeMs: number, ...ids: string[]): Uint8Array =>
  encode(shardCommandCodec, { kind: 'expire', epoch, timeMs, ids });
const lives = (revision: number, ttlMs: number): Uint8Array =>
  encode(shardCommandCodec, { kind: 'mortalSchema', epoch, schema: { revision, indexes: [], ttlMs } });
const machine = (state = new MemoryStore(), at = level): ShardMachine => {
  const one = machineOf(state, undefined, { level: at });
  settleIndex(one);
  return one;
};
const logOf = (...commands: Uint8Array[]): Entry[] => commands.map((data, at) => entryOf(at + 1, data));
const search = (one: ShardMachine): string[] =>
  one
    .search({ vector: vectorOf(random), k: 10, ef: 0, exact: false, includeVector: false, includePayload: false })
    .hits.map(({ id }) => id)
    .sort();
const shown = (one: ShardMachine) => ({
  get: one.get(['a', 'b']).map(({ id }) => id),
  search: search(one),
  scan: one.scan('', 10).points.map(({ id }) => id),
  points: one.points,
});

describe('a point that has ended', () => {
  test('is gone for every read as soon as log time has passed its end, before anything purges it', () => {
    const one = machine();
    one.apply(logOf(writeOf(put(lasting(50), a), {}, start), writeOf(upsert(b), {}, start + 49)));
    expect(shown(one)).toMatchObject({ get: ['a', 'b'], search: ['a', 'b'], points: 2 });
    expect(one.expiry.nextMs).toBe(start + 50);
    one.apply([entryOf(3, writeOf(remove('none'), {}, start + 50))]);
    const rest = { get: ['b'], search: ['b'], scan: ['b'], points: 1 };
    expect([shown(one), [...one.expiry.ended]]).toEqual([rest, ['a']]);
    one.apply([entryOf(4, expire(start + 60, 'a', 'b', 'none'))]);
    expect([shown(one), one.expiry.ended.size, one.expiry.nextMs]).toEqual([rest, 0, null]);
    expect(one.outcomeOf(entryOf(4, a.vector).index)).toMatchObject({ ok: true, affected: 1 });
  });

  test('is absent to conditions, deletions and those who ask for what was there', () => {
    const one = machine();
    const conditions = (kind: 'absent' | 'present'): Condition[] => [{ kind }];
    one.apply(logOf(writeOf(put(lasting(5), a, b), {}, start), writeOf(remove('b'), {}, start + 5)));
    expect(one.outcomeOf(entryOf(2, a.vector).index)).toMatchObject({ affected: 0 });
    one.apply([
      entryOf(3, writeOf(upsert(a), { conditions: conditions('present') }, start + 6)),
      entryOf(4, writeOf(upsert(a), { conditions: conditions('absent'), returnPrevious: true }, start + 6)),
    ]);
    expect(one.outcomeOf(entryOf(3, a.vector).index)).toMatchObject({ ok: false, code: 'FAILED_PRECONDITION' });
    expect(one.outcomeOf(entryOf(4, a.vector).index)).toMatchObject({ ok: true, previous: [] });
    one.apply([entryOf(5, expire(start + 10_000, 'a', 'b'))]);
    expect(shown(one)).toMatchObject({ get: ['a'], search: ['a'], points: 1 });
  });

  test('was given its time by the last write; one that keeps it leaves its end alone', () => {
    const one = machine();
    one.apply(
      logOf(
        writeOf(put(lasting(10), a, b), {}, start),
        writeOf(put({ kind: 'kept' }, a), {}, start + 4),
        writeOf(put(lasting(10), b), {}, start + 4),
        expire(start + 10, 'a', 'b'),
      ),
    );
    expect(shown(one)).toMatchObject({ get: ['b'], search: ['b'] });
    one.apply([entryOf(5, writeOf(put({ kind: 'default' }, b), {}, start + 11)), entryOf(6, expire(start + 99, 'b'))]);
    expect([shown(one).get, one.expiry.nextMs]).toEqual([['b'], null]);
  });
});

describe('a collection whose points end', () => {
  const since = flagNumber('collectionTtl');
  const ends = (one: ShardMachine) => ['a', 'b', 'c'].map((id) => one.expiry.due(start * 2, 9).indexOf(id));

  test('gives its end to writes that name none, from the entry on that says so', () => {
    const one = machine(new MemoryStore(), since);
    const c = pointOf('c', random);
    one.apply(
      logOf(
        writeOf(upsert(a), {}, start),
        lives(5, 100),
        writeOf(upsert(b), {}, start + 10.5),
        writeOf(put({ kind: 'default' }, c), {}, start + 20),
      ),
    );
    expect([one.schema.ttlMs, one.expiry.nextMs, ends(one)]).toEqual([100, start + 111, [-1, 0, 1]]);
    one.apply([entryOf(5, expire(start + 111, 'a', 'b', 'c'))]);
    expect(one.get(['a', 'b', 'c']).map(({ id }) => id)).toEqual(['a', 'c']);
    one.apply([entryOf(6, expire(start + 120, 'a', 'b', 'c'))]);
    expect(one.get(['a', 'b', 'c']).map(({ id }) => id)).toEqual(['a']);
  });

  test('leaves a write its own life, and a point that is kept its end', () => {
    const one = machine(new MemoryStore(), since);
    one.apply(
      logOf(
        writeOf(put(lasting(7), a), {}, start),
        lives(5, 100),
        writeOf(put({ kind: 'kept' }, a, b), {}, start + 1),
        writeOf(put(lasting(50), b), {}, start + 2),
      ),
    );
    expect(one.expiry.nextMs).toBe(start + 7);
    // One that has ended, or never was, has no end to keep.
    one.apply([entryOf(5, writeOf(put({ kind: 'kept' }, a), {}, start + 8)), entryOf(6, expire(start + 52, 'a', 'b'))]);
    expect([shown(one).get, one.expiry.nextMs]).toEqual([['a'], start + 108]);
  });

  test('changes it for what is written later, and an older change is passed over', () => {
    const one = machine(new MemoryStore(), since);
    one.apply(
      logOf(lives(5, 100), writeOf(upsert(a), {}, start), lives(4, 1), lives(6, 0), writeOf(upsert(b), {}, start)),
    );
    expect([one.schema.ttlMs, ends(one)]).toEqual([0, [0, -1, -1]]);
    one.apply([entryOf(6, writeOf(upsert(a), {}, start))]);
    expect(one.expiry.nextMs).toBeNull();
  });

  test('has it in a restart and in a snapshot', () => {
    const state = new MemoryStore();
    machine(state, since).apply(logOf(lives(5, 100)));
    const one = machine(state, since);
    const copy = machine(new MemoryStore(), since);
    const source = one.openSnapshot();
    const sink = copy.openRestore({ index: source.index, term: source.term, configuration: copy.configuration }, 1);
    for (let n = 0, chunk = source.chunk(n); chunk !== null; chunk = source.chunk(++n)) sink.accept(chunk);
    sink.finish();
    for (const each of [one, copy]) {
      settleIndex(each);
      each.apply([entryOf(2, writeOf(upsert(a), {}, start))]);
      expect(each.expiry.nextMs).toBe(start + 100);
    }
    expect(copy.digest()).toBe(one.digest());
  });

  test('before the flag is on, and beyond a hundred years, it is refused', () => {
    const before = machine(new MemoryStore(), since - 1);
    before.apply(logOf(lives(5, 100), writeOf(upsert(a), {}, start)));
    const at = machine(new MemoryStore(), since);
    at.apply(logOf(lives(5, ttlMsMax + 1), writeOf(upsert(a), {}, start)));
    const outcomes = [before, at].map((one) => one.outcomeOf(entryOf(1, a.vector).index));
    expect(outcomes).toMatchObject([
      { ok: false, code: 'FAILED_PRECONDITION' },
      { ok: false, code: 'INVALID_ARGUMENT' },
    ]);
    for (const one of [before, at]) expect([one.points, one.expiry.nextMs, one.schema.revision]).toEqual([1, null, 0]);
  });
});

describe('replicas', () => {
  const life = (): Life => random.pick<Life>([lasting(random.between(1, 400)), { kind: 'kept' }, { kind: 'default' }]);
  const ids = Array.from({ length: 12 }, (_, i) => `p${i}`);
  const entries = Array.from({ length: 300 }, (_, at) => {
    const timeMs = start + at * 10 + random.between(-2_000, 50);
    const some = ids.filter(() => random.chance(0.3));
    const points = some.map((id) => pointOf(id, random));
    if (random.chance(0.2)) return entryOf(at + 1, expire(timeMs, ...some));
    return entryOf(at + 1, writeOf(random.chance(0.1) ? remove(...some) : put(life(), ...points), {}, timeMs));
  });

  test('are equal however the log is cut, after a restart in between, and after a snapshot', () => {
    const whole = machine();
    const times = entries.map((entry) => {
      whole.apply([entry]);
      return whole.logTimeMs;
    });
    expect(times).toEqual([...times].sort((x, y) => x - y));
    for (const cut of [7, 64, 300]) {
      const state = new MemoryStore();
      let other = machine(state);
      for (let at = 0; at < entries.length; at += cut) {
        if (random.chance(0.3)) other = machine(state);
        other.apply(entries.slice(at, at + cut));
      }
      expect([other.digest(), other.points, [...other.expiry.ended].sort()]).toEqual([
        ...[whole.digest(), whole.points],
        [...whole.expiry.ended].sort(),
      ]);
      expect([search(other), other.recount().points]).toEqual([search(whole), whole.points]);
    }
    const source = whole.openSnapshot();
    const copy = machine();
    const { configuration } = copy;
    const sink = copy.openRestore({ index: source.index, term: source.term, configuration }, 1);
    for (let n = 0, chunk = source.chunk(n); chunk !== null; chunk = source.chunk(++n)) sink.accept(chunk);
    sink.finish();
    settleIndex(copy);
    expect([shown(copy), copy.digest()]).toEqual([shown(whole), whole.digest()]);
    expect(copy.expiry.due(start * 2, 99)).toEqual(whole.expiry.due(start * 2, 99));
  });

  test('leave nothing behind when they are destroyed', () => {
    const state = new MemoryStore();
    machine(state).apply(logOf(writeOf(put(lasting(10), a), {}, start)));
    const rows = (): number => state.range({ ...allEnds(replicaId(11)), countMax: 9 }).length;
    expect(rows()).toBe(1);
    destroyReplicaState(state, replicaId(11));
    expect(rows()).toBe(0);
  });
});

describe('log time', () => {
  test('never goes back, and a clock that leaps moves it by a step', () => {
    const one = machine();
    const stamped = (index: number, timeMs: number): number => {
      one.apply([entryOf(index, expire(timeMs))]);
      return one.logTimeMs;
    };
    expect(stamped(1, start)).toBe(start);
    expect(stamped(2, start - 5_000)).toBe(start);
    expect(stamped(3, start * 1_000)).toBe(start + logTimeStepMsMax);
    expect(stamped(4, start + 1)).toBe(start + logTimeStepMsMax);
    expect(stamped(5, Number.NaN)).toBe(start + logTimeStepMsMax);
  });

  test('is hours behind after a quiet night, and yet the first write with a key is taken', () => {
    const wake = start + 9 * logTimeStepMsMax;
    const outcomeAt = (at: number, issuedMs: number) => {
      const one = machine(new MemoryStore(), at);
      const first = writeOf(upsert(a), { key: 'evening', issuedMs: start, windowMs: 1_000 }, start);
      one.apply(logOf(first, writeOf(upsert(b), { key: 'morning', issuedMs, windowMs: 1_000 }, wake)));
      expect(one.logTimeMs).toBe(start + logTimeStepMsMax);
      return one.outcomeOf(entryOf(2, a.vector).index);
    };
    const since = flagNumber('issueTimes');
    expect(outcomeAt(since, wake)).toMatchObject({ ok: true, affected: 1 });
    expect(outcomeAt(since - 1, wake)).toMatchObject({ ok: false, field: 'issued_ms' });
    // Further ahead than the leader's own clock allows is still refused: such a key would be kept for as long.
    expect(outcomeAt(since, wake + 2 * logTimeStepMsMax)).toMatchObject({ ok: false, field: 'issued_ms' });
  });

  test('before the flag is on, points cannot end', () => {
    const one = machine(new MemoryStore(), level - 1);
    one.apply(logOf(writeOf(put(lasting(1), a), {}, start), expire(start, 'a')));
    for (const index of [1, 2]) {
      expect(one.outcomeOf(entryOf(index, a.vector).index)).toMatchObject({ ok: false, code: 'FAILED_PRECONDITION' });
    }
    expect(one.points).toBe(0);
  });

  test('a life that is none is refused', () => {
    const one = machine();
    one.apply(logOf(writeOf(put(lasting(0), a), {}, start), writeOf(put(lasting(2 ** 50), a), {}, start)));
    for (const index of [1, 2]) {
      expect(one.outcomeOf(entryOf(index, a.vector).index)).toMatchObject({ ok: false, code: 'INVALID_ARGUMENT' });
    }
  });
});
