import { VectronError } from '../../base/errors';
import type { ClusterId, NodeName } from '../../base/ids';
import { GatewayBridge } from '../../gateway/bridge';
import type { AnswerOf, CallKind, CallOf, GatewayBackend } from '../../gateway/calls';
import { GatewayActor } from '../../gateway/gateway-actor';
import { type RunningGateway, startGateway } from '../../gateway/node/start-gateway';
import { gatewayActor } from '../../protocol/envelope';
import { loadKeyHash } from '../../protocol/node/xxh3';
import { runDedicatedThread } from '../../runtime/node/thread-entry';

export interface GatewayThreadData {
  readonly cluster: ClusterId;
  readonly placementNodes: readonly NodeName[];
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly apiKeys: readonly string[];
}

/** The public ports outlive an actor that fails: calls wait for no one, and go to its successor. */
class Front implements GatewayBackend {
  bridge: GatewayBridge | null = null;

  get ready(): boolean {
    return this.bridge?.ready ?? false;
  }

  call<K extends CallKind>(call: CallOf<K>, timeoutMs: number): Promise<AnswerOf<K>> {
    if (this.bridge !== null) return this.bridge.call(call, timeoutMs);
    return Promise.reject(new VectronError('UNAVAILABLE', 'the gateway is starting', { retryAfterMs: 100 }));
  }
}

/**
 * Entry file of a worker's gateway thread: the public ports, and an actor that routes their calls. A client that dials the
 * machine that leads spares its calls a process and a connection; any other reaches every shard as through any gateway.
 * The supervisor tells the link where the other machines are.
 */
runDedicatedThread(async ({ hub, workerData }) => {
  const { cluster, placementNodes, grpcAddress, httpAddress, apiKeys } = workerData as GatewayThreadData;
  const keyHash = await loadKeyHash();
  const front = new Front();
  const links = { setPeers: () => undefined };
  let servers: RunningGateway | null = null;
  return {
    create: async () => {
      const actor = new GatewayActor({ cluster, placementNodes, links, keyHash });
      front.bridge = new GatewayBridge(actor, (task) => hub.host.perform(gatewayActor, task));
      servers ??= await startGateway({ backend: front, grpcAddress, httpAddress, apiKeys });
      return actor;
    },
    close: () => servers?.stop(),
  };
});
