import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { raftMemberTuning } from '../actors/raft-member-options';
import { VectronError } from '../base/errors';
import { clusterId, type NodeName, nodeName, type ReplicaId, replicaId, workerId } from '../base/ids';
import { LinkFabric } from '../runtime/node/link-ports';
import { loadAddon } from '../vector/node/native-engine';
import { readApiKeys } from './api-key';
import { expectPlacementData } from './cluster-file';
import type {
  DevCluster,
  DevClusterOptions,
  KilledReplica,
  ReplicaView,
  ScannedPoint,
  SimulatedMachine,
  ThreadKind,
} from './dev-cluster-types';
import { DirectReads } from './direct-reads';
import { GatewayNode } from './gateway-node';
import type { NodeOptions } from './node-options';
import { PlacementNode } from './placement-node';
import { WorkerNode, type WorkerOptions } from './worker-node';

const machineNames = ['machine-1', 'machine-2', 'machine-3'].map(nodeName);
const placementNames = ['pd-1', 'pd-2', 'pd-3'].map(nodeName);
const gatewayName = nodeName('gateway-1');
const nodeNames = [...machineNames, ...placementNames, gatewayName];
const readyMsMax = 60_000;
const leaderMsMax = 10_000;
const pollMs = 10;
const defaultShardThreads = 2;

/** A simulated machine that can lose power and come back on its data. */
class Machine implements SimulatedMachine {
  private worker: WorkerNode | null = null;

  constructor(private readonly options: WorkerOptions) {}

  get node(): NodeName {
    return this.options.node;
  }
  get alive(): boolean {
    return this.worker !== null;
  }
  get running(): WorkerNode | null {
    return this.worker;
  }
  get replicas(): SimulatedMachine['replicas'] {
    return this.worker?.status()?.replicas ?? [];
  }

  async handledCount(): Promise<number> {
    const threads = (await this.worker?.machine.pool.stats()) ?? [];
    return threads.reduce((sum, thread) => sum + thread.handledCount, 0);
  }

  async restart(): Promise<void> {
    this.worker ??= await WorkerNode.start(this.options);
  }

  async kill(): Promise<void> {
    const { worker } = this;
    this.worker = null;
    await worker?.kill();
  }

  async stop(): Promise<void> {
    const { worker } = this;
    this.worker = null;
    await worker?.stop();
  }

  async killThread(kind: ThreadKind, at: number): Promise<boolean> {
    const machine = this.worker?.machine;
    if (machine === undefined) return false;
    if (kind === 'shard') return await machine.pool.killThread(at);
    const thread = kind === 'log' ? machine.dedicated('log') : machine.linkOwnThread;
    return (await thread?.killThread()) ?? false;
  }
}

/**
 * A whole cluster in one process: three simulated machines, three placement-driver nodes and a gateway, joined by links
 * that can be cut, delayed and reordered. Every part is the one that runs as a process of its own elsewhere.
 */
class LocalCluster implements DevCluster {
  private readonly fabric = new LinkFabric();
  private readonly placement: PlacementNode[] = [];
  private readonly workers: Machine[];
  private gatewayNode: GatewayNode | null = null;
  private direct: DirectReads | null = null;
  private readonly keys: readonly string[];
  readonly dataDirectory: string;

  constructor(private readonly options: DevClusterOptions) {
    this.dataDirectory = resolve(options.dataDirectory);
    mkdirSync(this.dataDirectory, { recursive: true });
    expectPlacementData(this.dataDirectory, machineNames, placementNames);
    this.keys = readApiKeys(options.apiKeyFile ?? join(this.dataDirectory, 'api-key'));
    this.workers = machineNames.map((node) => {
      const { shardThreads = defaultShardThreads, ingest = false, indexBytesMax = 0 } = options;
      return new Machine({
        ...this.nodeOptions(node),
        shardThreads,
        ingest,
        indexBytesMax,
        zone: '',
        rack: '',
        gateway: null,
      });
    });
  }

  async start(): Promise<void> {
    loadAddon();
    this.say('starting three placement-driver nodes');
    await this.startPlacement();
    this.say('starting three machines');
    await allOf(this.workers.map((worker) => worker.restart()));
    this.say('starting the gateway');
    const { grpcPort = 0, httpPort = 0, host = '127.0.0.1' } = this.options;
    this.gatewayNode = await GatewayNode.start({
      ...this.nodeOptions(gatewayName),
      host,
      grpcPort,
      httpPort,
      apiKeys: this.keys,
    });
    this.direct = new DirectReads(this.gateway.machine);
    this.say('waiting until every shard has a leader');
    await this.gateway.ready(readyMsMax);
    await until(() => this.workers.every((worker) => worker.running?.isReady === true), 'every machine is registered');
  }

  /** A node whose stores are corrupt stays down: the others are a majority without it. */
  private async startPlacement(): Promise<void> {
    const corrupt: VectronError[] = [];
    await allOf(
      placementNames.map(async (node) => {
        try {
          this.placement.push(await PlacementNode.start(this.nodeOptions(node)));
        } catch (error) {
          if (!(error instanceof VectronError) || error.code !== 'CORRUPT') throw error;
          this.say(`${node} stays down: ${error.message}`);
          corrupt.push(error);
        }
      }),
    );
    if (corrupt[0] !== undefined && this.placement.length * 2 <= placementNames.length) throw corrupt[0];
  }

