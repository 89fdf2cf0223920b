import { AssertionError } from '../../src/base/assert';
import { Fuzz } from './support/group-fuzz';
import { Violation } from './support/group-invariants';
import { type PlantedBug, plantedBugs } from './support/planted-bugs';

const seedsMax = 2_000;
const steps = 2_000;

/** The first seed that shows the bug, and what it shows; null: no seed does. */
function firstCatch({ plant, host }: PlantedBug): { readonly seed: number; readonly what: string } | null {
  const restore = plant?.() ?? (() => undefined);
  try {
    for (let seed = 1; seed <= seedsMax; seed++) {
      const what = verdict(seed, host);
      if (what !== null) return { seed, what };
    }
    return null;
  } finally {
    restore();
  }
}

function verdict(seed: number, host: PlantedBug['host']): string | null {
  try {
    new Fuzz(seed, host).run(steps);
    return null;
  } catch (error) {
    if (error instanceof Violation || error instanceof AssertionError) return error.message;
    throw error;
  }
}

describe('faults from a seed find the planted bug', () => {
  it.each(plantedBugs.map((bug) => [bug.name, bug] as const))('%s', (_name, bug) => {
    const caught = firstCatch(bug);
    if (process.env['RAFT_FUZZ_VERBOSE'] !== undefined)
      process.stdout.write(`${bug.name}: ${JSON.stringify(caught)}\n`);
    expect(caught).not.toBeNull();
  });

  it('and nothing without one, in seeds in which enough happens', () => {
    const seedCount = 100;
    const totals: Record<string, number> = {};
    for (let seed = 1; seed <= seedCount; seed++) {
      for (const [name, count] of Object.entries(new Fuzz(seed).run(steps))) totals[name] = (totals[name] ?? 0) + count;
    }
    const least = {
      committed: 20,
      leaders: 3,
      crashes: 10,
      snapshots: 0.3,
      conflicts: 0.2,
      readsServed: 3,
      transfers: 0.4,
      changes: 1,
    };
    const rare = Object.entries(least).filter(([name, perSeed]) => (totals[name] ?? 0) < perSeed * seedCount);
    expect(rare).toEqual([]);
  });

  it('and runs the same again from the same seed', () => {
    expect(new Fuzz(7).run(steps)).toEqual(new Fuzz(7).run(steps));
  });
});
