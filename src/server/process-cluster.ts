import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { VectronError } from '../base/errors';
import { clusterId, type NodeName, nodeName, type ReplicaId, type Revision, replicaId, shardId } from '../base/ids';
import { connect, type VectronClient } from '../client/node';
import { MachineRuntime } from '../runtime/node/machine';
import { readApiKeys } from './api-key';
import type { KilledReplica, ReplicaReader, ReplicaView, ScannedPoint } from './dev-cluster-types';
import { DirectReads } from './direct-reads';
import { freePorts } from './ports';
import { type ProcessKind, ProcessNode } from './process-cluster-child';

export interface ProcessClusterOptions {
  /** Made when it does not exist; every process has its data and its log file here. */
  readonly dataDirectory: string;
  readonly cluster?: string;
  /** Of each kind. Default 3. */
  readonly processesPerKind?: number;
  /** True: workers serve the public API themselves, and there are no processes that only do that. */
  readonly workersServe?: boolean;
  /** Settings for all processes: VECTRON_... */
  readonly environment?: Readonly<Record<string, string>>;
}

const loopback = '127.0.0.1';
const readyMsMax = 60_000;
const leaderMsMax = 10_000;
const pollMs = 20;
const linkHeartbeatMs = 1_000;
const kinds: readonly ProcessKind[] = ['pd', 'worker', 'gateway'];

interface Place {
  readonly kind: ProcessKind;
  readonly node: NodeName;
  readonly link: string;
  readonly grpcPort: number;
  readonly httpPort: number;
}

/**
 * Vectron as it runs in earnest: `vectron pd`, `vectron worker` and `vectron gateway`, each a process of its own on
 * loopback, joined by gRPC links. A node of this process, known to no placement driver, joins the links to read every
 * replica directly. For tests and examples.
 *
 *  1. Ports and directories stay a node's own over all its restarts.
 *  2. No process outlives this one, nor stop().
 */
export class ProcessCluster implements ReplicaReader {
  readonly dataDirectory: string;
  readonly apiKey: string;
  readonly nodes: readonly ProcessNode[];
  private readonly observer: MachineRuntime;
  private readonly reads: DirectReads;
  private readonly client: VectronClient;
  private readonly killAll = (): void => {
    for (const node of this.nodes) node.killNow();
  };

  private constructor(
    private readonly options: ProcessClusterOptions,
    private readonly places: readonly Place[],
  ) {
    this.dataDirectory = resolve(options.dataDirectory);
    mkdirSync(this.dataDirectory, { recursive: true });
    [this.apiKey] = readApiKeys(this.keyFile);
    this.nodes = places.map((place) => this.processOf(place));
    this.observer = observerOf(this.cluster);
    this.reads = new DirectReads(this.observer);
    this.client = connect({ url: this.grpcAddresses[0] ?? '', apiKey: this.apiKey });
    process.once('exit', this.killAll);
  }