  private get gateway(): GatewayNode {
    if (this.gatewayNode === null) throw new Error('the cluster is not running');
    return this.gatewayNode;
  }
  private get reads(): DirectReads {
    if (this.direct === null) throw new Error('the cluster is not running');
    return this.direct;
  }
  get grpcAddress(): string {
    return this.gateway.grpcAddress;
  }
  get httpAddress(): string {
    return this.gateway.httpAddress;
  }
  get apiKey(): string {
    return this.keys[0] as string;
  }
  get machines(): readonly SimulatedMachine[] {
    return this.workers;
  }

  async killLeaderActor(collection: string, shardIndex: number): Promise<KilledReplica> {
    const leader = await this.leaderOf(collection, shardIndex);
    this.workerOf(leader.node).machine.pool.killActor(`replica/${leader.replica}`);
    return leader;
  }

  async killLeaderThread(collection: string, shardIndex: number): Promise<KilledReplica> {
    const leader = await this.leaderOf(collection, shardIndex);
    await this.workerOf(leader.node).machine.pool.killThreadOf(`replica/${leader.replica}`);
    return leader;
  }

  async killLeaderMachine(collection: string, shardIndex: number): Promise<KilledReplica> {
    const leader = await this.leaderOf(collection, shardIndex);
    await this.workers.find((worker) => worker.node === leader.node)?.kill();
    return leader;
  }

  async replicasOf(collection: string): Promise<readonly ReplicaView[]> {
    const { collection: record, shards } = await this.gateway.backend.call(
      { kind: 'collectionStatus', name: collection },
      5_000,
    );
    const views: ReplicaView[] = [];
    for (const [shardIndex, shard] of record.shardIds.entries()) {
      const replicas = shards.find((state) => state.shard === shard)?.replicas ?? [];
      for (const { replica, node } of replicas) views.push(await this.reads.view({ shard, shardIndex, replica, node }));
    }
    return views;
  }

  scanReplica(replica: ReplicaId): AsyncIterable<ScannedPoint> {
    return this.reads.scan(replica);
  }

  async moveReplica({ shard, replica }: Pick<ReplicaView, 'shard' | 'replica'>): Promise<ReplicaId> {
    const { cluster } = this.nodeOptions(gatewayName);
    const about = { cluster, shard, replica, target: workerId(0) };
    const reply = await this.reads.order(placementNames, (request) => ({ kind: 'pd.moveReplica', request, ...about }));
    return reply.kind === 'pd.replicaMoving' ? reply.replica : replicaId(0);
  }

  async transferLeadership({ shard, replica }: Pick<ReplicaView, 'shard' | 'replica'>): Promise<void> {
    const { cluster } = this.nodeOptions(gatewayName);
    const about = { cluster, shard, replica };
    await this.reads.order(placementNames, (request) => ({ kind: 'pd.transferLeader', request, ...about }));
  }

  isolate(node: NodeName): void {
    for (const other of nodeNames) if (other !== node) this.fabric.cut(node, other);
  }

  heal(): void {
    this.fabric.healAll();
  }

  async stop(): Promise<void> {
    const workers = async (): Promise<void> => allOf(this.workers.map((worker) => worker.stop()));
    const placement = async (): Promise<void> => allOf(this.placement.map((node) => node.stop()));
    // Whatever fails to stop, the rest stops.
    const failures: unknown[] = [];
    for (const part of [async () => this.gatewayNode?.stop(), workers, placement]) {
      await part().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  private async leaderOf(collection: string, shardIndex: number): Promise<KilledReplica> {
    const until = performance.now() + leaderMsMax;
    for (;;) {
      const views = (await this.replicasOf(collection)).filter((view) => view.shardIndex === shardIndex);
      const leaders = views.filter((view) => view.role === 'leader').sort((a, b) => b.term - a.term);
      const [leader] = leaders;
      if (leader !== undefined) return { node: leader.node, shard: leader.shard, replica: leader.replica };
      if (performance.now() > until) throw new Error(`shard ${shardIndex} of ${collection} has no leader`);
    }
  }

  private workerOf(node: NodeName): WorkerNode {
    const worker = this.workers.find((machine) => machine.node === node)?.running;
    if (worker == null) throw new Error(`${node} is down`);
    return worker;
  }

  private nodeOptions(node: NodeName): NodeOptions {
    return {
      cluster: clusterId(this.options.cluster ?? 'vectron-local'),
      node,
      dataDirectory: join(this.dataDirectory, node),
      link: { kind: 'fabric', fabric: this.fabric },
      placement: placementNames.map((name) => ({ node: name, address: '' })),
      raft: this.options.raft ?? raftMemberTuning,
      report: (line) => this.say(line),
    };
  }

  private say(line: string): void {
    this.options.onProgress?.(line);
  }
}

/** Settles when all have settled; then rejects with the first that failed. */
async function allOf(parts: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(parts)) if (result.status === 'rejected') throw result.reason;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + readyMsMax;
  while (!holds()) {
    if (performance.now() > deadline) throw new VectronError('UNAVAILABLE', `not after ${readyMsMax} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Starts a cluster and resolves when every shard has a leader. */
export async function startDevCluster(options: DevClusterOptions): Promise<DevCluster> {
  const cluster = new LocalCluster(options);
  try {
    await cluster.start();
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}
