import { describe, expect, it } from '@jest/globals';
import { logIndex } from '../../src/base/ids';
import { idempotencyWindowMsMax, pointKeysMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';
import type { Condition, ShardOperation, WriteOptions } from '../../src/protocol/commands';
import { flagNumber } from '../../src/protocol/flags';
import { parseSessionKey, sessionKeyText } from '../../src/protocol/session-key';
import { digestText } from '../../src/shard/record-digest';
import type { Outcome } from '../../src/shard/shard-apply';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { MemoryStore } from '../../src/storage/memory-store';
import { FlatEngine } from '../../src/vector/flat-index';
import { ModelShard } from './model-shard';
import {
  commandOf,
  configuration,
  entryOf,
  indexOf,
  machineOf,
  pointOf,
  remove,
  settleIndex,
  upsert,
  vectorOf,
  writeOf,
} from './shard-helpers';

const now = 1_000_000_000_000;
const windowMs = 10_000;
const keyed = (key: string, issuedMs = now, fields: Partial<WriteOptions> = {}): Partial<WriteOptions> => ({
  key,
  issuedMs,
  windowMs,
  ...fields,
});

function run(
  machine: ShardMachine,
  operation: ShardOperation,
  options: Partial<WriteOptions>,
  timeMs = now,
): Outcome | undefined {
  const index = machine.appliedIndex + 1;
  machine.apply([entryOf(index, writeOf(operation, options, timeMs))]);
  return machine.outcomeOf(logIndex(index));
}

const random = new Prng(5);
const a = pointOf('a', random);
const b = pointOf('b', random);
const other = { ...a, vector: vectorOf(random) };

describe('a write that is repeated with its key', () => {
  it('has one effect and gets the first answer, also after other writes of the point', () => {
    const machine = machineOf(new MemoryStore());
    const first = run(machine, upsert(a, b), keyed('k', now, { returnPrevious: true }));
    expect(first).toMatchObject({ ok: true, affected: 2, versions: [1, 1], index: 1, replayed: false });
    run(machine, upsert(other), keyed('later'));
    const again = run(machine, upsert(a, b), keyed('k'));
    expect(again).toMatchObject({ ok: true, affected: 2, versions: [1, 1], index: 1, replayed: true });
    expect(machine.get(['a'])[0]?.vector).toEqual(other.vector);
    expect(machine.get(['a', 'b']).map(({ version }) => version)).toEqual([2, 1]);
  });

  it('that found nothing to delete never deletes what came later', () => {
    const machine = machineOf(new MemoryStore());
    expect(run(machine, remove('a'), keyed('k'))).toMatchObject({ ok: true, affected: 0 });
    run(machine, upsert(a), keyed('up'));
    expect(run(machine, remove('a'), keyed('k'))).toMatchObject({ ok: true, affected: 0, replayed: true });
    expect(machine.points).toBe(1);
  });

  it('whose condition failed fails for ever, and leaves the point’s version as it was', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('make'));
    const conditions: Condition[] = [{ kind: 'none' }, { kind: 'absent' }];
    const insert = () => run(machine, upsert(b, a), keyed('k', now, { conditions }));
    const refused = { ok: false, code: 'FAILED_PRECONDITION', conflict: { position: 1, version: 1 } };
    expect(insert()).toMatchObject(refused);
    expect(machine.get(['a', 'b']).map(({ id, version }) => [id, version])).toEqual([['a', 1]]);
    run(machine, remove('a'), keyed('gone'));
    expect(insert()).toMatchObject(refused);
    expect(machine.points).toBe(0);
  });

  it('after its window is refused, and was answered at the window’s last moment', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('k'));
    expect(run(machine, upsert(a), keyed('k'), now + windowMs)).toMatchObject({ ok: true, replayed: true });
    const late = run(machine, upsert(a), keyed('k'), now + windowMs + 1);
    expect(late).toMatchObject({ ok: false, code: 'IDEMPOTENCY_EXPIRED' });
    expect(machine.get(['a'])[0]?.version).toBe(1);
    expect(run(machine, upsert(other), keyed('new', now + windowMs + 1), now + windowMs + 1)).toMatchObject({
      ok: true,
    });
  });

  it('from a clock that is far ahead is refused', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('k'));
    const early = run(machine, upsert(a), keyed('ahead', now + idempotencyWindowMsMax + 1));
    expect(early).toMatchObject({ ok: false, code: 'INVALID_ARGUMENT', field: 'issued_ms' });
  });

  it('with other content is refused and changes nothing', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('k'));
    const before = machine.digest();
    const misuses: [ShardOperation, Partial<WriteOptions>][] = [
      [upsert(other), {}],
      [upsert({ ...a, payload: new Uint8Array(3) }), {}],
      [remove('a'), {}],
      [upsert(a), { conditions: [{ kind: 'absent' }] }],
      [upsert(b, other), {}],
    ];
    for (const [operation, fields] of misuses) {
      const refused = run(machine, operation, keyed('k', now, fields));
      expect(refused).toMatchObject({ ok: false, code: 'INVALID_ARGUMENT', field: 'idempotency_key' });
    }
    expect(machine.digest()).toBe(before);
  });

  it('in other parts than before writes only what was not written', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('k'));
    run(machine, upsert(other), keyed('later'));
    expect(run(machine, upsert(a, b), keyed('k'))).toMatchObject({ ok: true, affected: 2, versions: [1, 3] });
    expect(machine.get(['a'])[0]?.vector).toEqual(other.vector);
    const c = pointOf('c', random);
    run(machine, upsert(b), keyed('bad', now, { conditions: [{ kind: 'absent' }] }));
    expect(
      run(machine, upsert(c, b), keyed('bad', now, { conditions: [{ kind: 'none' }, { kind: 'absent' }] })),
    ).toMatchObject({ ok: false, code: 'FAILED_PRECONDITION', conflict: { position: 1, version: 3 } });
    expect(machine.get(['c'])).toEqual([]);
  });
});

