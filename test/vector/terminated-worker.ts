import { parentPort, workerData } from 'node:worker_threads';
import { Prng } from '../../src/base/prng';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import type { IndexOptions } from '../../src/vector/ports';
import { clusteredVectors } from './support';

/** Searches, puts, removes and links without end, until the thread is terminated. */
const { options, seed, writes, path } = workerData as {
  options: IndexOptions;
  seed: number;
  writes: boolean;
  path: string;
};
const prng = new Prng(seed);
const make = clusteredVectors(prng, options.dimension);
const index = createNativeEngine({ graphThreshold: 300 }).open(options, null);
const allowed = { words: new Uint32Array(40).fill(0x5555aaaa) };
parentPort?.postMessage('busy');
for (let round = 0; ; round++) {
  index.search(make(), 10, { ef: 40 });
  index.search(make(), 10, { allowed, strategy: prng.pick(['scan', 'walk', 'twoHop']) });
  if (!writes) continue;
  index.put(`p${prng.between(0, 1_500)}`, seed * 1e6 + round, make());
  if (round % 8 === 0) index.link(500);
  if (round % 16 === 0) index.remove(`p${prng.between(1_000, 1_500)}`, seed * 1e6 + round);
  if (round % 512 === 511) index.save(path);
}
