import { describe, expect, test } from '@jest/globals';
import { ThreadKeeper } from '../../src/actors/thread-keeper';
import { nodeName } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';

const doubtTicks = 20;
const other = 77;
const third = 78;

function keeperOf(...names: readonly string[]): ThreadKeeper {
  const keeper = new ThreadKeeper(doubtTicks);
  keeper.begin(new Prng(1));
  for (const name of names) keeper.join(name, [nodeName('machine-2')]);
  return keeper;
}

describe('a thread keeper', () => {
  test('ticks those that are awake and no others', () => {
    const keeper = keeperOf('a', 'b');
    keeper.heard([other]);
    keeper.rest('a', [other]);
    expect([...keeper.turn(1).tick]).toEqual(['b']);
    keeper.wake('a', [other]);
    expect([...keeper.turn(1).tick].sort()).toEqual(['a', 'b']);
  });

  test('puts a sleeper in doubt once a life it relies on is silent for an election time-out, and not before', () => {
    const keeper = keeperOf('a', 'b');
    keeper.heard([other]);
    keeper.rest('a', [other]);
    for (let turns = 0; turns < doubtTicks - 1; turns++) expect(keeper.turn(1).doubt).toEqual([]);
    expect(keeper.turn(1).doubt).toEqual(['a']);
    expect(keeper.turn(1).doubt).toEqual([]);
  });

  test('says when the next sleeper will be in doubt, so that no turn is longer', () => {
    const keeper = keeperOf('a', 'b');
    expect(keeper.ticksToDoubt()).toBe(Number.POSITIVE_INFINITY);
    keeper.heard([other]);
    keeper.rest('a', [other]);
    expect(keeper.ticksToDoubt()).toBe(doubtTicks);
    keeper.turn(6);
    keeper.heard([third]);
    keeper.rest('b', [third]);
    expect(keeper.ticksToDoubt()).toBe(doubtTicks - 6);
    keeper.turn(keeper.ticksToDoubt() - 1);
    expect(keeper.ticksToDoubt()).toBe(1);
    expect(keeper.turn(1).doubt).toEqual(['a']);
    expect(keeper.ticksToDoubt()).toBe(6);
    expect(keeper.turn(6).doubt).toEqual(['b']);
    expect(keeper.ticksToDoubt()).toBe(Number.POSITIVE_INFINITY);
  });

  test('lets every word of the life begin the wait anew', () => {
    const keeper = keeperOf('a');
    keeper.heard([other]);
    keeper.rest('a', [other]);
    for (let beats = 0; beats < 10; beats++) {
      keeper.heard([other]);
      expect(keeper.turn(doubtTicks - 1).doubt).toEqual([]);
    }
  });

  test('puts who fell asleep on a life that is silent already in doubt as well', () => {
    const keeper = keeperOf('a');
    keeper.heard([other]);
    keeper.turn(doubtTicks + 5);
    keeper.rest('a', [other]);
    expect(keeper.turn(1).doubt).toEqual(['a']);
  });

  test('begins another life when a member is lost that others may rely on, and only then', () => {
    const keeper = keeperOf('a', 'b');
    const { life } = keeper;
    keeper.lost('a');
    expect(keeper.life).toBe(life);
    keeper.promise('b');
    keeper.lost('a');
    expect(keeper.life).toBe(life);
    keeper.lost('b');
    expect(keeper.life).not.toBe(life);
  });

  test('names every node once on which its members have peers', () => {
    const keeper = keeperOf('a', 'b');
    expect(keeper.peerNodes()).toEqual(['machine-2']);
    keeper.leave('a');
    keeper.leave('b');
    expect(keeper.peerNodes()).toEqual([]);
  });
});
