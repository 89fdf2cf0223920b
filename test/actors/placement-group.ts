import { LogWriter } from '../../src/actors/log-writer';
import type { PlacementClientOwner } from '../../src/actors/placement-calls';
import { PlacementClient } from '../../src/actors/placement-client';
import { PlacementDriverActor } from '../../src/actors/placement-driver';
import { raftMemberTuning } from '../../src/actors/raft-member-options';
import { assert } from '../../src/base/assert';
import { type ClusterId, clusterId, type NodeName, nodeName, replicaId, workerId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { type Address, at, logActor, placementActor } from '../../src/protocol/envelope';
import { type FlagRange, flagRange } from '../../src/protocol/flags';
import type { Message, MessageOf } from '../../src/protocol/messages';
import type { LeaderHint, PlacementChange } from '../../src/protocol/placement-messages';
import { defaultStorage } from '../../src/protocol/records';
import type { Actor, ActorContext, Signal } from '../../src/runtime/actor';
import type { AskOutcome } from '../../src/runtime/asks';
import { MemoryDisk } from '../../src/storage/memory-disk';
import { creation } from '../placement/generate';
import { VirtualNodes } from './virtual-nodes';

export const cluster = clusterId('test');
export const driverNodes = ['pd-1', 'pd-2', 'pd-3'].map(nodeName);

/** The placement driver's three nodes with their disks, on virtual time. */
export class PlacementGroup {
  readonly nodes: VirtualNodes;
  readonly drivers = new Map<NodeName, PlacementDriverActor>();
  private readonly disks = new Map<NodeName, MemoryDisk>();
  private readonly random: Prng;

  /** A small log window, so that members that were away need snapshots. */
  constructor(
    seed: number,
    private readonly logWindowBytes = 4_096,
    /** The levels that the program of a node supports when it starts. */
    public rangeOf: (node: NodeName) => FlagRange = () => flagRange,
  ) {
    this.nodes = new VirtualNodes(seed);
    this.random = new Prng(seed);
    for (const node of driverNodes) {
      this.disks.set(node, new MemoryDisk());
      this.boot(node);
    }
  }

  boot(node: NodeName): void {
    const disk = this.disks.get(node);
    assert(disk !== undefined, `no disk of ${node}`);
    this.nodes.spawn(node, logActor, new LogWriter({ engine: disk.openLog(), state: disk.state, stateSyncMs: 1_000 }));
    const driver = new PlacementDriverActor({
      cluster,
      self: replicaId(driverNodes.indexOf(node) + 1),
      members: driverNodes.map((name, i) => ({ replica: replicaId(i + 1), node: name })),
      state: disk.state,
      logWriter: at(node, logActor),
      flags: this.rangeOf(node),
      options: { raft: { ...raftMemberTuning, logWindowBytes: this.logWindowBytes } },
    });
    this.drivers.set(node, driver);
    this.nodes.spawn(node, placementActor, driver);
  }

  /** Power is cut: what was not synced may be gone. */
  crash(node: NodeName): void {
    this.nodes.kill(node);
    this.drivers.delete(node);
    this.disks.get(node)?.crash(this.random);
  }

  get leader(): NodeName | null {
    for (const [node, driver] of this.drivers) if (driver.isServing) return node;
    return null;
  }

  awaitLeader(): NodeName {
    this.runUntil(() => this.leader !== null);
    assert(this.leader !== null, 'a leader');
    return this.leader;
  }

  runUntil(done: () => boolean, timeoutMs = 30_000): void {
    const reached = this.nodes.run(timeoutMs, done);
    expect(this.nodes.thrown).toEqual([]);
    expect(reached).toBe(true);
  }

  spawnGateway(name: string, of: ClusterId = cluster): Gateway {
    const gateway = new Gateway(of);
    this.nodes.spawn(name, 'gateway', gateway);
    return gateway;
  }

  /** Runs on until all nodes that are up hold the same, and says what. */
  agreedState(): Uint8Array {
    const states = (): Uint8Array[] => [...this.drivers.values()].map((driver) => driver.machine.serialise());
    const isSame = (): boolean => states().every((state) => Buffer.compare(state, states()[0] ?? state) === 0);
    this.runUntil(isSame);
    const [state] = states();
    assert(state !== undefined, 'a state');
    return state;
  }
}

type CollectionReply = MessageOf<'pd.collectionCreated' | 'pd.collectionDeleted'>;

/** Follows the whole routing and remembers every event. */
export class Gateway implements Actor, PlacementClientOwner {
  readonly client: PlacementClient;
  readonly changes: PlacementChange[] = [];
  readonly hints: LeaderHint[] = [];
  readonly shards = new Set<number>();

  constructor(readonly cluster: ClusterId) {
    this.client = new PlacementClient({ cluster, nodes: driverNodes }, this);
  }

  started(context: ActorContext): void {
    this.client.start(context);
    this.client.watch(workerId(0), context);
  }
  receive(message: Message, from: Address, context: ActorContext): void {
    this.client.receive(message, from, context);
  }
  signalled(signal: Signal, context: ActorContext): void {
    this.client.signalled(signal, context);
  }
  stopped(): void {
    // Holds nothing.
  }
  placementLeaderFound(): void {
    // The watch goes on by itself.
  }
  placementForgot(): void {
    throw new Error('a gateway cannot be forgotten');
  }
  placementChanged(change: PlacementChange, leaders: readonly LeaderHint[]): void {
    this.changes.push(change);
    this.hints.push(...leaders);
    if (change.full) this.shards.clear();
    for (const { id } of change.shards) this.shards.add(id);
    for (const id of change.shardsRetired) this.shards.delete(id);
  }

  create(group: PlacementGroup, on: string, name: string, shardCount = 1): AskOutcome<CollectionReply>[] {
    return this.call(group, on, {
      ...creation(name, shardCount),
      kind: 'pd.createCollection',
      request: 0,
      storage: defaultStorage,
    });
  }

  /** The outcome, once there is one. */
  call(
    group: PlacementGroup,
    on: string,
    message: MessageOf<'pd.createCollection' | 'pd.deleteCollection'>,
  ): AskOutcome<CollectionReply>[] {
    const outcomes: AskOutcome<CollectionReply>[] = [];
    group.nodes.host(on).perform('gateway', (context) => {
      const options = { timeoutMs: 10_000, repeatable: false };
      this.client.call(message, options, (outcome) => outcomes.push(outcome), context);
    });
    return outcomes;
  }
}
