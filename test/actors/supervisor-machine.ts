import { expect } from '@jest/globals';
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
import { defaultStorage, type ReplicaSpec, replicaSpecCodec } from '../../src/protocol/records';
import type { Actor, ActorContext } from '../../src/runtime/actor';
import { creation, register } from '../placement/generate';
import { FakeDriver } from './fake-driver';
import { VirtualNodes } from './virtual-nodes';

export const present = <T>(value: T | undefined | null): T => presentOr(value, 'what the test expects');
export const cluster = clusterId('test');
export const node = 'machine-1';
export const home = nodeName(node);
export const supervisorAt = at(home, supervisorActor);

/** The replicas a store remembers, over restarts of its process. */
export type Disk = Map<ReplicaId, { removed: boolean; descriptor: Uint8Array }>;

export class FakeLogWriter implements Actor {
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
export class Machine implements ReplicaHosts, Links {
  readonly nodes: VirtualNodes;
  readonly driver: FakeDriver;
  readonly log: FakeLogWriter;
  readonly started: { readonly replica: ReplicaId; readonly spec: ReplicaSpec; readonly atMs: number }[] = [];
  readonly destroyed: ReplicaId[] = [];
  readonly forgotten: ReplicaId[] = [];
  readonly running = new Set<ReplicaId>();
  readonly peers = new Map<string, string>();
  supervisor: SupervisorActor;
  answersDestroy = true;

  constructor(
    readonly disk: Disk = new Map(),
    options: { readonly driverCluster?: ClusterId; readonly driverUp?: boolean; readonly seed?: number } = {},
  ) {
    this.nodes = new VirtualNodes(options.seed ?? 7);
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

  forget(replica: ReplicaId): void {
    this.forgotten.push(replica);
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

export const local = (replica: number, of: ClusterId = cluster, placementIncarnation = 0): ReplicaSpec => ({
  cluster: of,
  collection: {
    id: collectionId(50),
    name: 'old',
    dimension: 8,
    metric: 'dot',
    hnsw: { m: 16, efConstruction: 100 },
    storage: defaultStorage,
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
export const diskWith = (...specs: ReplicaSpec[]): Disk =>
  new Map(specs.map((spec) => [spec.replica, { removed: false, descriptor: encode(replicaSpecCodec, spec) }]));

/** A machine that runs the three shards of a collection. */
export function machineWithShards(incarnation = 0): Machine {
  const machine = new Machine();
  machine.driver.apply({ kind: 'found', incarnation });
  machine.runUntil(() => machine.driver.machine.worker(workerId(1)) !== null);
  machine.driver.apply(creation('c', 3, 1));
  machine.publish();
  machine.runUntil(() => machine.running.size === 3);
  return machine;
}

/** A driver's state that gives the same ids to other shards, of at least the revision. */
export function strangeMachine(incarnation: number, revisionMin: number): PlacementMachine {
  const strange = new FakeDriver(cluster);
  strange.apply({ kind: 'found', incarnation });
  strange.apply(register(node, { store: 's1' }));
  strange.apply(creation('strange', 3, 1));
  for (let i = 0; strange.machine.revision < revisionMin; i++) strange.apply(register('other', { store: `s${i}` }));
  return strange.machine;
}

export function removal(
  of: Machine,
  replica: ReplicaId,
  changes: Partial<MessageOf<'pd.watchEvent'>['change']['removals'][0]>,
) {
  const { spec } = present(of.started.find((one) => one.replica === replica));
  const base = { cluster, shard: spec.shard.id, replica, worker: workerId(1), confVersion: 1, shardRetired: false };
  return { ...base, revision: of.driver.machine.revision, ...changes };
}

/** Sends an event with one removal record as if the driver had decided it. */
export function sendRemoval(of: Machine, record: ReturnType<typeof removal>, ofCluster: ClusterId = cluster): void {
  const { revision } = of.driver.machine;
  const change = { ...of.driver.machine.changesSince(revision, workerId(1)), removals: [record], cluster: ofCluster };
  const told = present(of.driver.told.findLast((message) => message.kind === 'pd.watchEvent'));
  const event = { ...told, failure: null, term: of.driver.term };
  const from = at(nodeName('pd-1'), placementActor);
  of.nodes.host(node).deliver(supervisorAt, from, { ...event, change, leaders: [] }, lanes.completion);
}
