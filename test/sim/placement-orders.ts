import { nodeName, workerId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import { at, lanes, placementActor } from '../../src/protocol/envelope';
import type { Message } from '../../src/protocol/messages';
import { type SimCluster, simCluster } from './cluster';
import type { FaultSchedule } from './fault-schedule';
import type { NemesisOptions } from './options';

/** Whoever asks the placement driver for something here does not wait for its answer. */
const nobody = at(nodeName('nobody'), 'nemesis');

/** Orders of an operator, as many and as senseless as the seed likes. */
export class PlacementOrders {
  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
  ) {}

  start(schedule: FaultSchedule, options: NemesisOptions): void {
    schedule.repeat(options.moveEveryMs, 'move', () => this.move());
    schedule.repeat(options.handOverEveryMs, 'hand over', () => this.handOver());
  }

  /** To any machine, or wherever the driver likes. */
  private move(): void {
    const { records, shard } = this.someShard();
    if (shard === null) return;
    this.cluster.world.tally.add('move');
    const target = this.random.chance(0.5) ? this.random.pick(records?.workerIds() ?? []) : workerId(0);
    const { replica } = this.random.pick(shard.members);
    this.order({ kind: 'pd.moveReplica', request: 1, cluster: simCluster, shard: shard.id, replica, target });
  }

  private handOver(): void {
    const { shard } = this.someShard();
    if (shard === null) return;
    this.cluster.world.tally.add('handOver');
    const { replica } = this.random.pick(shard.members);
    this.order({ kind: 'pd.transferLeader', request: 1, cluster: simCluster, shard: shard.id, replica });
  }

  private someShard() {
    const records = this.cluster.records();
    const shards = records?.shards() ?? [];
    return { records, shard: shards.length === 0 ? null : this.random.pick(shards) };
  }

  private order(message: Message): void {
    for (const { node, actor } of this.cluster.placement) {
      if (actor?.isServing === true) node.arrive(at(node.name, placementActor), nobody, message, lanes.data);
    }
  }
}
