import { live } from './support/mini-network';

const batchCount = 10;
const batchSeeds = 35;
/** SEED=n runs batches from there on. */
const first = Number(process.env['SEED'] ?? 1);

describe('a group under a hostile network, slow disks and crashes', () => {
  const batches = Array.from({ length: batchCount }, (_, batch) => first + batch * batchSeeds);

  it.each(batches)('keeps every promise and comes to rest once healed: seeds from %d', (from) => {
    const told = { committed: 0, leaders: 0, reads: 0 };
    for (let seed = from; seed < from + batchSeeds; seed++) {
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
    expect(told.committed).toBeGreaterThan(batchSeeds * 15);
    expect(told.leaders).toBeGreaterThan(batchSeeds * 1.5);
    expect(told.reads).toBeGreaterThan(batchSeeds * 10);
  });
});
