import { describe, expect, test } from '@jest/globals';
import { clusterId, nodeName, replicaId, term, workerId } from '../../src/base/ids';
import { PlacementMachine } from '../../src/placement/machine';
import { at, lanes, placementActor } from '../../src/protocol/envelope';
import { creation, register } from '../placement/generate';
import { idsOf } from './fake-driver';
import {
  cluster,
  diskWith,
  local,
  Machine,
  machineWithShards,
  node,
  present,
  strangeMachine,
  supervisorAt,
} from './supervisor-machine';

describe('SupervisorActor: whom it obeys', () => {
  test('a foreign store is left alone, a foreign driver is not obeyed', () => {
    const foreign = clusterId('foreign');
    const machine = new Machine(diskWith(local(200, foreign), local(201)), { driverCluster: foreign });
    machine.driver.apply(register(node, { store: 's1' }));
    machine.driver.apply(creation('c', 2, 1));
    machine.runFor(60_000);
    expect(idsOf(machine.running)).toEqual([201]);
    expect(machine.supervisor.unusableCount).toBe(1);
    expect(machine.supervisor.status().worker).toBe(0);
  });

  test('a driver that has lost its history, or leads in a past term, is not obeyed', () => {
    const machine = machineWithShards();
    for (const name of ['d', 'e', 'f']) machine.driver.apply(creation(name, 1, 1));
    machine.publish();
    machine.runUntil(() => machine.running.size === 6);
    const before = idsOf(machine.running);
    machine.driver.machine = PlacementMachine.fresh(cluster);
    machine.driver.apply(register(node, { store: 's1' }));
    machine.driver.apply(creation('other', 10, 1));
    machine.driver.apply({ kind: 'deleteCollection', name: 'other' });
    machine.publish();
    machine.runFor(30_000);
    expect(machine.destroyed).toEqual([]);
    expect(idsOf(machine.running)).toEqual(before);

    const late = machineWithShards();
    late.driver.term = term(5);
    late.runFor(10_000);
    late.driver.term = term(4);
    late.driver.apply({ kind: 'deleteCollection', name: 'c' });
    late.publish();
    late.runFor(30_000);
    expect(late.destroyed).toEqual([]);
    late.driver.term = term(6);
    late.runUntil(() => late.destroyed.length === 3);
  });

  test('what an earlier process of its name was told is not taken for an answer to this one', () => {
    const { driver } = machineWithShards();
    expect(new Set(driver.told.map(({ kind }) => kind))).toContain('pd.workerRegistered');
    const emptied = new Machine(new Map(), { driverUp: false, seed: 8 });
    for (const message of driver.told) {
      emptied.nodes.host(node).deliver(supervisorAt, at(nodeName('pd-1'), placementActor), message, lanes.completion);
      emptied.runFor(20);
    }
    expect(emptied.supervisor.status().worker).toBe(0);
    expect(emptied.started).toEqual([]);
  });

  test('it registers again when the driver takes another store of its node for the node', () => {
    const machine = machineWithShards();
    const worker = machine.supervisor.status().worker;
    const stateOf = (): string | undefined => machine.driver.machine.worker(worker)?.state;
    expect(stateOf()).toBe('ready');
    machine.driver.apply(register(node, { store: 's0' }));
    expect(stateOf()).toBe('draining');
    machine.publish();
    machine.runUntil(() => stateOf() === 'ready');
    expect(machine.supervisor.status().worker).toBe(worker);
  });

  test('a driver that started from nothing is not obeyed while a replica of the old one is here', () => {
    const machine = machineWithShards(7);
    const before = idsOf(machine.running);
    const old = machine.driver.machine;
    const strange = strangeMachine(8, old.revision + 5);
    machine.driver.machine = strange;
    // Orders to remove the same replica ids of the same shard ids, which here hold other points.
    machine.driver.apply({ kind: 'deleteCollection', name: 'strange' });
    expect(strange.isToRemove(workerId(1), replicaId(before[0] as number))).toBe(true);
    machine.publish();
    machine.runFor(30_000);
    expect([idsOf(machine.running), machine.destroyed]).toEqual([before, []]);
    expect(machine.supervisor.status().refusal).toContain('incarnation is 8, not 7');

    const again = new Machine(machine.disk);
    again.driver.machine = strange;
    again.runFor(30_000);
    expect([idsOf(again.running), again.destroyed]).toEqual([before, []]);
    expect(again.started.every(({ spec }) => spec.collection.name === 'c')).toBe(true);
    expect(again.supervisor.status()).toMatchObject({ worker: 0, ready: false });
    again.driver.machine = old;
    again.runUntil(() => again.supervisor.status().worker === 1);
    again.driver.apply({ kind: 'deleteCollection', name: 'c' });
    again.publish();
    again.runUntil(() => again.log.removedNow.length === 3);
  });

  test('one that registered before its log was listed forgets the driver it must not obey', () => {
    const machine = new Machine(diskWith(local(200, cluster, 7)));
    machine.log.silent = true;
    machine.driver.machine = strangeMachine(8, 10);
    machine.runUntil(() => machine.supervisor.status().worker !== 0);
    machine.log.silent = false;
    machine.runFor(30_000);
    expect(idsOf(machine.running)).toEqual([200]);
    expect(machine.supervisor.status().worker).toBe(0);
  });

  test('with no replica here, any incarnation is obeyed', () => {
    const machine = new Machine();
    machine.driver.machine = strangeMachine(8, 10);
    machine.runUntil(() => machine.running.size === 3);
    expect(machine.started.map(({ spec }) => spec.placementIncarnation)).toEqual([8, 8, 8]);
  });

  test('an assignment that names a known replica for another shard or collection is refused', () => {
    const machine = new Machine(diskWith(local(100)));
    machine.runUntil(() => machine.driver.machine.worker(workerId(1)) !== null);
    machine.driver.apply(creation('c', 2, 1));
    machine.publish();
    machine.runUntil(() => machine.running.size === 2);
    for (const replica of machine.running) machine.report(replica, replica);
    machine.runFor(1_000);
    expect(present(machine.started.find(({ replica }) => replica === 100)).spec.collection.name).toBe('old');
    const status = machine.supervisor.status();
    expect(status.refusal).toContain('replica 100 was assigned again');
    expect(status.ready).toBe(false);
    expect(status.replicas.map(({ replica, orphan }) => [replica, orphan])).toEqual([
      [100, true],
      [101, false],
    ]);
  });

  test('a replica stored before incarnations existed starts, and binds its worker to none', () => {
    const disk = diskWith(local(200));
    for (const kept of disk.values()) kept.descriptor = kept.descriptor.slice(0, -1);
    const machine = new Machine(disk);
    machine.driver.machine = strangeMachine(8, 1);
    machine.runUntil(() => machine.running.size === 4);
    expect(machine.supervisor.unusableCount).toBe(0);
  });
});
