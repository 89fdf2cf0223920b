import { beforeEach, describe, expect, test } from '@jest/globals';
import { BeatBoard } from '../../src/actors/beat-board';
import { MachineBeats } from '../../src/actors/machine-beats';
import { raftMemberTuning } from '../../src/actors/raft-member-options';
import { clusterId, logIndex, nodeName, type ReplicaId, replicaId, shardId, term } from '../../src/base/ids';
import { wallMs } from '../../src/base/time';
import { at, keeperActor, replicaActor } from '../../src/protocol/envelope';
import type { MessageOf } from '../../src/protocol/messages';
import { TestContext } from './raft-member-doubles';

const cluster = clusterId('test');
const two = nodeName('machine-2');
const three = nodeName('machine-3');
const threads = ['1', '2'].map((name) => at(nodeName('machine-1'), keeperActor(name)));
const epoch = { version: 1, confVersion: 1 };

const header = (from: number, to: number) => ({ from: replicaId(from), to: replicaId(to), term: term(3) });
const request = (from: number, to: number) =>
  ({ kind: 'heartbeatRequest', ...header(from, to), commit: logIndex(5), readContext: 0 }) as const;
const response = (from: number, to: number) =>
  ({ kind: 'heartbeatResponse', ...header(from, to), readContext: 0 }) as const;

describe('the beats of a machine', () => {
  let context: TestContext;
  let beats: MachineBeats;
  let board: BeatBoard;

  beforeEach(() => {
    context = new TestContext();
    board = new BeatBoard(BeatBoard.memory(threads.length));
    beats = new MachineBeats(cluster, raftMemberTuning, board);
    beats.started(context);
  });

  const alive = (thread: number, life: number): void => {
    board.speak(thread, life);
    beats.receive({ kind: 'beat.alive', life, nodes: [two, three] }, threads[thread] as (typeof threads)[0], context);
  };
  const carry = (from: number, to: number, node = two): void => replica(from, node, request(from, to));
  const replica = (from: number, node: typeof two, message: ReturnType<typeof request | typeof response>): void => {
    const beat = { shard: shardId(from), epoch, message };
    const sender = at(nodeName('machine-1'), replicaActor(replicaId(from)));
    beats.receive({ kind: 'beat.carry', node, beat }, sender, context);
  };
  /** How long it waits for its next word to others, unless it is given something to say. */
  const pauseMs = (): number | undefined => context.delaysMs.get('interval');
  const interval = (): { readonly node: string; readonly message: MessageOf<'beat.machine'> }[] => {
    beats.signalled({ signal: 'timer', key: 'interval' }, context);
    return taken();
  };
  const taken = () => {
    const sent = context.sent.map(({ to, message }) => ({
      node: to.node,
      message: message as MessageOf<'beat.machine'>,
    }));
    context.sent = [];
    return sent;
  };

  test('are one message an interval to each machine, however many groups have something to say', () => {
    alive(0, 41);
    alive(1, 42);
    for (let group = 10; group < 60; group++) {
      carry(group, group + 100);
      carry(group, group + 200, three);
    }
    const sent = interval();
    expect(sent.map(({ node }) => node).sort()).toEqual(['machine-2', 'machine-3']);
    for (const { message } of sent) {
      expect(message.lives).toEqual([41, 42]);
      expect(message.beats.map((beat) => beat.message.from)).toEqual(Array.from({ length: 50 }, (_, i) => 10 + i));
    }
  });

  test('tell the lives alone when nobody has a heartbeat to send', () => {
    alive(0, 41);
    expect(interval().map(({ message }) => [message.lives, message.beats])).toEqual([
      [[41], []],
      [[41], []],
    ]);
  });

  test('leave out a thread that has not turned for two rests until it turns again, and never repeat a heartbeat in its name', () => {
    alive(0, 41);
    alive(1, 42);
    carry(10, 110);
    interval();
    interval();
    const told = Array.from({ length: 3 }, () => {
      board.speak(1, 42);
      return interval().map(({ message }) => [message.lives, message.beats]);
    });
    expect(told.map((each) => each[0])).toEqual([
      [[41, 42], []],
      [[42], []],
      [[42], []],
    ]);
    board.speak(0, 41);
    for (const { message } of interval()) expect(message.lives).toEqual([41, 42]);
  });

  test('forget a life at once when its thread has another, or another thread its place', () => {
    alive(0, 41);
    alive(1, 42);
    board.speak(0, 43);
    for (const { message } of interval()) expect(message.lives).toEqual([42]);
    alive(0, 43);
    for (const { message } of interval()) expect(message.lives).toEqual([42, 43]);
  });

  test('come seldom while there are only lives to tell, and soon once a heartbeat waits', () => {
    alive(0, 41);
    interval();
    expect(pauseMs()).toBe(250);
    carry(10, 110);
    expect(pauseMs()).toBe(150);
    expect(interval().some(({ message }) => message.beats.length > 0)).toBe(true);
    expect(pauseMs()).toBe(150);
    interval();
    expect(pauseMs()).toBe(250);
  });

  test('come at once with those of other machines whose clocks agree', () => {
    alive(0, 41);
    for (const [wall, pause] of [
      [300_000, 250],
      [300_001, 249],
      [300_150, 100],
      [300_249, 251],
    ] as const) {
      context.wall = wallMs(wall);
      interval();
      expect(pauseMs()).toBe(pause);
    }
  });

  test('gather answers for a moment and send them together', () => {
    replica(10, two, response(10, 110));
    replica(11, two, response(11, 111));
    expect(taken()).toEqual([]);
    beats.signalled({ signal: 'timer', key: 'answers' }, context);
    const [sent, ...others] = taken();
    expect(others).toEqual([]);
    expect(sent?.message.beats.map(({ message }) => message.from)).toEqual([10, 11]);
  });

  test('hand each heartbeat to the replica it names, and put the lives on the board', () => {
    const seen: number[] = [];
    const message = request(110, 10);
    const heard = { cluster, lives: [7], beats: [{ shard: shardId(4), epoch, message }] };
    beats.receive({ kind: 'beat.machine', ...heard }, at(two, 'beats'), context);
    const raft = { kind: 'peer.raft', cluster, shard: 4, epoch, from: 110, to: 10, message };
    expect(context.sent.map(({ to, message: sent }) => [to.actor, sent])).toEqual([
      [replicaActor(10 as ReplicaId), raft],
    ]);
    expect(board.newsSince(seen)).toEqual([7]);
    expect(board.newsSince(seen)).toEqual([]);
  });

  test('do not hear another cluster', () => {
    alive(0, 41);
    const foreign = { cluster: clusterId('other'), lives: [7], beats: [] };
    beats.receive({ kind: 'beat.machine', ...foreign }, at(two, 'beats'), context);
    expect(context.sent).toEqual([]);
    expect(board.newsSince([])).toEqual([]);
  });
});
