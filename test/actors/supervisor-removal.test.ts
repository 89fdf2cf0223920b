import { describe, expect, test } from '@jest/globals';
import { clusterId, replicaId, shardId, workerId } from '../../src/base/ids';
import { PlacementMachine } from '../../src/placement/machine';
import { creation } from '../placement/generate';
import { idsOf } from './fake-driver';
import { diskWith, local, Machine, machineWithShards, present, removal, sendRemoval } from './supervisor-machine';

describe('SupervisorActor: removal', () => {
  test('a deleted collection: each replica is destroyed, unlogged and confirmed, down to the last one', () => {
    const machine = machineWithShards();
    const replicas = idsOf(machine.running);
    machine.driver.apply({ kind: 'deleteCollection', name: 'c' });
    machine.publish();
    machine.runUntil(() => machine.driver.heartbeats.some((heartbeat) => heartbeat.removed.length === 3));
    expect(idsOf(machine.destroyed)).toEqual(replicas);
    expect(idsOf(machine.log.removedNow)).toEqual(replicas);
    expect(idsOf(machine.forgotten)).toEqual(replicas);
    // Whether the last deletion was on disk before a restart is not known: it is repeated.
    const again = new Machine(machine.disk);
    again.runFor(1_000);
    expect(idsOf(again.forgotten)).toEqual(replicas);
    machine.runFor(100);
    expect(machine.driver.machine.isToRemove(workerId(1), replicaId(replicas[0] as number))).toBe(false);
    machine.runFor(20_000);
    expect(machine.driver.heartbeats.at(-1)?.removed).toEqual([]);
    expect(machine.supervisor.status().replicas).toEqual([]);
  });

  test('a removal whose steps are not answered is driven on, also over a restart', () => {
    const machine = machineWithShards();
    machine.answersDestroy = false;
    machine.driver.apply({ kind: 'deleteCollection', name: 'c' });
    machine.publish();
    machine.runUntil(() => machine.destroyed.length === 6);
    expect(machine.log.removedNow).toEqual([]);
    const again = new Machine(machine.disk);
    again.driver.machine = machine.driver.machine;
    again.runUntil(() => again.log.removedNow.length === 3);
    again.runFor(10_000);
    expect(again.running.size).toBe(0);
    expect(
      PlacementMachine.restore(again.driver.machine.serialise())
        .rows()
        .some((row) => row.kind === 'removal'),
    ).toBe(false);
  });

  test('removal records that do not match are refused', () => {
    const machine = machineWithShards();
    const replica = present([...machine.running][0]);
    machine.report(replica, replica, 1, 4);
    machine.runFor(10);
    sendRemoval(machine, removal(machine, replica, { confVersion: 3 }));
    sendRemoval(machine, removal(machine, replica, { confVersion: 9, cluster: clusterId('other') }));
    sendRemoval(machine, removal(machine, replica, { confVersion: 9, shard: shardId(77) }));
    sendRemoval(machine, removal(machine, replica, { confVersion: 9, worker: workerId(2) }));
    sendRemoval(machine, removal(machine, replica, { confVersion: 9 }), clusterId('other'));
    machine.runFor(10_000);
    expect(machine.destroyed).toEqual([]);
    sendRemoval(machine, removal(machine, replica, { confVersion: 4 }));
    machine.runUntil(() => machine.log.removedNow.length === 1);
    expect(machine.destroyed).toEqual([replica]);
  });

  test('a removed replica is never started again, whatever is assigned', () => {
    const disk = diskWith(local(200));
    disk.set(replicaId(100), { removed: true, descriptor: new Uint8Array(0) });
    const machine = new Machine(disk);
    machine.runUntil(() => machine.driver.machine.worker(workerId(1)) !== null);
    machine.driver.apply(creation('c', 2, 1));
    machine.publish();
    machine.runUntil(() => machine.running.has(replicaId(101)));
    machine.runFor(10_000);
    expect(idsOf(machine.running)).toEqual([101, 200]);
  });

  test('a replica that is not listed is kept, and shown as an orphan', () => {
    const machine = new Machine(diskWith(local(200)));
    machine.runUntil(() => machine.supervisor.status().replicas.some((replica) => replica.orphan));
    machine.runFor(60_000);
    expect(idsOf(machine.running)).toEqual([200]);
    expect(machine.destroyed).toEqual([]);
  });
});
