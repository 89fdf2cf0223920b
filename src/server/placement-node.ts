import { replicaId } from '../base/ids';
import { logActor, placementActor } from '../protocol/envelope';
import { MachineRuntime } from '../runtime/node/machine';
import type { MachineStores } from '../storage/node/machine-stores';
import { messageOf, type NodeOptions } from './node-options';
import { openPlacementStores } from './stores';
import type { PlacementThreadData } from './threads/placement-thread';

const mebibyte = 1024 * 1024;
const noBytes = new Uint8Array(0);
/** Routing and records are small: a placement driver needs little memory. */
const memory = { logMemtableBytes: 4 * mebibyte, stateMemtableBytes: 4 * mebibyte, stateCacheBytes: 4 * mebibyte };

/** One node of the placement driver: its stores, its log thread and its own thread. */
export class PlacementNode {
  private constructor(
    readonly machine: MachineRuntime,
    private readonly stores: MachineStores,
  ) {}

  static async start(options: NodeOptions): Promise<PlacementNode> {
    const { cluster, node, dataDirectory, link, placement, raft, report } = options;
    const stores = await openPlacementStores(dataDirectory, { clusterId: cluster, ...memory });
    const members = placement.map((member, i) => ({ replica: replicaId(i + 1), node: member.node }));
    const self = replicaId(placement.findIndex((member) => member.node === node) + 1);
    const workerData: PlacementThreadData = { stores: stores.handles, cluster, self, members, raft };
    const start = (name: string) => [{ name, descriptor: noBytes }];
    const machine = new MachineRuntime({
      node,
      cluster,
      link,
      linkThread: false,
      dedicated: [
        {
          name: 'log',
          entryFile: require.resolve('./threads/log-thread'),
          workerData: stores.handles,
          actors: start(logActor),
        },
        {
          name: 'pd',
          entryFile: require.resolve('./threads/placement-thread'),
          workerData,
          actors: start(placementActor),
        },
      ],
      shards: null,
      onMainActorEnded: () => undefined,
      onShardActorEnded: () => undefined,
      onThreadDown: (what, reason) => report(`${node}: ${what} went down: ${reason}`),
      onProblem: (what, error) => report(`${node}: ${what}: ${messageOf(error)}`),
    });
    await machine.start();
    machine.setPeers(placement.filter((peer) => peer.node !== node));
    return new PlacementNode(machine, stores);
  }

  async stop(): Promise<void> {
    await this.machine.stop();
    await this.stores.close();
  }

  async kill(): Promise<void> {
    await this.machine.kill();
    await this.stores.close();
  }
}
