import { clusterId, nodeName, type ReplicaId, replicaId, shardId, workerId } from '../../src/base/ids';
import type { PlacementOperation } from '../../src/placement/commands';
import { placementCommandCodec } from '../../src/placement/commands';
import { PlacementMachine, type PlacementOutcome } from '../../src/placement/machine';
import { type GroupState, nextStep } from '../../src/placement/moves';
import { encode } from '../../src/protocol/codec';

const shard = shardId(1);
const any = workerId(0);

function apply(machine: PlacementMachine, operation: PlacementOperation): PlacementOutcome {
  return machine.apply(encode(placementCommandCodec, { kind: 'v1', operation }));
}

const register = (machine: PlacementMachine, node: string, store = node): PlacementOutcome =>
  apply(machine, {
    kind: 'registerWorker',
    node: nodeName(node),
    address: '',
    zone: '',
    rack: '',
    storeIncarnation: store,
  });

/** `workers` of them, and a collection of one shard on the first three. */
function cluster(workers: number): PlacementMachine {
  const machine = PlacementMachine.fresh(clusterId('c'));
  for (let i = 1; i <= 3; i++) register(machine, `m${i}`);
  apply(machine, {
    kind: 'createCollection',
    name: 'c',
    dimension: 2,
    metric: 'cosine',
    hnsw: { m: 8, efConstruction: 32 },
    shardCount: 1,
    replicationFactor: 3,
    avoid: [],
  });
  for (let i = 4; i <= workers; i++) register(machine, `m${i}`);
  return machine;
}

const members = (machine: PlacementMachine): [number, string][] =>
  (machine.shard(shard)?.members ?? []).map(({ replica, node }) => [replica, node]);

const move = (machine: PlacementMachine, replica: number, target = any, avoid: number[] = []): PlacementOutcome =>
  apply(machine, { kind: 'moveReplica', shard, replica: replicaId(replica), target, avoid: avoid.map(workerId) });

const settle = (machine: PlacementMachine, confVersion: number, ...voters: number[]): PlacementOutcome =>
  apply(machine, { kind: 'settleMembers', shard, confVersion, voters: voters.map(replicaId) });