  /** Resolves when all gateways are ready and all workers are known to the placement driver. */
  static async start(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const cluster = new ProcessCluster(
      options,
      await choosePlaces(options.processesPerKind ?? 3, options.workersServe ?? false),
    );
    try {
      await cluster.startAll();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get workers(): readonly ProcessNode[] {
    return this.of('worker');
  }
  get placement(): readonly ProcessNode[] {
    return this.of('pd');
  }
  get gateways(): readonly ProcessNode[] {
    return this.of('gateway');
  }
  /** `host:port` of each process that serves the public API. */
  get grpcAddresses(): string[] {
    return this.serving.map(({ grpcPort }) => `${loopback}:${grpcPort}`);
  }
  /** `http://host:port` of the same. */
  get httpAddresses(): string[] {
    return this.serving.map(({ httpPort }) => `http://${loopback}:${httpPort}`);
  }
  /** Where a process of this cluster serves gRPC; null: it does not. */
  grpcAddressOf(node: NodeName): string | null {
    const place = this.serving.find((candidate) => candidate.node === node);
    return place === undefined ? null : `${loopback}:${place.grpcPort}`;
  }
  private get serving(): readonly Place[] {
    return this.places.filter(({ grpcPort }) => grpcPort > 0);
  }

  process(node: NodeName): ProcessNode {
    const found = this.nodes.find((candidate) => candidate.node === node);
    if (found === undefined) throw new VectronError('NOT_FOUND', `there is no process ${node}`);
    return found;
  }

  /** The leader of the collection's shard, by its position in hash order. Waits up to 10 s for one. */
  async leaderOf(collection: string, shardIndex: number): Promise<KilledReplica> {
    return await within(leaderMsMax, `shard ${shardIndex} of ${collection} has a leader`, async () => {
      const views = (await this.replicasOf(collection)).filter((view) => view.shardIndex === shardIndex);
      const [leader] = views.filter(({ role }) => role === 'leader').sort((a, b) => b.term - a.term);
      return leader ?? null;
    });
  }

  /** The process whose placement driver leads. Waits up to 10 s for one. */
  async placementLeader(): Promise<ProcessNode> {
    return await within(leaderMsMax, 'the placement driver has a leader', async () => {
      for (const node of this.placement) {
        const status = node.alive ? await this.reads.placement(node.node) : null;
        if (status !== null && status.failure === null) return node;
      }
      return null;
    });
  }

  /** What each placement-driver node that answers holds. */
  async placementStates(): Promise<readonly { readonly revision: Revision; readonly digest: string }[]> {
    const states = await Promise.all(this.placement.map(({ node }) => this.reads.placement(node)));
    return states.filter((state) => state !== null);
  }

  /** Kills the process that leads the shard; it stays down until its restart(). */
  async killLeaderProcess(collection: string, shardIndex: number): Promise<KilledReplica> {
    const leader = await this.leaderOf(collection, shardIndex);
    await this.process(leader.node).kill9();
    return leader;
  }

  async replicasOf(collection: string): Promise<readonly ReplicaView[]> {
    const { shards } = await this.client.collectionStatus(collection);
    const places = shards.flatMap(({ id, replicas }, shardIndex) =>
      replicas.map((replica) => {
        const node = nodeName(replica.node);
        return { shard: shardId(id), shardIndex, replica: replicaId(replica.id), node };
      }),
    );
    return await Promise.all(places.map((place) => this.reads.view(place)));
  }

  scanReplica(replica: ReplicaId): AsyncIterable<ScannedPoint> {
    return this.reads.scan(replica);
  }

  /** Resolves when every worker that runs is registered, and its replicas know their leaders. */
  async workersReady(timeoutMs = readyMsMax): Promise<void> {
    await within(timeoutMs, 'every worker is ready', async () => {
      const alive = this.workers.filter((worker) => worker.alive);
      const statuses = await Promise.all(alive.map((worker) => this.reads.worker(worker.node)));
      return statuses.every((status) => status?.ready === true) ? true : null;
    });
  }

  async stop(): Promise<void> {
    process.off('exit', this.killAll);
    this.client.close();
    for (const kind of [...kinds].reverse()) await Promise.all(this.of(kind).map((node) => node.stop()));
    await this.observer.stop();
  }

  private async startAll(): Promise<void> {
    await this.observer.start();
    this.observer.setPeers(
      this.places.filter(({ kind }) => kind !== 'gateway').map(({ node, link }) => ({ node, address: link })),
    );
    await Promise.all(this.nodes.map((node) => node.restart()));
    await this.workersReady();
  }

  private get cluster(): string {
    return this.options.cluster ?? 'vectron-processes';
  }
  private get keyFile(): string {
    return join(this.dataDirectory, 'api-key');
  }

  private of(kind: ProcessKind): readonly ProcessNode[] {
    return this.nodes.filter((node) => node.kind === kind);
  }

  private processOf({ kind, node, link, grpcPort, httpPort }: Place): ProcessNode {
    const placement = this.places.filter((place) => place.kind === 'pd');
    const environment = {
      VECTRON_CLUSTER: this.cluster,
      VECTRON_NODE: node,
      VECTRON_DATA_DIR: join(this.dataDirectory, node),
      VECTRON_LISTEN: link,
      VECTRON_PD: placement.map((place) => `${place.node}=${place.link}`).join(','),
      VECTRON_GATEWAY: grpcPort > 0 ? 'yes' : 'no',
      ...(grpcPort > 0 ? { VECTRON_GRPC_PORT: String(grpcPort), VECTRON_HTTP_PORT: String(httpPort) } : {}),
      VECTRON_API_KEY_FILE: this.keyFile,
      ...this.options.environment,
    };
    return new ProcessNode({ kind, node, environment, directory: this.dataDirectory });
  }
}

/** Dials, and is dialled by nobody. */
const observerOf = (cluster: string): MachineRuntime =>
  new MachineRuntime({
    node: nodeName('observer'),
    cluster: clusterId(cluster),
    link: { kind: 'grpc', listen: null, heartbeatMs: linkHeartbeatMs },
    linkThread: false,
    dedicated: [],
    shards: null,
    onMainActorEnded: () => undefined,
    onShardActorEnded: () => undefined,
    onThreadDown: () => undefined,
    onProblem: (what, error) => process.stderr.write(`observer: ${what}: ${String(error)}\n`),
  });

async function choosePlaces(count: number, workersServe: boolean): Promise<Place[]> {
  const ports = await freePorts(5 * count);
  const take = (): number => ports.pop() as number;
  return kinds.flatMap((kind) =>
    Array.from({ length: workersServe && kind === 'gateway' ? 0 : count }, (_, i) => {
      const serves = kind === (workersServe ? 'worker' : 'gateway');
      const [grpcPort, httpPort] = serves ? [take(), take()] : [0, 0];
      const link = `${loopback}:${take()}`;
      return { kind, node: nodeName(`${kind}-${i + 1}`), link, grpcPort, httpPort };
    }),
  );
}

/** Asks until there is an answer. */
async function within<T>(timeoutMs: number, what: string, ask: () => Promise<T | null>): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() > deadlineMs) {
      throw new VectronError('DEADLINE_EXCEEDED', `not after ${timeoutMs} ms: ${what}`);
    }
    await new Promise((resolve_) => setTimeout(resolve_, pollMs));
  }
}
