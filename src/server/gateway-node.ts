import { VectronError } from '../base/errors';
import type { NodeName } from '../base/ids';
import { GatewayBridge } from '../gateway/bridge';
import { GatewayActor } from '../gateway/gateway-actor';
import { type RunningGateway, startGateway } from '../gateway/node/start-gateway';
import { gatewayActor } from '../protocol/envelope';
import { loadKeyHash } from '../protocol/node/xxh3';
import { MachineRuntime } from '../runtime/node/machine';
import { messageOf, type NodeOptions } from './node-options';

export interface GatewayNodeOptions extends Omit<NodeOptions, 'dataDirectory' | 'raft'> {
  readonly host: string;
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly apiKeys: readonly string[];
}

const pollMs = 10;

/** A gateway: its actor on the main thread, its link, and the public gRPC and HTTP ports. */
export class GatewayNode {
  private constructor(
    readonly machine: MachineRuntime,
    private readonly servers: RunningGateway,
    readonly backend: GatewayBridge,
    private readonly host: string,
  ) {}

  static async start(options: GatewayNodeOptions): Promise<GatewayNode> {
    const { node, cluster, link, placement, host, report } = options;
    const machine = new MachineRuntime({
      node,
      cluster,
      link,
      linkThread: false,
      dedicated: [],
      shards: null,
      onMainActorEnded: (_address, reason, error) => {
        if (error !== null) report(`${node}: gateway failed: ${reason}`);
      },
      onShardActorEnded: () => undefined,
      onThreadDown: () => undefined,
      onProblem: (what, error) => report(`${node}: ${what}: ${messageOf(error)}`),
    });
    await machine.start();
    machine.setPeers(placement);
    const actor = new GatewayActor({
      cluster,
      placementNodes: placement.map((member) => member.node),
      links: { setPeers: (peers) => machine.setPeers(peers.map((peer) => ({ ...peer, node: peer.node as NodeName }))) },
      keyHash: await loadKeyHash(),
    });
    machine.host.spawn(gatewayActor, actor);
    const backend = new GatewayBridge(actor, (task) => machine.host.perform(gatewayActor, task));
    try {
      const servers = await startGateway({
        backend,
        grpcAddress: `${host}:${options.grpcPort}`,
        httpAddress: `${host}:${options.httpPort}`,
        apiKeys: options.apiKeys,
      });
      return new GatewayNode(machine, servers, backend, host);
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  get grpcAddress(): string {
    return `${this.host}:${this.servers.grpcPort}`;
  }

  get httpAddress(): string {
    return `http://${this.host}:${this.servers.httpPort}`;
  }

  /** Resolves when routing is known and every shard of every collection has a leader. */
  async ready(timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs;
    while (!(await this.everyShardHasLeader())) {
      if (performance.now() > until)
        throw new VectronError('UNAVAILABLE', `not every shard has a leader after ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  private async everyShardHasLeader(): Promise<boolean> {
    if (!this.backend.ready) return false;
    try {
      const { names } = await this.backend.call({ kind: 'listCollections' }, 1_000);
      for (const name of names) {
        const { shards } = await this.backend.call({ kind: 'collectionStatus', name }, 1_000);
        if (!shards.every((shard) => shard.ready)) return false;
      }
      return true;
    } catch (error) {
      if (error instanceof VectronError && error.retry !== 'never') return false;
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.servers.stop();
    await this.machine.stop();
  }
}
