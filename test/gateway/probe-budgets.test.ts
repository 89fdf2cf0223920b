import { expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { monotonicMs } from '../../src/base/time';
import { ProbeBudgets } from '../../src/gateway/probe-budgets';

test('whoever asks, a group is asked a few times at once and then at a steady pace; another group has a budget of its own', () => {
  const budgets = new ProbeBudgets(50, 3);
  const taken = (group: string, atMs: number): number =>
    Array.from({ length: 10 }, () => budgets.take(group, monotonicMs(atMs))).filter(Boolean).length;
  expect([taken('a', 0), taken('a', 49), taken('a', 50), taken('a', 60), taken('b', 60)]).toEqual([3, 0, 1, 0, 3]);
  expect(taken('a', 10_000)).toBe(3);
});

test('never more than the pace allows in any time, at whatever moments it is asked', () => {
  const random = new Prng(5);
  const budgets = new ProbeBudgets(50, 3);
  const atMs: number[] = [];
  for (let now = 0; now < 20_000; now += random.float() * 40) if (budgets.take('a', monotonicMs(now))) atMs.push(now);
  for (const [i, from] of atMs.entries()) {
    const within = atMs.slice(i).filter((at) => at < from + 1_000).length;
    expect(within).toBeLessThanOrEqual(3 + 1_000 / 50);
  }
  expect(atMs.length).toBeGreaterThan(380);
});
