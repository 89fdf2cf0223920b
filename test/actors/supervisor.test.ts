import { describe, expect, test } from '@jest/globals';
import { nodeName, workerId } from '../../src/base/ids';
import { lanes } from '../../src/protocol/envelope';
import type { Message } from '../../src/protocol/messages';
import type { Actor } from '../../src/runtime/actor';
import { creation } from '../placement/generate';
import { idsOf } from './fake-driver';
import { diskWith, local, Machine, machineWithShards, node, present, supervisorAt } from './supervisor-machine';

describe('SupervisorActor', () => {
  test('registers, starts what is assigned, connects to the others, and says when it is ready', () => {
    const machine = machineWithShards();
    expect(machine.driver.machine.worker(workerId(1))).toMatchObject({ node, zone: 'z', rack: 'r', state: 'ready' });
    expect(machine.started.every((one) => one.spec.bootstrap && one.spec.collection.name === 'c')).toBe(true);
    expect([...machine.peers]).toEqual([[node, 'machine-1:7000']]);
    expect(machine.supervisor.isReady()).toBe(false);
    for (const replica of machine.running) machine.report(replica, replica);
    machine.runUntil(() => machine.supervisor.isReady());
  });

  test('starts local replicas with the placement driver down for ever', () => {
    const machine = new Machine(diskWith(local(200), local(201)), { driverUp: false });
    machine.runUntil(() => machine.running.size === 2, 1_000);
    machine.runFor(600_000);
    expect(idsOf(machine.running)).toEqual([200, 201]);
    expect(machine.destroyed).toEqual([]);
  });

  test('waits for the log to be listed, and asks again', () => {
    const machine = new Machine();
    machine.log.silent = true;
    machine.runFor(10_000);
    machine.driver.apply(creation('c', 1, 1));
    machine.runFor(10_000);
    expect(machine.started).toEqual([]);
    machine.log.silent = false;
    machine.runUntil(() => machine.running.size === 1, 3_000);
  });

  test('takes for the first members those its shard was created with, also when one is to move in', () => {
    const machine = new Machine();
    machine.log.silent = true;
    machine.runFor(10_000);
    const { driver } = machine;
    driver.apply(creation('c', 1, 1));
    const other = { address: 'machine-9:7000', zone: 'z', rack: 'r', storeIncarnation: 'store-9' };
    driver.apply({ kind: 'registerWorker', node: nodeName('machine-9'), ...other });
    const [shard] = driver.machine.shards();
    const [first] = present(shard).members;
    const replica = present(first).replica;
    driver.apply({ kind: 'moveReplica', shard: present(shard).id, replica, target: workerId(2), avoid: [] });
    machine.log.silent = false;
    machine.runUntil(() => machine.running.size === 1, 3_000);
    const [started] = machine.started;
    expect(present(started).spec).toMatchObject({ replica, bootstrap: true });
    expect(present(started).spec.shard.members).toHaveLength(2);
  });

  test('tells again and again which levels it supports, as an earlier word may come late', () => {
    const machine = machineWithShards();
    const { driver } = machine;
    machine.runUntil(() => driver.supportsHeard > 0, 10_000);
    const [heard, beats] = [driver.supportsHeard, driver.heartbeats.length];
    machine.runUntil(() => driver.supportsHeard >= heard + 2, 120_000);
    expect(driver.heartbeats.length - beats).toBeGreaterThanOrEqual(6);
  });

  test('keeps its worker id over a restart', () => {
    const machine = machineWithShards();
    const again = new Machine(machine.disk);
    again.driver.machine = machine.driver.machine;
    again.runUntil(() => again.supervisor.status().worker !== 0);
    expect(again.supervisor.status().worker).toBe(1);
    expect(idsOf(again.running)).toEqual(idsOf(machine.running));
    expect(again.started).toHaveLength(3);
  });

  test('a replica that ends is started again, ever later, and soon again once it was stable', () => {
    const machine = machineWithShards();
    const replica = present([...machine.running][0]);
    for (let i = 0; i < 5; i++) {
      machine.end(replica);
      machine.runUntil(() => machine.running.has(replica));
    }
    const times = machine.startTimes(replica);
    const delays = times.slice(1).map((atMs, i) => atMs - present(times[i]));
    expect(delays[0]).toBeLessThanOrEqual(100);
    expect(present(delays[4])).toBeGreaterThan(present(delays[0]) * 8);
    expect(machine.supervisor.status().replicas.find((one) => one.replica === replica)?.restarts).toBe(5);
    machine.runFor(40_000);
    machine.end(replica);
    machine.runUntil(() => machine.running.has(replica), 100);
    expect(machine.startTimes(present([...machine.running].find((one) => one !== replica)))).toHaveLength(1);
  });

  test('a lost event is noticed and asked for again', () => {
    const machine = machineWithShards();
    let losing = true;
    machine.nodes.lose = (_to, _from, message) => losing && message.kind === 'pd.watchEvent';
    machine.driver.apply(creation('lost', 2, 1));
    machine.publish();
    machine.runFor(20);
    losing = false;
    machine.driver.apply(creation('later', 1, 1));
    machine.publish();
    machine.runUntil(() => machine.running.size === 6, 1_000);
  });

  test('a change of leader is reported at once, everything else every five seconds', () => {
    const machine = machineWithShards();
    machine.runFor(6_000);
    const replica = present([...machine.running][0]);
    machine.report(replica, replica);
    machine.runFor(100);
    const { replicas } = present(machine.driver.heartbeats.at(-1));
    expect(replicas).toMatchObject([{ replica, leader: replica }]);
    const count = machine.driver.heartbeats.length;
    machine.report(replica, replica);
    machine.runFor(100);
    expect(machine.driver.heartbeats).toHaveLength(count);
    machine.report(replica, replica, 2);
    machine.runFor(100);
    expect(machine.driver.heartbeats).toHaveLength(count + 1);
    machine.runFor(50_000);
    expect(machine.driver.heartbeats.length - count).toBeGreaterThanOrEqual(9);
    expect(machine.driver.heartbeats.length - count).toBeLessThanOrEqual(13);
  });

  test('answers on its machine what it runs', () => {
    const machine = machineWithShards();
    const replies: Message[] = [];
    const asker: Actor = {
      started: (context) => context.send(supervisorAt, { kind: 'supervisor.status', request: 9 }, lanes.data),
      receive: (message) => replies.push(message),
      signalled: () => undefined,
      stopped: () => undefined,
    };
    machine.nodes.spawn(node, 'asker', asker);
    machine.runUntil(() => replies.length === 1);
    expect(replies[0]).toMatchObject({ kind: 'supervisor.statusReply', request: 9, ready: false, worker: 1 });
  });
});
