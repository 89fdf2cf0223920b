import {
  type Incarnation,
  type LogIndex,
  logIndex,
  type ReplicaId,
  replicaId,
  type Term,
  term,
} from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { Entry, HardState } from '../../src/protocol/raft-messages';
import { entriesFrom, entryKey, hardStateKey, logRecordKey } from '../../src/storage/keys';
import { LogStore } from '../../src/storage/log-store';
import { MemoryDisk } from '../../src/storage/memory-disk';
import { WriteBatch } from '../../src/storage/ports';

const replica = replicaId(7);
const descriptor = Uint8Array.of(1, 2, 3);
const entry = (index: number, entryTerm: number, size = 3): Entry => ({
  index: logIndex(index),
  term: term(entryTerm),
  type: index % 5 === 0 ? 'config' : 'command',
  data: new Uint8Array(size).fill(index),
});
const hard = (hardTerm: number, commit: number): HardState => ({
  term: term(hardTerm),
  vote: replicaId(1),
  commit: logIndex(commit),
});
const entriesOf = (first: number, last: number, entryTerm: number): Entry[] =>
  Array.from({ length: last - first + 1 }, (_, i) => entry(first + i, entryTerm));

/** A machine's log store with one replica's log in it, committed step by step. */
class Bench {
  readonly disk = new MemoryDisk();
  engine = this.disk.openLog();
  logs = new LogStore(this.engine.store);

  commit(stage: (batch: WriteBatch) => void): void {
    const batch = new WriteBatch();
    stage(batch);
    this.engine.commit(batch);
    this.logs.sweep();
  }

  open(id: ReplicaId = replica, spec: Uint8Array = descriptor): ReturnType<LogStore['open']> {
    const batch = new WriteBatch();
    const opened = this.logs.open(batch, id, spec);
    if (batch.operations.length > 0) this.engine.commit(batch);
    this.logs.sweep();
    return opened;
  }

  restart(): void {
    this.disk.start();
    this.engine = this.disk.openLog();
    this.logs = new LogStore(this.engine.store);
  }

  entryKeyCount(): number {
    return this.disk.log.range({ ...entriesFrom(replica, logIndex(0)), countMax: 10_000 }).length;
  }
}

function benchWithLog(): Bench {
  const bench = new Bench();
  bench.open();
  bench.commit((batch) =>
    bench.logs.append(batch, replica, hard(2, 3), [...entriesOf(1, 4, 1), ...entriesOf(5, 9, 2)]),
  );
  return bench;
}

