import type { Links, ReplicaHosts } from '../../src/actors/ports';
import { SupervisorActor } from '../../src/actors/supervisor';
import { present as presentOr } from '../../src/base/assert';
import {
  type ClusterId,
  clusterId,
  collectionId,
  logIndex,
  nodeName,
  type ReplicaId,
  replicaId,
  shardId,
  term,
  workerId,
} from '../../src/base/ids';
import { PlacementMachine } from '../../src/placement/machine';
import { encode } from '../../src/protocol/codec';
import { at, lanes, logActor, placementActor, replicaActor, supervisorActor } from '../../src/protocol/envelope';
import { tile } from '../../src/protocol/key-hash';
import type { Message, MessageOf } from '../../src/protocol/messages';
import { type ReplicaSpec, replicaSpecCodec } from '../../src/protocol/records';
import type { Actor, ActorContext } from '../../src/runtime/actor';
import { creation, register } from '../placement/generate';
import { FakeDriver, idsOf } from './fake-driver';
import { VirtualNodes } from './virtual-nodes';

const present = <T>(value: T | undefined | null): T => presentOr(value, 'what the test expects');
const cluster = clusterId('test');
const node = 'machine-1';
const home = nodeName(node);
const supervisorAt = at(home, supervisorActor);

/** The replicas a store remembers, over restarts of its process. */
type Disk = Map<ReplicaId, { removed: boolean; descriptor: Uint8Array }>;

class FakeLogWriter implements Actor {
  readonly removedNow: ReplicaId[] = [];
  silent = false;
  constructor(private readonly disk: Disk) {}
  started(): void {
    // Waits to be asked.
  }
  signalled(): void {
    // Has no timers.
  }
  stopped(): void {
    // Holds nothing.
  }
  receive(message: Message, from: typeof supervisorAt, context: ActorContext): void {
    if (this.silent) return;
    if (message.kind === 'log.list') {
      const replicas = [...this.disk].map(([replica, kept]) => ({ replica, ...kept }));
      context.send(from, { kind: 'log.listed', request: message.request, replicas }, lanes.completion);
    } else if (message.kind === 'log.remove') {
      this.disk.set(message.replica, { removed: true, descriptor: new Uint8Array(0) });
      this.removedNow.push(message.replica);
      context.send(from, { kind: 'log.removed', replica: message.replica }, lanes.completion);
    }
  }
}

/** One machine with its supervisor, hosts that only keep count, and a placement driver of one node. */
class Machine implements ReplicaHosts, Links {
  readonly nodes = new VirtualNodes(7);
  readonly driver: FakeDriver;
  readonly log: FakeLogWriter;
  readonly started: { readonly replica: ReplicaId; readonly spec: ReplicaSpec; readonly atMs: number }[] = [];
  readonly destroyed: ReplicaId[] = [];
  readonly running = new Set<ReplicaId>();
  readonly peers = new Map<string, string>();
  supervisor: SupervisorActor;
  answersDestroy = true;

  constructor(
    readonly disk: Disk = new Map(),
    options: { readonly driverCluster?: ClusterId; readonly driverUp?: boolean } = {},
  ) {
    this.driver = new FakeDriver(options.driverCluster ?? cluster);
    this.log = new FakeLogWriter(disk);
    if (options.driverUp !== false) this.startDriver();
    this.nodes.spawn(node, logActor, this.log);
    this.supervisor = this.startSupervisor();
  }

  startDriver(): void {
    this.nodes.spawn('pd-1', placementActor, this.driver);
  }

  startSupervisor(): SupervisorActor {
    this.supervisor = new SupervisorActor({
      cluster,
      node: home,
      address: 'machine-1:7000',
      zone: 'z',
      rack: 'r',
      storeIncarnation: 's1',
      placementNodes: ['pd-1', 'pd-2'].map(nodeName),
      hosts: this,
      links: this,
      logWriter: at(home, logActor),
    });
    this.nodes.spawn(node, supervisorActor, this.supervisor);
    return this.supervisor;
  }

  start(spec: ReplicaSpec): void {
    const { replica } = spec;
    expect(this.running.has(replica)).toBe(false);
    this.started.push({ replica, spec, atMs: this.nodes.nowMs });
    this.running.add(replica);
    if (!this.disk.has(replica)) this.disk.set(replica, { removed: false, descriptor: encode(replicaSpecCodec, spec) });
  }

  destroy(replica: ReplicaId): void {
    this.destroyed.push(replica);
    this.running.delete(replica);
    if (this.answersDestroy) this.tell({ kind: 'replica.destroyed', replica });
  }

  setPeers(peers: readonly { readonly node: string; readonly address: string }[]): void {
    for (const peer of peers) this.peers.set(peer.node, peer.address);
  }

  tell(message: Message): void {
    this.nodes.host(node).deliver(supervisorAt, supervisorAt, message, lanes.completion);
  }

