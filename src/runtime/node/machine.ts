import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { present } from '../../base/assert';
import type { VectronError } from '../../base/errors';
import type { ClusterId, NodeName } from '../../base/ids';
import type { Address } from '../../protocol/envelope';
import type { ActorHost } from '../actor-host';
import type { PeerAddress } from '../link';
import { transferred } from './comlink-port';
import { type ActorStart, DedicatedThread } from './dedicated-thread';
import { LinkHost, type LinkSpec } from './link-host';
import type { LinkFabric } from './link-ports';
import { ShardPool, type ShardPoolOptions } from './shard-pool';
import { Switchboard } from './switchboard';
import type { ThreadClient } from './thread-control';
import type { ThreadHub } from './thread-hub';
import { type RunningThread, runThread } from './thread-runtime';

export type MachineLink =
  | { readonly kind: 'none' }
  /** Between simulated machines of this process. */
  | { readonly kind: 'fabric'; readonly fabric: LinkFabric }
  /** Between processes. `listen` is `host:port`, port 0 for any; null only dials. */
  | { readonly kind: 'grpc'; readonly listen: string | null; readonly heartbeatMs: number };

export interface DedicatedSpec {
  readonly name: string;
  readonly entryFile: string;
  readonly workerData: unknown;
  readonly actors: readonly ActorStart[];
  readonly silentMsMax?: number;
}

export interface MachineOptions {
  readonly node: NodeName;
  readonly cluster: ClusterId;
  readonly link: MachineLink;
  /** The link gets a thread of its own, with these actors if any, as on worker machines. False: it lives on the main thread. */
  readonly linkThread: boolean | LinkThreadSpec;
  readonly dedicated: readonly DedicatedSpec[];
  readonly shards: Pick<
    ShardPoolOptions,
    'entryFile' | 'threads' | 'groupsPerThread' | 'workerData' | 'silentMsMax' | 'backoff'
  > | null;
  /** An actor of the main thread has ended. Its owner decides what follows. */
  readonly onMainActorEnded: (address: Address, reason: string, error: unknown) => void;
  /** A pool's actor has ended; it may be started again from here on. */
  readonly onShardActorEnded: (name: string, reason: string) => void;
  /** A thread, or an actor of a dedicated one, went down and is being restarted. */
  readonly onThreadDown: (what: string, reason: string) => void;
  readonly onProblem: (what: string, error: unknown) => void;
}

type LinkThreadSpec = Pick<DedicatedSpec, 'entryFile' | 'workerData' | 'actors'>;
const bareLinkThread: LinkThreadSpec = { entryFile: join(__dirname, 'link-thread.js'), workerData: null, actors: [] };

/**
 * One machine, real or simulated: the actors of the main thread, dedicated threads, a shard pool and a link, joined by
 * direct ports. Several may live in one process.
 *
 *   const machine = new MachineRuntime({ node, cluster, link: { kind: 'fabric', fabric }, linkThread: true,
 *     dedicated: [{ name: 'log', entryFile: require.resolve('./log-thread'), workerData, actors: [...] }],
 *     shards: { entryFile: require.resolve('./shard-thread'), threads: 2, workerData }, ... });
 *   await machine.start();
 *   machine.host.spawn('supervisor', supervisor);        // actors of the main thread
 *   machine.startShardActor('replica/7', descriptor);    // actors of the pool, made by the setup in its entry file
 *   machine.setPeers([{ node: 'machine-2', address: 'host:port' }]);  // implements actors/ports Links
 *
 * Entry files call runDedicatedThread(setup) or export groupTask(setup) as their default, both from thread-entry.
 * stop() ends everything in order; kill() is a power cut: nothing is told, nothing is flushed.
 */
export class MachineRuntime {
  readonly hub: ThreadHub;
  readonly host: ActorHost;
  private readonly main: RunningThread;
  private readonly switchboard = new Switchboard();
  private readonly threads = new Map<string, DedicatedThread>();
  private readonly peers = new Map<string, string>();
  private linkThread: DedicatedThread | null = null;
  private localLink: LinkHost | null = null;
  private shardPool: ShardPool | null = null;
  private listenAddress = '';

  constructor(private readonly options: MachineOptions) {
    this.main = runThread({ node: options.node, thread: threadId, onEnded: options.onMainActorEnded });
    this.hub = this.main.hub;
    this.host = this.hub.host;
    this.switchboard.join(threadId, this.hub);
  }

  /** Resolves when every thread is up. */
  async start(): Promise<void> {
    await this.startLink();
    for (const spec of this.options.dedicated) this.threads.set(spec.name, this.dedicatedThread(spec));
    await Promise.all([...this.threads.values()].map((thread) => thread.start()));
    if (this.options.shards === null) return;
    const { node, onProblem, onShardActorEnded } = this.options;
    const shared = { node, onProblem, hub: this.hub, switchboard: this.switchboard };
    this.shardPool = new ShardPool({ ...this.options.shards, ...shared, onActorEnded: onShardActorEnded });
    await this.shardPool.ready();
  }