describe('log store', () => {
  test('creates with a descriptor, opens without one, counts incarnations', () => {
    const bench = new Bench();
    expect(bench.open(replica, new Uint8Array(0)).outcome).toBe('unknown');
    expect(bench.open()).toMatchObject({ outcome: 'ready', incarnation: 1, descriptor, hardState: null, entries: [] });
    bench.restart();
    const again = bench.open(replica, Uint8Array.of(9));
    expect(again).toMatchObject({ outcome: 'ready', incarnation: 2 });
    expect(Array.from(again.descriptor)).toEqual([1, 2, 3]);
    bench.restart();
    expect(bench.open(replica, new Uint8Array(0))).toMatchObject({ outcome: 'ready', incarnation: 3 });
    expect(bench.logs.list()).toMatchObject([{ replica, removed: false }]);
  });

  test('a tombstone lasts, and its entries are swept even when the first sweep is lost', () => {
    const bench = benchWithLog();
    const batch = new WriteBatch();
    bench.logs.remove(batch, replica);
    expect(bench.logs.open(new WriteBatch(), replica, descriptor).outcome).toBe('removed');
    bench.engine.commit(batch);
    bench.restart();
    expect(bench.entryKeyCount()).toBe(9);
    expect(bench.open().outcome).toBe('removed');
    expect(bench.logs.list()).toMatchObject([{ replica, removed: true }]);
    bench.logs.findOrphans();
    bench.logs.sweep();
    expect(bench.entryKeyCount()).toBe(0);
    bench.commit((next) => bench.logs.remove(next, replicaId(8)));
    expect(bench.open(replicaId(8)).outcome).toBe('removed');
  });

  test('a head whose sweep was lost is invisible and swept at the next open', () => {
    const bench = benchWithLog();
    const batch = new WriteBatch();
    expect(bench.logs.truncate(batch, replica, logIndex(3), term(1))).toBe(true);
    bench.engine.commit(batch);
    bench.restart();
    expect(bench.entryKeyCount()).toBe(9);
    const opened = bench.open();
    expect(opened).toMatchObject({ baseIndex: 3, baseTerm: 1 });
    expect(opened.entries.map(({ index }) => index)).toEqual([4, 5, 6, 7, 8, 9]);
    expect(bench.entryKeyCount()).toBe(6);
  });

  test('asserts on entries that leave a gap, go below the base, or a commit beyond the log', () => {
    const bench = benchWithLog();
    const append = (hardState: HardState | null, entries: Entry[]): void =>
      bench.logs.append(new WriteBatch(), replica, hardState, entries);
    expect(() => append(null, [entry(11, 2)])).toThrow('gap');
    expect(() => append(null, [entry(9, 2), entry(11, 2)])).toThrow('where 10 belongs');
    bench.commit((batch) => bench.logs.truncate(batch, replica, logIndex(4), term(1)));
    expect(() => append(null, [entry(4, 2)])).toThrow('base');
    expect(() => append(hard(2, 10), [entry(9, 2)])).toThrow('commit beyond');
    expect(() => bench.logs.append(new WriteBatch(), replicaId(99), null, [])).toThrow('not open');
  });

  const damages: [string, (bench: Bench) => void][] = [
    [
      'a missing entry',
      (bench) => bench.disk.log.write(new WriteBatch().delete(entryKey(replica, logIndex(5))), { sync: true }),
    ],
    [
      'a missing last entry below the commit',
      (bench) => bench.disk.log.deleteRange(entryKey(replica, logIndex(3)), entryKey(replica, logIndex(99))),
    ],
    [
      'a missing hard state',
      (bench) => bench.disk.log.write(new WriteBatch().delete(hardStateKey(replica)), { sync: true }),
    ],
    [
      'a missing record',
      (bench) => bench.disk.log.write(new WriteBatch().delete(logRecordKey(replica)), { sync: true }),
    ],
    [
      'a misplaced entry',
      (bench) => {
        const value = bench.disk.log.get(entryKey(replica, logIndex(5))) as Uint8Array;
        bench.disk.log.write(new WriteBatch().put(entryKey(replica, logIndex(6)), value), { sync: true });
      },
    ],
    [
      'a value cut short',
      (bench) => {
        const value = bench.disk.log.get(entryKey(replica, logIndex(5))) as Uint8Array;
        bench.disk.log.write(new WriteBatch().put(entryKey(replica, logIndex(5)), value.subarray(0, 3)), {
          sync: true,
        });
      },
    ],
    ['terms that fall', (bench) => bench.commit((batch) => bench.logs.append(batch, replica, null, [entry(9, 1)]))],
    [
      'terms above the hard state',
      (bench) => bench.commit((batch) => bench.logs.append(batch, replica, null, [entry(9, 3)])),
    ],
  ];
  test.each(damages)('opens as corrupt after %s', (_, damage) => {
    const bench = benchWithLog();
    damage(bench);
    bench.restart();
    const opened = bench.open();
    expect(opened.outcome).toBe('corrupt');
    expect(opened.reason).not.toBe('');
    expect(bench.open(replicaId(8)).outcome).toBe('ready');
  });

  test('no flipped bit of any stored value goes unnoticed', () => {
    const random = new Prng(5);
    const keys = [
      logRecordKey(replica),
      hardStateKey(replica),
      ...entriesOf(1, 9, 1).map(({ index }) => entryKey(replica, index)),
    ];
    for (let i = 0; i < 300; i++) {
      const bench = benchWithLog();
      bench.disk.log.flipBit(random.pick(keys), random);
      bench.restart();
      expect(bench.logs.list().length).toBeLessThanOrEqual(1);
      expect(bench.open().outcome).toBe('corrupt');
    }
  });

  test('an open log longer than a page comes back whole', () => {
    const bench = new Bench();
    bench.open();
    bench.commit((batch) => bench.logs.append(batch, replica, hard(1, 0), entriesOf(1, 9_001, 1)));
    bench.restart();
    expect(bench.open().entries).toHaveLength(9_001);
  });

  test.each(Array.from({ length: 40 }, (_, i) => i + 1))(
    'agrees with a plain array under crashes (seed %i)',
    (seed) => {
      fuzz(new Prng(seed));
    },
  );
});