describe('a point with as many keys as it may have', () => {
  it('refuses new keys, still knows every old one, and takes new ones when the old ones have died', () => {
    const machine = machineOf(new MemoryStore());
    for (let n = 0; n < pointKeysMax; n++) run(machine, upsert(a), keyed(`k${n}`));
    const full = run(machine, upsert(b, a), keyed('one more'));
    expect(full).toMatchObject({ ok: false, code: 'RESOURCE_EXHAUSTED' });
    expect(machine.get(['b'])).toEqual([]);
    for (const n of [0, 1, pointKeysMax - 1]) {
      expect(run(machine, upsert(a), keyed(`k${n}`))).toMatchObject({ replayed: true, versions: [n + 1] });
    }
    expect(run(machine, upsert(a), {})).toMatchObject({ ok: true });
    const later = now + windowMs + 1;
    expect(run(machine, upsert(a), keyed('fresh', later), later)).toMatchObject({ ok: true, replayed: false });
  });
});

const drawnKey = (number: number, settled: number, session = 'gateway/1'): string =>
  sessionKeyText({ session, number, settled });

const sessionMachine = (store = new MemoryStore()): ShardMachine =>
  machineOf(store, undefined, { level: flagNumber('sessionKeys') });

describe('a key of a session', () => {
  it('says its number and what is settled; anything else is a key like any other', () => {
    expect(drawnKey(46_655, 36)).toBe('~gateway/1/zzz/10');
    expect(parseSessionKey('~gateway/1/zzz/10')).toEqual({ session: 'gateway/1', number: 46_655, settled: 36 });
    for (const key of ['~', '~a/1', '~a/1/2', '~a/0/0', '~a/2/0', '~/1/1', 'a/1/1', '~a/1/1 ', '~a/1/A']) {
      expect(parseSessionKey(key)).toBeNull();
    }
  });

  it('lets a point be written more often than it could keep keys, in a record that does not grow', () => {
    const store = new MemoryStore();
    const machine = sessionMachine(store);
    const lengths = new Set<number>();
    for (let n = 1; n <= pointKeysMax + 200; n++) {
      expect(run(machine, upsert(a), keyed(drawnKey(n, Math.max(1, n - 3))))).toMatchObject({ ok: true });
      if (n > 200) lengths.add(recordBytes(store));
    }
    expect(Math.max(...lengths)).toBeLessThan(Math.min(...lengths) + 16);
  });

  it('keeps what is not settled, and refuses a late copy of what is', () => {
    const machine = sessionMachine();
    run(machine, upsert(a), keyed(drawnKey(1, 1)));
    run(machine, upsert(a), keyed(drawnKey(2, 1)));
    run(machine, upsert(other), keyed(drawnKey(3, 2)));
    expect(run(machine, upsert(a), keyed(drawnKey(2, 1)))).toMatchObject({ replayed: true, versions: [2] });
    const late = run(machine, upsert(a, b), keyed(drawnKey(1, 1)));
    expect(late).toMatchObject({ ok: false, code: 'IDEMPOTENCY_EXPIRED' });
    expect(run(machine, upsert(a), keyed(drawnKey(1, 1, 'gateway/2')))).toMatchObject({ ok: true, replayed: false });
    expect(machine.get(['a', 'b']).map(({ id, version }) => [id, version])).toEqual([['a', 6]]);
  });

  it('refuses a late copy for as long as that one’s own window, however short the newer one’s is', () => {
    const machine = sessionMachine();
    run(machine, upsert(a), keyed(drawnKey(1, 1)));
    run(machine, upsert(other), keyed(drawnKey(2, 2), now, { windowMs: 1 }));
    for (const timeMs of [now + 2, now + windowMs, now + windowMs + 1]) {
      const late = run(machine, upsert(a), keyed(drawnKey(1, 1)), timeMs);
      expect(late).toMatchObject({ ok: false, code: 'IDEMPOTENCY_EXPIRED' });
    }
    expect(machine.get(['a'])[0]?.vector).toEqual(other.vector);
  });

  it('and keys without one do not touch each other', () => {
    const machine = sessionMachine();
    run(machine, upsert(a), keyed('k'));
    run(machine, upsert(a), keyed(drawnKey(1, 1)));
    run(machine, upsert(a), keyed(drawnKey(9, 9)));
    expect(run(machine, upsert(a), keyed('k'))).toMatchObject({ replayed: true, versions: [1] });
    expect(run(machine, upsert(a), keyed('gateway/1'))).toMatchObject({ ok: true, replayed: false });
  });
});

