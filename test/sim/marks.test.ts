import { describe, expect, test } from '@jest/globals';
import { markNames } from './all-marks';
import { after, before, called, countMarks, fullRunSeeds, markRows, missedMarks } from './marks';

class Door {
  opened = 0;
  open(strength: number): boolean {
    if (strength > 3) this.opened++;
    return strength > 3;
  }
}

const probes = [
  before<Door, [number]>(Door.prototype, 'open', {
    opened_before: (door) => door.opened > 0,
    pushed_softly: (_door, [strength]) => strength < 2,
  }),
  after<Door, [number], boolean>(Door.prototype, 'open', { stayed_shut: (_door, _args, open) => !open }),
  called(Door.prototype, 'open', 'pushed'),
];

const push = (strengths: readonly number[]) =>
  countMarks(probes, () => {
    const door = new Door();
    return strengths.map((strength) => door.open(strength));
  });

describe('coverage marks', () => {
  test('count what happens, and change nothing of it', () => {
    const { result, marks } = push([1, 5, 3, 9]);
    expect(result).toEqual([false, true, false, true]);
    expect(marks).toEqual({ pushed: 4, pushed_softly: 1, stayed_shut: 2, opened_before: 2 });
  });

  test('count for one run at a time, and for nobody between runs', () => {
    push([1]);
    new Door().open(1);
    expect(push([5]).marks).toEqual({ pushed: 1 });
  });

  test('a full run is red for a mark that no seed hit, and a short one is not', () => {
    const hit = { seen: 2 };
    const runs = Array.from({ length: fullRunSeeds }, (_, seed) => (seed === 7 ? { ...hit, rare: 1 } : hit));
    const rows = markRows(['seen', 'rare', 'never'], runs);
    expect(rows[0]).toEqual({ name: 'never', seeds: 0, hits: 0 });
    expect(rows[1]).toEqual({ name: 'rare', seeds: 1, hits: 1 });
    expect(missedMarks(rows, runs.length)).toEqual(['never']);
    expect(missedMarks(rows, runs.length - 1)).toEqual([]);
  });

  test('there are at least 100, with names of their own', () => {
    expect(markNames.length).toBeGreaterThanOrEqual(100);
    expect(new Set(markNames).size).toBe(markNames.length);
  });

  test('to watch what does not exist is a mistake', () => {
    expect(() => called(Door.prototype, 'close', 'closed')).toThrow('no method close');
  });
});
