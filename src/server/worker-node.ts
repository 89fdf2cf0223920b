import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BeatBoard } from '../actors/beat-board';
import type { ReplicaHosts } from '../actors/ports';
import { destroyReplica, replicaIndexPath } from '../actors/replica-options';
import { SupervisorActor, type SupervisorStatus } from '../actors/supervisor';
import { VectronError } from '../base/errors';
import type { NodeName, ReplicaId } from '../base/ids';
import { encode } from '../protocol/codec';
import { at, beatsActor, gatewayActor, lanes, logActor, replicaActor, supervisorActor } from '../protocol/envelope';
import { type ReplicaSpec, replicaSpecCodec } from '../protocol/records';
import { type DedicatedSpec, MachineRuntime } from '../runtime/node/machine';
import { defaultGroupsPerThread } from '../runtime/node/shard-pool';
import { clearQuarantine } from '../shard/quarantine';
import type { MachineStores } from '../storage/node/machine-stores';
import { createNativeEngine } from '../vector/node/native-engine';
import { messageOf, type NodeOptions } from './node-options';
import { openWorkerStores } from './stores';
import type { GatewayThreadData } from './threads/gateway-thread';
import type { LinkThreadData } from './threads/link-thread';
import type { ShardThreadData } from './threads/shard-thread';

export interface WorkerOptions extends NodeOptions {
  readonly shardThreads: number;
  /** Points are not linked into graphs: see ReplicaOptions. */
  readonly ingest: boolean;
  /** That the vector indexes of this process may take; 0: a share of its memory. */
  readonly indexBytesMax: number;
  readonly zone: string;
  readonly rack: string;
  /** Where this worker serves the public API itself; null: gateways of their own do. */
  readonly gateway: Pick<GatewayThreadData, 'grpcAddress' | 'httpAddress' | 'apiKeys'> | null;
}

const noBytes = new Uint8Array(0);
const graphs = 'graphs';
const gatewayMsMax = 30_000;
const pollMs = 10;

/**
 * A worker: supervisor on the main thread, link thread, log thread, a pool of shard threads, and if asked for a gateway on a
 * thread of its own. It owns the machine's stores and closes them last.
 */
export class WorkerNode implements ReplicaHosts {
  private readonly engine = createNativeEngine();
  private readonly indexDirectory: string;
  /** Replicas that end in order to be destroyed. */
  private readonly doomed = new Set<ReplicaId>();
  readonly machine: MachineRuntime;
  private supervisor: SupervisorActor | null = null;

  private constructor(
    private readonly options: WorkerOptions,
    private readonly stores: MachineStores,
  ) {
    this.indexDirectory = join(options.dataDirectory, graphs);
    mkdirSync(this.indexDirectory, { recursive: true });
    this.machine = this.makeMachine();
  }

  static async start(options: WorkerOptions): Promise<WorkerNode> {
    const stores = await openWorkerStores(options.dataDirectory, { clusterId: options.cluster }, options.report);
    const worker = new WorkerNode(options, stores);
    await worker.machine.start();
    worker.machine.setPeers(options.placement);
    worker.startSupervisor();
    try {
      await worker.gatewayServes();
      return worker;
    } catch (error) {
      await worker.stop();
      throw error;
    }
  }

  get node(): NodeName {
    return this.options.node;
  }

  /** The placement driver knows this worker, and every replica it is to run knows its leader. */
  get isReady(): boolean {
    return this.supervisor?.isReady() ?? false;
  }

  /** What the supervisor runs; null before it has started. */
  status(): SupervisorStatus | null {
    return this.supervisor?.status() ?? null;
  }

  // ReplicaHosts

  /** A supervisor that was started again starts what still runs. */
  start(spec: ReplicaSpec): void {
    const name = replicaActor(spec.replica);
    if (!this.machine.pool.isHosted(name)) this.machine.startShardActor(name, encode(replicaSpecCodec, spec));
  }

  destroy(replica: ReplicaId): void {
    const name = replicaActor(replica);
    if (!this.machine.pool.isHosted(name)) return this.destroyNow(replica);
    this.doomed.add(replica);
    this.machine.stopShardActor(name, 'removed');
  }

  forget(replica: ReplicaId): void {
    clearQuarantine(this.stores.stateStore, replica);
  }

  async stop(): Promise<void> {
    await this.machine.stop();
    await this.stores.close();
  }

