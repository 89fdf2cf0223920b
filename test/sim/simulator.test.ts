import { beforeAll, describe, expect, test } from '@jest/globals';
import type { KeyHash } from '../../src/protocol/key-hash';
import { loadKeyHash } from '../../src/protocol/node/xxh3';
import { mutationNamed, mutations } from './mutations';
import { runSeed } from './run';

/** Planted bugs that some seed below `seedsMax` finds fast; `--mutations all` of the simulator's program runs them all. */
const quick = [
  'promise-before-durable',
  'deposed-proposals-hang',
  'commit-alone',
  'vote-not-stored',
  'index-misses-changes',
  'placement-rows-lost',
];
const seedsMax = 5;

describe('simulator', () => {
  let keyHash: KeyHash;
  beforeAll(async () => {
    keyHash = await loadKeyHash();
  });

  test('one seed is green, tells something, and is the same run twice, whatever was planted in between', () => {
    const first = runSeed(7, keyHash, null);
    expect(first.violation).toBeNull();
    expect(first.telling).toBe(true);
    expect(runSeed(7, keyHash, null, mutationNamed('commit-alone')).violation).not.toBeNull();
    expect(runSeed(7, keyHash, null)).toEqual(first);
  }, 60_000);

  test.each(quick)(
    'finds the planted bug %s',
    (name) => {
      const violations: string[] = [];
      for (let seed = 1; seed <= seedsMax && violations.length === 0; seed++) {
        const { violation } = runSeed(seed, keyHash, null, mutationNamed(name));
        if (violation !== null) violations.push(violation);
      }
      expect(violations).toHaveLength(1);
    },
    60_000,
  );

  test('planted bugs have names of their own', () => {
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length);
  });
});
