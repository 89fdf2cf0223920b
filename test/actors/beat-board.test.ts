import { describe, expect, test } from '@jest/globals';
import { BeatBoard, HeardLives } from '../../src/actors/beat-board';
import { livesHeardMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';

const board = (places: number): BeatBoard => new BeatBoard(BeatBoard.memory(places));

describe('the board of a machine', () => {
  test('shows each place’s life with its own counter', () => {
    const shown = board(3);
    shown.speak(0, 41);
    shown.speak(2, 2 ** 48 - 1);
    const before = shown.turnsOf(2 ** 48 - 1);
    shown.speak(0, 41);
    expect(shown.turnsOf(2 ** 48 - 1)).toBe(before);
    shown.speak(2, 2 ** 48 - 1);
    expect(shown.turnsOf(2 ** 48 - 1)).not.toBe(before);
    expect([shown.turnsOf(43), shown.turnsOf(0)]).toEqual([null, null]);
  });

  test('shows one life a place: a successor’s turns are never its predecessor’s', () => {
    const shown = board(1);
    shown.speak(0, 41);
    shown.speak(0, 42);
    expect(shown.turnsOf(41)).toBeNull();
    expect(shown.turnsOf(42)).not.toBeNull();
  });

  test('tells each reader once what was heard since it last looked, whatever the order', () => {
    const random = new Prng(7);
    const shown = board(2);
    const heard = new HeardLives(shown);
    heard.begin();
    const readers = [0, 1].map(() => ({ seen: [] as number[], expected: new Set<number>() }));
    for (let step = 0; step < 2_000; step++) {
      const lives = Array.from({ length: random.between(0, 4) }, () => random.between(1, 60));
      heard.hear(lives);
      for (const { expected } of readers) for (const life of lives) expected.add(life);
      const reader = readers[random.between(0, 1)] as (typeof readers)[0];
      if (random.chance(0.3)) continue;
      expect(shown.newsSince(reader.seen).sort()).toEqual([...reader.expected].sort());
      reader.expected.clear();
    }
  });

  test('gives the place of the life heard longest ago away, and takes nobody’s beats for another’s', () => {
    const shown = board(1);
    const heard = new HeardLives(shown);
    heard.begin();
    const lives = Array.from({ length: livesHeardMax }, (_, i) => i + 1);
    heard.hear(lives);
    const seen: number[] = [];
    expect(shown.newsSince(seen)).toEqual(lives);
    heard.hear([1, 99_999]);
    expect(shown.newsSince(seen).sort()).toEqual([1, 99_999]);
    heard.hear([2]);
    expect(shown.newsSince(seen)).toEqual([2]);
  });

  test('forgets what was heard when its writer begins anew, and hears the same life again', () => {
    const shown = board(1);
    const first = new HeardLives(shown);
    first.begin();
    first.hear([7]);
    const seen: number[] = [];
    shown.newsSince(seen);
    const { begun } = shown;
    first.hear([7]);
    const second = new HeardLives(shown);
    second.begin();
    expect(shown.begun).not.toBe(begun);
    expect(shown.newsSince(seen)).toEqual([]);
    second.hear([8, 7]);
    expect(shown.newsSince(seen).sort()).toEqual([7, 8]);
  });
});