  get pool(): ShardPool {
    return present(this.shardPool, 'a started machine with shards');
  }

  dedicated(name: string): DedicatedThread {
    return present(this.threads.get(name), `dedicated thread ${name}`);
  }

  /** The link's own thread, for tests; null when the link lives on the main thread. */
  get linkOwnThread(): DedicatedThread | null {
    return this.linkThread;
  }

  /** Where other processes reach this machine's link; empty: nowhere. */
  get linkAddress(): string {
    return this.listenAddress;
  }

  /** Why nodes cannot be reached, as the main thread's link last heard; empty when the link has its own thread. */
  get linkFailures(): ReadonlyMap<NodeName, VectronError> {
    return this.localLink?.failures ?? new Map<NodeName, VectronError>();
  }

  startShardActor(name: string, descriptor: Uint8Array): void {
    this.pool.startActor(name, descriptor);
  }

  stopShardActor(name: string, reason: string): void {
    this.pool.stopActor(name, reason);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    for (const { node, address } of peers) this.peers.set(node, address);
    this.localLink?.setPeers(peers);
    this.linkThread?.tell('setPeers', (remote) => remote.setPeers(peers));
  }

  async stop(): Promise<void> {
    for (const name of [...this.host.names()].reverse()) this.host.stop(name, 'machine stops');
    this.main.flush();
    await this.shardPool?.stop();
    for (const thread of [...this.threads.values()].reverse()) await thread.stop();
    this.detachFabric();
    await this.linkThread?.stop();
    this.closeMain();
  }

  async kill(): Promise<void> {
    this.detachFabric();
    const threads = [...this.threads.values()].map((thread) => thread.kill());
    this.closeMain();
    await Promise.all([...threads, this.linkThread?.kill(), this.shardPool?.kill()]);
  }

  private closeMain(): void {
    this.main.loop.close();
    this.hub.close();
  }

  private dedicatedThread(spec: DedicatedSpec): DedicatedThread {
    const { node, onThreadDown, onProblem } = this.options;
    const shared = { node, onProblem, hub: this.hub, switchboard: this.switchboard, link: () => null };
    return new DedicatedThread({ ...spec, ...shared, silentMsMax: spec.silentMsMax ?? null, onDown: onThreadDown });
  }

  private async startLink(): Promise<void> {
    const { link } = this.options;
    if (link.kind === 'none') return;
    const { linkThread } = this.options;
    if (linkThread === false) await this.startLocalLink();
    else await this.startLinkThread(linkThread === true ? bareLinkThread : linkThread);
  }

  private async startLocalLink(): Promise<void> {
    const host = new LinkHost(this.hub, this.linkSpec());
    this.localLink = host;
    await host.start();
    this.listenAddress = host.address;
    const { link, node } = this.options;
    if (link.kind === 'fabric') link.fabric.attach(node, (...accepted) => host.acceptPort(...accepted));
  }

  private async startLinkThread(spec: LinkThreadSpec): Promise<void> {
    const { node, onThreadDown, onProblem } = this.options;
    this.linkThread = new DedicatedThread({
      node,
      name: 'link',
      ...spec,
      link: () => this.linkSpec(),
      silentMsMax: null,
      hub: this.hub,
      switchboard: this.switchboard,
      onUp: (client) => this.linkThreadUp(client),
      onDown: (what, reason) => {
        this.detachFabric();
        onThreadDown(what, reason);
      },
      onProblem,
    });
    await this.linkThread.start();
    this.listenAddress = await this.linkThread.call((remote) => remote.linkAddress());
  }

  private linkThreadUp(client: ThreadClient): void {
    const peers = [...this.peers].map(([node, address]) => ({ node, address }));
    client.tell('setPeers', (remote) => remote.setPeers(peers));
    const { link, node } = this.options;
    if (link.kind !== 'fabric') return;
    link.fabric.attach(node, (peer, port, faults) =>
      client.tell('acceptLinkPort', (remote) => remote.acceptLinkPort(peer, transferred(port), faults)),
    );
  }

  private detachFabric(): void {
    const { link, node } = this.options;
    if (link.kind === 'fabric') link.fabric.detach(node);
  }

  /** A restarted link listens where its predecessor did: peers know that address. */
  private linkSpec(): LinkSpec {
    const { node, cluster, link } = this.options;
    if (link.kind !== 'grpc') return { node, cluster, transport: { kind: 'fabric' } };
    const listen = this.listenAddress === '' ? link.listen : this.listenAddress;
    return { node, cluster, transport: { kind: 'grpc', listen, heartbeatMs: link.heartbeatMs } };
  }
}
