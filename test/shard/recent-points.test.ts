import { expect, it } from '@jest/globals';
import { logIndex } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { Condition, ShardOperation, WriteOptions } from '../../src/protocol/commands';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { MemoryStore } from '../../src/storage/memory-store';
import { FlatEngine } from '../../src/vector/flat-index';
import { entryOf, indexOf, machineOf, pointOf, remove, upsert, writeOf } from './shard-helpers';

const startMs = 1_000_000_000_000;
const ids = Array.from({ length: 24 }, (_, i) => `point-${i}`);

/** Upserts, deletes, repetitions, conditions that fail, and keys that expire. */
function randomWrite(random: Prng, step: number): [ShardOperation, Partial<WriteOptions>] {
  const some = ids.filter(() => random.chance(0.15));
  const chosen = some.length === 0 ? [random.pick(ids)] : some;
  const operation = random.chance(0.8) ? upsert(...chosen.map((id) => pointOf(id, random))) : remove(...chosen);
  const key = random.chance(0.8) ? `session:${random.between(1, 40)}` : '';
  const condition = (): Condition => ({ kind: random.pick(['none', 'absent', 'present'] as const) });
  const conditions = random.chance(0.3) ? chosen.map(condition) : [];
  const times = { issuedMs: startMs + step * 100, windowMs: random.pick([500, 5_000]) };
  return [operation, { key, ...times, conditions, returnPrevious: random.chance(0.3) }];
}

it('what is remembered of points changes no outcome and no record', () => {
  for (let seed = 1; seed <= 3; seed++) {
    const random = new Prng(seed);
    const machines: ShardMachine[] = [0, 4_000, 1_000_000].map((recentBytesMax) =>
      machineOf(new MemoryStore(), indexOf(new FlatEngine()), { recentBytesMax }),
    );
    const [plain] = machines as [ShardMachine];
    for (let step = 0; step < 80; step++) {
      const index = plain.appliedIndex + 1;
      const entries = Array.from({ length: random.between(1, 3) }, (_, i) =>
        entryOf(index + i, writeOf(...randomWrite(random, step), startMs + step * 100)),
      );
      if (random.chance(0.02)) machines[2]?.forgetRecent();
      for (const machine of machines) machine.apply(entries);
      for (const machine of machines.slice(1)) {
        expect(machine.digest()).toBe(plain.digest());
        for (const entry of entries)
          expect(machine.outcomeOf(logIndex(entry.index))).toEqual(plain.outcomeOf(entry.index));
      }
    }
    for (const machine of machines) expect(machine.recount().digest).toBe(plain.recount().digest);
    expect(machines[2]?.get(ids)).toEqual(plain.get(ids));
  }
});
