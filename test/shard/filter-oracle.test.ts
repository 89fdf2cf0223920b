import { expect, jest, test } from '@jest/globals';
import { runFilterOracle } from './filter-oracle';

jest.setTimeout(60_000);

test.each([1, 2])('filters are those of a list, through writes, schemas, restarts and snapshots (seed %i)', (seed) => {
  const { checks, strategies, restarts, snapshots } = runFilterOracle(seed, 800);
  expect(checks).toBeGreaterThan(120);
  expect(Math.min(restarts, snapshots)).toBeGreaterThan(0);
  // Both ways must have been gone: without payload indexes, and with them.
  for (const way of ['records', 'scan']) expect(strategies.get(way)).toBeGreaterThan(10);
});