/** Of the only point. */
const recordBytes = (store: MemoryStore): number =>
  Math.max(
    ...store
      .range({ start: new Uint8Array(1), end: new Uint8Array(40).fill(255), countMax: 10 })
      .map(({ value }) => value.length),
  );

describe('conditions', () => {
  it('of two racing writers of one version, exactly one wins', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('make'));
    const conditions: Condition[] = [{ kind: 'version', version: 1 }];
    const race = ['x', 'y'].map((key) => run(machine, upsert(other), keyed(key, now, { conditions })));
    expect(race.map((outcome) => outcome?.ok)).toEqual([true, false]);
    expect(race[1]).toMatchObject({ conflict: { position: 0, version: 2 } });
  });

  it('hold for inserts, updates and deletes as their names say', () => {
    const machine = machineOf(new MemoryStore());
    const ok = (operation: ShardOperation, condition: Condition): boolean | undefined =>
      run(machine, operation, { conditions: [condition] })?.ok;
    expect(ok(upsert(a), { kind: 'present' })).toBe(false);
    expect(ok(upsert(a), { kind: 'version', version: 0 })).toBe(true);
    expect(ok(upsert(a), { kind: 'absent' })).toBe(false);
    expect(ok(upsert(a), { kind: 'present' })).toBe(true);
    expect(ok(remove('a'), { kind: 'version', version: 1 })).toBe(false);
    expect(ok(remove('a'), { kind: 'version', version: 4 })).toBe(true);
    expect(ok(upsert(a), { kind: 'absent' })).toBe(true);
  });

  it('the points that were replaced come back on request', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('make'));
    const outcome = run(machine, upsert(other, b), keyed('k', now, { returnPrevious: true }));
    expect(outcome).toMatchObject({ previous: [{ id: 'a', version: 1, vector: a.vector, payload: a.payload }] });
    expect(run(machine, remove('b'), { returnPrevious: true })).toMatchObject({ previous: [{ id: 'b', version: 2 }] });
  });
});