interface Model {
  incarnation: Incarnation | 0;
  base: LogIndex;
  baseTerm: Term;
  entries: Entry[];
  hardState: HardState | null;
}

function fuzz(random: Prng): void {
  const bench = new Bench();
  const model: Model = { incarnation: 0, base: logIndex(0), baseTerm: term(0), entries: [], hardState: null };
  const checkOpen = (): void => {
    const opened = bench.open();
    model.incarnation = (model.incarnation + 1) as Incarnation;
    expect(opened.reason).toBe('');
    expect(opened).toMatchObject({ outcome: 'ready', incarnation: model.incarnation, baseIndex: model.base });
    expect(opened.baseTerm).toBe(model.baseTerm);
    expect(opened.hardState).toEqual(model.hardState);
    expect(opened.entries.map((e) => ({ ...e, data: Array.from(e.data) }))).toEqual(
      model.entries.map((e) => ({ ...e, data: Array.from(e.data) })),
    );
    expect(bench.entryKeyCount()).toBe(model.entries.length);
  };
  checkOpen();
  for (let i = 0; i < 150; i++) {
    const dice = random.float();
    if (dice < 0.6) bench.commit((batch) => fuzzAppend(random, bench, model, batch));
    else if (dice < 0.75) bench.commit((batch) => fuzzTruncate(random, bench, model, batch));
    else if (dice < 0.8) bench.commit((batch) => fuzzReset(random, bench, model, batch));
    else if (dice < 0.9) {
      // Staged, and never written: the process dies first.
      const lost: Model = { ...model, entries: [...model.entries] };
      fuzzAppend(random, bench, lost, new WriteBatch());
      bench.disk.crash(random);
      bench.restart();
      checkOpen();
    } else checkOpen();
  }
  bench.restart();
  checkOpen();
}

const lastTermOf = (model: Model): number => model.entries.at(-1)?.term ?? model.baseTerm;

function fuzzAppend(random: Prng, bench: Bench, model: Model, batch: WriteBatch): void {
  const commit = Math.max(model.hardState?.commit ?? 0, model.base);
  const last = model.base + model.entries.length;
  const first = random.chance(0.3) ? random.between(commit + 1, last + 1) : last + 1;
  const kept = model.entries.slice(0, first - model.base - 1);
  const floor = Math.max(kept.at(-1)?.term ?? model.baseTerm, 1);
  const entryTerm = Math.max(floor, lastTermOf(model)) + random.between(0, 1);
  const entries = Array.from({ length: random.between(1, 6) }, (_, i) =>
    entry(first + i, entryTerm, random.between(0, 40)),
  );
  model.entries = [...kept, ...entries];
  const newLast = model.base + model.entries.length;
  model.hardState = hard(Math.max(entryTerm, model.hardState?.term ?? 0), random.between(commit, newLast));
  bench.logs.append(batch, replica, model.hardState, entries);
}

function fuzzTruncate(random: Prng, bench: Bench, model: Model, batch: WriteBatch): void {
  const commit = model.hardState?.commit ?? 0;
  const index = random.between(0, commit);
  const at = index - model.base - 1;
  const entryTerm = model.entries[at]?.term ?? term(0);
  const done = bench.logs.truncate(batch, replica, logIndex(index), entryTerm);
  expect(done).toBe(index > model.base);
  if (!done) return;
  model.entries = model.entries.slice(at + 1);
  model.base = logIndex(index);
  model.baseTerm = entryTerm;
}

function fuzzReset(random: Prng, bench: Bench, model: Model, batch: WriteBatch): void {
  const last = model.base + model.entries.length;
  const commit = Math.max(model.hardState?.commit ?? 0, model.base);
  // Also into the middle of the log, whose tail must not come back.
  model.base = logIndex(random.between(commit, last + 5));
  model.baseTerm = term(lastTermOf(model) + 1);
  model.entries = [];
  model.hardState = hard(Math.max(model.baseTerm, model.hardState?.term ?? 0), model.base);
  bench.logs.reset(batch, replica, model.base, model.baseTerm, model.hardState);
}