  /** As if the machine had lost power, but for what its stores hold: nothing is flushed, nobody is told. */
  async kill(): Promise<void> {
    await this.machine.kill();
    await this.stores.close();
  }

  private destroyNow(replica: ReplicaId): void {
    const { cluster, node } = this.options;
    destroyReplica({ cluster, replica }, node, {
      state: this.stores.stateStore,
      engine: this.engine,
      indexDirectory: this.indexDirectory,
    });
    const graph = replicaIndexPath(this.indexDirectory, replica);
    if (graph !== null) rmSync(graph, { force: true });
    const from = at(node, replicaActor(replica));
    const to = at(node, supervisorActor);
    this.machine.host.deliver(to, from, { kind: 'replica.destroyed', replica }, lanes.completion);
  }

  private shardActorEnded(name: string, reason: string): void {
    for (const replica of this.doomed) {
      if (replicaActor(replica) !== name) continue;
      this.doomed.delete(replica);
      return this.destroyNow(replica);
    }
    this.options.report(`${this.options.node}: ${name} ended: ${reason}`);
    const target = at(this.options.node, name);
    this.machine.host.signal(supervisorActor, { signal: 'down', target, reason });
  }

  private async gatewayServes(): Promise<void> {
    if (this.options.gateway === null) return;
    const until = performance.now() + gatewayMsMax;
    while (this.machine.hub.directory.threadOf(gatewayActor) === undefined) {
      if (performance.now() > until)
        throw new VectronError('UNAVAILABLE', `the gateway does not serve after ${gatewayMsMax} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  private startSupervisor(): void {
    const { cluster, node, zone, rack, placement } = this.options;
    this.supervisor = new SupervisorActor({
      cluster,
      node,
      address: this.machine.linkAddress,
      zone,
      rack,
      storeIncarnation: this.stores.identity.incarnation,
      placementNodes: placement.map((member) => member.node),
      hosts: this,
      links: {
        setPeers: (peers) => this.machine.setPeers(peers.map((peer) => ({ ...peer, node: peer.node as NodeName }))),
      },
      logWriter: at(node, logActor),
    });
    this.machine.host.spawn(supervisorActor, this.supervisor);
  }

  private makeMachine(): MachineRuntime {
    const { node, cluster, link, shardThreads, ingest, indexBytesMax, raft, report } = this.options;
    const { handles } = this.stores;
    const board = BeatBoard.memory(shardThreads * defaultGroupsPerThread);
    const { indexDirectory } = this;
    const shardData: ShardThreadData = { stores: handles, indexDirectory, raft, ingest, indexBytesMax, board };
    return new MachineRuntime({
      node,
      cluster,
      link,
      linkThread: {
        entryFile: require.resolve('./threads/link-thread'),
        workerData: { cluster, raft, board } satisfies LinkThreadData,
        actors: [{ name: beatsActor, descriptor: noBytes }],
      },
      dedicated: [
        {
          name: 'log',
          entryFile: require.resolve('./threads/log-thread'),
          workerData: handles,
          actors: [{ name: logActor, descriptor: noBytes }],
        },
        ...this.gatewayThreads(),
      ],
      shards: { entryFile: require.resolve('./threads/shard-thread'), threads: shardThreads, workerData: shardData },
      onMainActorEnded: (address, reason, error) => this.mainActorEnded(address.actor, reason, error),
      onShardActorEnded: (name, reason) => this.shardActorEnded(name, reason),
      onThreadDown: (what, reason) => report(`${node}: ${what} went down: ${reason}`),
      onProblem: (what, error) => report(`${node}: ${what}: ${messageOf(error)}`),
    });
  }

  private gatewayThreads(): DedicatedSpec[] {
    const { cluster, placement, gateway } = this.options;
    if (gateway === null) return [];
    const workerData: GatewayThreadData = { cluster, placementNodes: placement.map(({ node }) => node), ...gateway };
    const entryFile = require.resolve('./threads/gateway-thread');
    return [{ name: 'gateway', entryFile, workerData, actors: [{ name: gatewayActor, descriptor: noBytes }] }];
  }

  /** The supervisor holds nothing that the log and the placement driver cannot tell a new one. */
  private mainActorEnded(actor: string, reason: string, error: unknown): void {
    if (error === null || actor !== supervisorActor) return;
    this.options.report(`${this.options.node}: supervisor failed (${reason}) and is started again`);
    this.startSupervisor();
  }
}
