import { SoftState } from '../../src/actors/placement-driver-soft';
import { clusterId, logIndex, replicaId, shardId, term, workerId } from '../../src/base/ids';
import { monotonicMs } from '../../src/base/time';
import { PlacementMachine } from '../../src/placement/machine';
import type { ReplicaReport } from '../../src/protocol/placement-messages';
import { commandOf, creation, register } from '../placement/generate';

/** Two shards on three workers; replicas 100 to 102 and 103 to 105. */
function machine(): PlacementMachine {
  const built = PlacementMachine.fresh(clusterId('test'));
  for (const node of ['a', 'b', 'c']) built.apply(commandOf(register(node)));
  built.apply(commandOf(creation('c', 2)));
  return built;
}

const report = (leader: number, atTerm: number, epoch: Partial<ReplicaReport['epoch']> = {}): ReplicaReport => ({
  shard: shardId(1),
  replica: replicaId(100),
  epoch: { version: 1, confVersion: 1, ...epoch },
  term: term(atTerm),
  leader: replicaId(leader),
  appliedIndex: logIndex(1),
  points: 0,
});

describe('SoftState', () => {
  const placed = machine();
  const fresh = (): SoftState => new SoftState(monotonicMs(0), 30_000);
  const hear = (soft: SoftState, one: ReplicaReport): number =>
    soft.heartbeat(workerId(1), [one], placed, monotonicMs(1)).length;
  const leaderOf = (soft: SoftState): number | undefined => soft.leaders(placed)[0]?.leader;

  test('the leader of the highest term counts, in whatever order reports come', () => {
    const soft = fresh();
    expect(hear(soft, report(100, 3))).toBe(1);
    expect(hear(soft, report(101, 2))).toBe(0);
    expect(hear(soft, report(102, 3))).toBe(0);
    expect(leaderOf(soft)).toBe(100);
    expect(hear(soft, report(102, 4))).toBe(1);
    expect(leaderOf(soft)).toBe(102);
  });

  test('both parts of the epoch must be at least the known ones; a newer epoch counts in any term', () => {
    const soft = fresh();
    expect(hear(soft, report(100, 9, { version: 0 }))).toBe(0);
    expect(hear(soft, report(100, 9, { confVersion: 0 }))).toBe(0);
    expect(hear(soft, report(100, 9))).toBe(1);
    expect(hear(soft, report(777, 2, { confVersion: 2 }))).toBe(1);
    expect(hear(soft, report(100, 10))).toBe(0);
    expect(hear(soft, report(100, 10, { version: 2 }))).toBe(0);
    expect(hear(soft, report(100, 1, { version: 2, confVersion: 2 }))).toBe(1);
  });

  test('nobody leads by not being known, not being a member, or in a shard that does not exist', () => {
    const soft = fresh();
    expect(hear(soft, report(0, 5))).toBe(0);
    expect(hear(soft, report(103, 5))).toBe(0);
    expect(hear(soft, { ...report(100, 5), shard: shardId(9) })).toBe(0);
    expect(soft.leaders(placed)).toEqual([]);
  });

  test('the hints of retired shards are gone', () => {
    const changing = machine();
    const soft = fresh();
    soft.heartbeat(workerId(1), [report(100, 1)], changing, monotonicMs(1));
    changing.apply(commandOf({ kind: 'deleteCollection', name: 'c' }));
    expect(soft.leaders(changing)).toEqual([]);
  });

  test('everybody has half a minute to speak to a new leader', () => {
    const soft = new SoftState(monotonicMs(1_000), 30_000);
    expect(soft.unhealthy(placed, monotonicMs(31_000))).toEqual([]);
    soft.heartbeat(workerId(2), [], placed, monotonicMs(20_000));
    expect(soft.unhealthy(placed, monotonicMs(31_001))).toEqual([1, 3]);
    expect(soft.unhealthy(placed, monotonicMs(50_001))).toEqual([1, 2, 3]);
  });

  test('faults count from the worker that has the replica, while they are repeated and it is a member', () => {
    const soft = fresh();
    const fault = (replica: number) => ({
      shard: shardId(1),
      replica: replicaId(replica),
      epoch: { version: 1, confVersion: 1 },
      state: 'damaged' as const,
      reason: 'a flipped bit',
    });
    const members = placed.shard(1)?.members ?? [];
    const [first, second] = members;
    if (first === undefined || second === undefined) throw new Error('a shard without members');
    soft.faulted(first.worker, [fault(first.replica), fault(second.replica), fault(777)], placed, monotonicMs(5));
    expect(soft.faults(placed, monotonicMs(6)).map(({ replica }) => replica)).toEqual([first.replica]);
    expect(soft.faults(placed, monotonicMs(30_006))).toEqual([]);
  });
});