describe('commands of version 1', () => {
  it('apply as they did, and leave the outcomes of keys where they are', () => {
    const machine = machineOf(new MemoryStore());
    run(machine, upsert(a), keyed('k'));
    machine.apply([entryOf(2, commandOf(upsert(other), { timeMs: now }))]);
    machine.apply([entryOf(3, commandOf(remove('a', 'nobody'), { timeMs: now }))]);
    expect(machine.outcomeOf(logIndex(3))).toMatchObject({ ok: true, affected: 1 });
    expect(machine.recount().records).toBe(1);
    expect(run(machine, upsert(a), keyed('k'))).toMatchObject({ replayed: true });
    expect(machine.points).toBe(0);
  });
});

/** One random history against a model that keeps every outcome in a map. */
function compare(seed: number): void {
  const draw = new Prng(seed);
  const machine = sessionMachine();
  const model = new ModelShard();
  const issued: { operation: ShardOperation; options: Partial<WriteOptions> }[] = [];
  const session = new Session(draw);
  let timeMs = now;
  for (let n = 0; n < 250; n++) {
    timeMs += draw.between(0, draw.chance(0.03) ? 12_000 : 300);
    const repeats = issued.length > 0 && draw.chance(0.4);
    const call = repeats ? draw.pick(issued.slice(-20)) : callOf(draw, timeMs, n, session);
    if (!repeats) issued.push(call);
    const outcome = run(machine, call.operation, call.options, timeMs);
    expect(model.describe(outcome)).toEqual(model.apply(n + 1, timeMs, call.operation, call.options));
  }
  const held = machine.get(model.ids);
  expect(held.map(({ id, version }) => [id, version])).toEqual(model.live());
  expect(digestText(machine.recount().digest)).toBe(machine.digest());
}

/** Draws keys as a gateway does; which of its writes are done with is up to chance. */
class Session {
  private readonly open = new Set<number>();
  private last = 0;

  constructor(private readonly draw: Prng) {}

  key(): string {
    this.open.add(++this.last);
    for (const number of this.open) if (number < this.last && this.draw.chance(0.3)) this.open.delete(number);
    return drawnKey(this.last, Math.min(...this.open));
  }
}

function callOf(draw: Prng, timeMs: number, n: number, session: Session) {
  const ids = ['a', 'b', 'c', 'd'].filter(() => draw.chance(0.5));
  if (ids.length === 0) ids.push('a');
  const operation = draw.chance(0.7) ? upsert(...ids.map((id) => pointOf(id, draw))) : remove(...ids);
  const condition = (): Condition =>
    draw.pick<Condition>([
      { kind: 'none' },
      { kind: 'none' },
      { kind: 'absent' },
      { kind: 'present' },
      { kind: 'version', version: draw.between(0, n + 1) },
    ]);
  const conditions = draw.chance(0.5) ? ids.map(condition) : [];
  if (draw.chance(0.15)) return { operation, options: { conditions } };
  if (draw.chance(0.5)) return { operation, options: keyed(session.key(), timeMs, { conditions }) };
  return { operation, options: keyed(`k${n}`, timeMs - draw.between(0, 500), { conditions }) };
}

describe('any history of writes and repetitions', () => {
  it.each(Array.from({ length: 25 }, (_, i) => i + 1))('is what a plain model says, seed %i', compare);

  it('goes on the same after a snapshot, which carries what the keys stand for', () => {
    const sender = machineOf(new MemoryStore());
    run(sender, upsert(a), keyed('k'));
    run(sender, upsert(a), keyed('no', now, { conditions: [{ kind: 'absent' }] }));
    const source = sender.openSnapshot();
    run(sender, upsert(a), keyed('unseen', now, { conditions: [{ kind: 'absent' }] }));
    const receiver = machineOf(new MemoryStore(), indexOf(new FlatEngine()));
    const sink = receiver.openRestore({ index: source.index, term: source.term, configuration }, 1);
    for (let n = 0, chunk = source.chunk(0); chunk !== null; chunk = source.chunk(++n)) sink.accept(chunk);
    sink.finish();
    settleIndex(receiver);
    expect(run(receiver, upsert(a), keyed('unseen', now, { conditions: [{ kind: 'absent' }] }))).toMatchObject({
      ok: false,
    });
    expect(receiver.digest()).toBe(sender.digest());
    for (const machine of [sender, receiver]) {
      expect(run(machine, upsert(a), keyed('k'))).toMatchObject({ ok: true, replayed: true, versions: [1] });
    }
  });
});
