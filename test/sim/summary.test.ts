import { expect, test } from '@jest/globals';
import type { SimReport } from './run';
import { figuresOf, shortfalls } from './summary';
import { faultKindNames, sumOf } from './tally';

const injected = Object.fromEntries(faultKindNames.map((kind) => [kind, 1]));
const report: SimReport = {
  seed: 1,
  violation: null,
  traceHash: '',
  simulatedMs: 60_000,
  events: 1,
  acknowledged: 100,
  unknown: 0,
  rejected: 0,
  reads: 1,
  leaderChanges: 1,
  snapshotsInstalled: 0,
  snapshotsResumed: 0,
  quarantines: 0,
  membersSettled: 0,
  sleeps: 0,
  doubts: 0,
  sleepersMax: 0,
  injected,
  telling: true,
  marks: {},
};
const reports = (count: number, change: Partial<SimReport> = {}): SimReport[] =>
  Array.from({ length: count }, () => ({ ...report, ...change }));

test('counts add up', () => {
  expect(sumOf([{ drop: 2 }, { drop: 3, cut: 1 }, {}])).toEqual({ drop: 5, cut: 1 });
  expect(figuresOf(reports(3), 1).injected['pause']).toBe(3);
});

test('a run that injects, tells and finishes enough has no shortfall', () => {
  expect(shortfalls(figuresOf(reports(100), 1), 100)).toEqual([]);
});

test.each([
  ['a kind of fault that is missing', reports(100, { injected: { ...injected, clog: 0 } }), 100, /clog .* 0 times, 10/],
  [
    'seeds that tell nothing',
    [...reports(90), ...reports(10, { telling: false })],
    100,
    /90 of 100 seeds were telling/,
  ],
  ['seeds that did not run', reports(99), 100, /99 seeds ran, 100/],
])('a run with %s is red', (_what, run, wanted, reason) => {
  expect(shortfalls(figuresOf(run, 1), wanted)).toEqual([expect.stringMatching(reason)]);
});
