import { parseArgs } from 'node:util';
import { runFilterOracle } from '../shard/filter-oracle';

/** `npm run oracle -- --operations 200000 --seed 1`: filters against a plain list, for as long as one likes. */
const { values } = parseArgs({
  options: { operations: { type: 'string', default: '200000' }, seed: { type: 'string', default: '1' } },
});
const started = performance.now();
const { operations, checks, strategies, restarts, snapshots } = runFilterOracle(
  Number(values.seed),
  Number(values.operations),
);
const ways = [...strategies].map(([name, times]) => `${times} by ${name}`).join(', ');
const seconds = ((performance.now() - started) / 1_000).toFixed(1);
console.log(
  `oracle: ${operations} operations, ${checks} filters checked (${ways}), ${restarts} restarts, ${snapshots} snapshots, 0 differences, ${seconds} s`,
);
