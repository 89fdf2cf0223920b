import { Prng } from '../../src/base/prng';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import { clusteredVectors } from './support';

/** Prints the hits of some searches: run once for each kernel, as a process has only one. */
const prng = new Prng(21);
const hits: string[] = [];
for (const [metric, dimension] of [
  ['euclidean', 37],
  ['cosine', 64],
  ['dot', 100],
] as const) {
  const make = clusteredVectors(prng, dimension);
  const options = { key: metric, dimension, metric, m: 8, efConstruction: 60, capacity: 1_500 };
  const index = createNativeEngine({ graphThreshold: 500 }).open(options, null);
  for (let i = 0; i < 1_500; i++) index.put(`p${i}`, 1, make());
  while (index.link(50_000) > 0);
  for (let i = 0; i < 30; i++) hits.push(index.search(make(), 5, { ef: 200 }).ids.join());
}
process.stdout.write(JSON.stringify(hits));
