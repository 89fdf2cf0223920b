import { live } from './support/mini-network';

const seedCount = 350;

describe('a group under a hostile network, slow disks and crashes', () => {
  const first = Number(process.env['SEED'] ?? 1);
  const told = { committed: 0, leaders: 0, reads: 0 };

  it(`keeps every promise over ${seedCount} seeds, and comes to rest once healed`, () => {
    for (let seed = first; seed < first + seedCount; seed++) {
      try {
        const { committed, leaders, reads } = live(seed);
        told.committed += committed;
        told.leaders += leaders;
        told.reads += reads;
      } catch (thrown) {
        throw new Error(`SEED=${seed}: ${(thrown as Error).message}`, { cause: thrown });
      }
    }
    // A run in which nothing happens proves nothing.
    expect(told.committed).toBeGreaterThan(seedCount * 20);
    expect(told.leaders).toBeGreaterThan(seedCount * 2);
    expect(told.reads).toBeGreaterThan(seedCount * 10);
  });
});