  end(replica: ReplicaId): void {
    this.running.delete(replica);
    const target = at(home, replicaActor(replica));
    this.nodes.host(node).signal(supervisorActor, { signal: 'down', target, reason: 'test' });
  }

  report(replica: ReplicaId, leader: ReplicaId, atTerm = 1, confVersion = 1): void {
    const shard = present(this.started.find((one) => one.replica === replica)).spec.shard.id;
    const epoch = { version: 1, confVersion };
    const progress = { appliedIndex: logIndex(1), points: 0, term: term(atTerm) };
    this.tell({ kind: 'replica.report', report: { shard, replica, epoch, leader, ...progress } });
  }

  /** Something happened in the driver that watchers are to hear of. */
  publish(): void {
    this.nodes.host('pd-1').perform(placementActor, (context) => this.driver.publish(context));
  }

  runUntil(done: () => boolean, timeoutMs = 20_000): void {
    expect(this.nodes.run(timeoutMs, done)).toBe(true);
    expect(this.nodes.thrown).toEqual([]);
  }

  runFor(ms: number): void {
    this.nodes.run(ms);
    expect(this.nodes.thrown).toEqual([]);
  }

  startTimes(replica: ReplicaId): number[] {
    return this.started.filter((one) => one.replica === replica).map((one) => one.atMs);
  }
}

const local = (replica: number, of: ClusterId = cluster, placementIncarnation = 0): ReplicaSpec => ({
  cluster: of,
  collection: {
    id: collectionId(50),
    name: 'old',
    dimension: 8,
    metric: 'dot',
    hnsw: { m: 16, efConstruction: 100 },
    replicationFactor: 1,
    shardIds: [shardId(replica)],
  },
  shard: {
    id: shardId(replica),
    collection: collectionId(50),
    range: present(tile(1)[0]),
    epoch: { version: 1, confVersion: 1 },
    members: [{ replica: replicaId(replica), worker: workerId(1), node: home }],
  },
  replica: replicaId(replica),
  bootstrap: true,
  placementIncarnation,
});
const diskWith = (...specs: ReplicaSpec[]): Disk =>
  new Map(specs.map((spec) => [spec.replica, { removed: false, descriptor: encode(replicaSpecCodec, spec) }]));

/** A machine that runs the three shards of a collection. */
function machineWithShards(incarnation = 0): Machine {
  const machine = new Machine();
  machine.driver.apply({ kind: 'found', incarnation });
  machine.runUntil(() => machine.driver.machine.worker(workerId(1)) !== null);
  machine.driver.apply(creation('c', 3, 1));
  machine.publish();
  machine.runUntil(() => machine.running.size === 3);
  return machine;
}

/** A driver's state that gives the same ids to other shards, of at least the revision. */
function strangeMachine(incarnation: number, revisionMin: number): PlacementMachine {
  const strange = new FakeDriver(cluster);
  strange.apply({ kind: 'found', incarnation });
  strange.apply(register(node, { store: 's1' }));
  strange.apply(creation('strange', 3, 1));
  for (let i = 0; strange.machine.revision < revisionMin; i++) strange.apply(register('other', { store: `s${i}` }));
  return strange.machine;
}

function removal(
  of: Machine,
  replica: ReplicaId,
  changes: Partial<MessageOf<'pd.watchEvent'>['change']['removals'][0]>,
) {
  const { spec } = present(of.started.find((one) => one.replica === replica));
  const base = { cluster, shard: spec.shard.id, replica, worker: workerId(1), confVersion: 1, shardRetired: false };
  return { ...base, revision: of.driver.machine.revision, ...changes };
}

/** Sends an event with one removal record as if the driver had decided it. */
function sendRemoval(of: Machine, record: ReturnType<typeof removal>, ofCluster: ClusterId = cluster): void {
  const { revision } = of.driver.machine;
  const change = { ...of.driver.machine.changesSince(revision, workerId(1)), removals: [record], cluster: ofCluster };
  const event = { kind: 'pd.watchEvent', request: 1_000_000, failure: null, term: of.driver.term } as const;
  const from = at(nodeName('pd-1'), placementActor);
  of.nodes.host(node).deliver(supervisorAt, from, { ...event, change, leaders: [] }, lanes.completion);
}

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

  test('a deleted collection: each replica is destroyed, unlogged and confirmed, down to the last one', () => {
    const machine = machineWithShards();
    const replicas = idsOf(machine.running);
    machine.driver.apply({ kind: 'deleteCollection', name: 'c' });
    machine.publish();
    machine.runUntil(() => machine.driver.heartbeats.some((heartbeat) => heartbeat.removed.length === 3));
    expect(idsOf(machine.destroyed)).toEqual(replicas);
    expect(idsOf(machine.log.removedNow)).toEqual(replicas);
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