describe('a move in the records', () => {
  it('lists the new replica beside the others until the group has settled, and then orders the old one removed', () => {
    const machine = cluster(4);
    expect(move(machine, 102)).toMatchObject({ kind: 'replicaMoving', replica: 103 });
    expect(members(machine)).toEqual([
      [100, 'm1'],
      [101, 'm2'],
      [102, 'm3'],
      [103, 'm4'],
    ]);
    expect(machine.shard(shard)?.epoch.confVersion).toBe(1);
    settle(machine, 5, 100, 101, 103);
    expect(members(machine)).toEqual([
      [100, 'm1'],
      [101, 'm2'],
      [103, 'm4'],
    ]);
    expect([machine.shard(shard)?.epoch.confVersion, machine.moveCount]).toEqual([5, 0]);
    const [removal] = machine.changesSince(machine.revision, workerId(3)).removals;
    expect(removal).toBeUndefined();
    const all = machine.changesSince(0 as never, workerId(3)).removals;
    expect(all).toMatchObject([{ replica: 102, confVersion: 5, shardRetired: false }]);
  });

  it('is the same when it is asked for again, and the only one of its shard', () => {
    const machine = cluster(5);
    const first = move(machine, 102);
    expect(move(machine, 102)).toMatchObject({
      kind: 'replicaMoving',
      replica: (first as { replica: number }).replica,
    });
    expect(move(machine, 101)).toMatchObject({ kind: 'rejected', error: { code: 'RESOURCE_EXHAUSTED' } });
    expect(members(machine)).toHaveLength(4);
  });

  it('takes nothing from what the group did not settle on, or from an earlier configuration', () => {
    const machine = cluster(4);
    move(machine, 102);
    settle(machine, 5, 100, 101, 102);
    settle(machine, 5, 100, 101);
    expect(members(machine)).toHaveLength(4);
    settle(machine, 5, 100, 101, 103);
    const { revision } = machine;
    settle(machine, 9, 100, 101, 103);
    expect(machine.revision).toBe(revision);
  });

  it('goes to no machine that has the shard; with three, to the one that came back with another store', () => {
    const machine = cluster(3);
    expect(move(machine, 102, workerId(1))).toMatchObject({ kind: 'rejected' });
    expect(machine.worker(workerId(3))?.state).toBe('ready');
    register(machine, 'm3', 'another store');
    expect(machine.worker(workerId(3))?.state).toBe('draining');
    expect(move(machine, 102)).toMatchObject({ kind: 'replicaMoving', replica: 103 });
    expect(machine.shard(shard)?.members[3]).toMatchObject({ replica: 103, worker: 4, node: 'm3' });
  });

  it('of a damaged replica goes where it is, for want of another machine', () => {
    const machine = cluster(3);
    move(machine, 102);
    expect(machine.shard(shard)?.members[3]).toMatchObject({ replica: 103, worker: 3 });
  });

  it('begins again elsewhere when the new machine is lost, and leaves nothing of the first try', () => {
    const machine = cluster(5);
    move(machine, 102);
    expect(move(machine, 103, any, [4])).toMatchObject({ kind: 'replicaMoving', replica: 104 });
    expect(machine.move(shard)).toMatchObject({ outgoing: 102, incoming: 104, target: [100, 101, 104] });
    settle(machine, 7, 100, 101, 104);
    expect(members(machine).map(([replica]) => replica)).toEqual([100, 101, 104]);
    expect(machine.isToRemove(workerId(4), replicaId(103))).toBe(true);
    expect(machine.isToRemove(workerId(3), replicaId(102))).toBe(true);
  });

  it('ends with its collection, all replicas removed', () => {
    const machine = cluster(4);
    move(machine, 102);
    apply(machine, { kind: 'deleteCollection', name: 'c' });
    expect(machine.moveCount).toBe(0);
    expect([1, 2, 3, 4].map((id) => machine.isToRemove(workerId(id), replicaId(99 + id)))).toEqual(Array(4).fill(true));
  });

  it('survives being stored', () => {
    const machine = cluster(4);
    move(machine, 102);
    const again = PlacementMachine.restore(machine.serialise());
    expect([again.move(shard), again.digest()]).toEqual([machine.move(shard), machine.digest()]);
  });
});

describe('the steps of a move', () => {
  const record = { id: shard, outgoing: 102, incoming: 103, target: [100, 101, 103] } as never;
  const shardRecord = { epoch: { version: 1, confVersion: 1 }, members: [] } as never;
  const group = (voters: number[], learners: number[], about: Partial<GroupState> = {}): GroupState => ({
    leader: replicaId(100),
    epoch: { version: 1, confVersion: 3 },
    configuration: { voters: voters.map(replicaId), votersOutgoing: [], learners: learners.map(replicaId) },
    changing: false,
    ...about,
  });
  const step = (state: GroupState, mayHandOver = true) => nextStep(record, shardRecord, state, mayHandOver);
  const ids = (...values: number[]): ReplicaId[] => values.map(replicaId);

  it('are: learner, one joint change of places, settled', () => {
    expect(step(group([100, 101, 102], []))).toEqual({
      kind: 'change',
      voters: ids(100, 101, 102),
      learners: ids(103),
    });
    expect(step(group([100, 101, 102], [103]))).toEqual({ kind: 'change', voters: ids(100, 101, 103), learners: [] });
    expect(step(group([100, 101, 103], []))).toEqual({ kind: 'settle' });
  });

  it('wait for a change that is not over, and for a group that is behind the records', () => {
    expect(step(group([100, 101, 102], [103], { changing: true }))).toEqual({ kind: 'wait' });
    expect(step(group([100, 101, 103], [], { epoch: { version: 1, confVersion: 0 } }))).toEqual({ kind: 'wait' });
  });

  it('put the learner of a given-up try away', () => {
    expect(step(group([100, 101, 102], [99]))).toMatchObject({ voters: ids(100, 101, 102), learners: ids(103) });
  });

  it('have a leader that goes hand over first, unless that was in vain', () => {
    const leader = replicaId(102);
    expect(step(group([100, 101, 102], [103], { leader }))).toEqual({ kind: 'handOver', to: replicaId(100) });
    expect(step(group([100, 101, 102], [103], { leader }), false)).toMatchObject({ kind: 'change' });
  });
});
