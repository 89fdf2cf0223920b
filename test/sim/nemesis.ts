import { type NodeName, nodeName, workerId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import { at, lanes, placementActor } from '../../src/protocol/envelope';
import type { Message } from '../../src/protocol/messages';
import { type SimCluster, simCluster } from './cluster';
import type { PlacementMachine, WorkerMachine } from './machine';
import type { NemesisOptions } from './options';

/** Whoever asks the placement driver for something here does not wait for its answer. */
const nobody = at(nodeName('nobody'), 'nemesis');

export interface NemesisCounts {
  crashes: number;
  partitions: number;
  actorKills: number;
  threadKills: number;
  clusterCrashes: number;
  gatewayRestarts: number;
  diskErrors: number;
  snapshotFaults: number;
  moves: number;
  handOvers: number;
  wipes: number;
}

/** Brings the faults of a run at random moments, never so many that a majority's disks would be lost. */
export class Nemesis {
  readonly counts: NemesisCounts = {
    crashes: 0,
    partitions: 0,
    actorKills: 0,
    threadKills: 0,
    clusterCrashes: 0,
    gatewayRestarts: 0,
    diskErrors: 0,
    snapshotFaults: 0,
    moves: 0,
    handOvers: 0,
    wipes: 0,
  };
  private active = true;
  private readonly random: Prng;

  constructor(
    private readonly cluster: SimCluster,
    private readonly options: NemesisOptions,
  ) {
    this.random = cluster.world.random.fork();
  }

  start(): void {
    const { options } = this;
    this.repeat(options.crashEveryMs, 'crash', () => this.crash(this.random.pick(this.cluster.workers)));
    this.repeat(options.placementCrashEveryMs, 'pd crash', () => this.crash(this.random.pick(this.cluster.placement)));
    this.repeat(options.partitionEveryMs, 'partition', () => this.partition());
    this.repeat(options.actorKillEveryMs, 'actor kill', () => this.killActor());
    this.repeat(options.threadKillEveryMs, 'thread kill', () => this.killThread());
    this.repeat(options.diskErrorEveryMs, 'disk error', () => this.failDisk());
    this.repeat(options.moveEveryMs, 'move', () => this.move());
    this.repeat(options.handOverEveryMs, 'hand over', () => this.handOver());
    this.repeat(options.wipeEveryMs, 'wipe', () => this.wipe());
    this.repeat(options.gatewayRestartEveryMs, 'gateway restart', () => this.restartGateway());
    this.repeat(options.snapshotFaultEveryMs, 'snapshot fault', () => this.failSnapshot());
    this.repeat(options.damageEveryMs, 'damage', () => this.damage());
    this.repeat(options.crashEveryMs * 8, 'cluster crash', () => this.crashAll());
  }

  /** Faults end; what is down comes back; links heal. */
  stop(): void {
    this.active = false;
    this.cluster.world.network.becomeReliable();
    for (const machine of this.cluster.machines()) {
      machine.disarm();
      if (machine.sick) machine.crash();
      if (!machine.up) machine.restart();
    }
  }

  private after(meanMs: number, label: string, run: () => void): void {
    const delayMs = -Math.log(1 - this.random.float()) * meanMs;
    this.cluster.world.schedule(delayMs, label, null, () => {
      if (this.active) run();
    });
  }

  private repeat(everyMs: number, label: string, run: () => void): void {
    if (everyMs === 0) return;
    this.after(everyMs, label, () => {
      run();
      this.repeat(everyMs, label, run);
    });
  }

  private crash(machine: WorkerMachine | PlacementMachine): void {
    if (!machine.up) return;
    this.counts.crashes++;
    machine.crashSoon();
    this.restartLater(machine);
  }

  private restartLater(machine: WorkerMachine | PlacementMachine): void {
    this.after(this.options.downMeanMs, 'restart', () => {
      if (!machine.up) machine.restart();
      else this.restartLater(machine);
    });
  }

  private crashAll(): void {
    this.counts.clusterCrashes++;
    for (const machine of this.cluster.machines()) this.crash(machine);
  }

  private partition(): void {
    const { network } = this.cluster.world;
    this.counts.partitions++;
    const names = this.cluster.allNodeNames();
    const kind = this.random.pick(['isolate', 'halves', 'oneWayOut', 'oneWayIn', 'pair', 'bridge'] as const);
    const victim = this.random.pick(names);
    const others = names.filter((name) => name !== victim);
    const group = new Set(names.filter(() => this.random.chance(0.5)));
    this.cluster.world.note(`PARTITION ${kind} ${victim}`);
    for (const other of others) {
      if (kind === 'isolate' || kind === 'oneWayOut') network.cut(victim, other);
      if (kind === 'isolate' || kind === 'oneWayIn') network.cut(other, victim);
    }
    if (kind === 'pair') {
      const other = this.random.pick(others);
      network.cut(victim, other);
      network.cut(other, victim);
    }
    if (kind === 'halves' || kind === 'bridge') {
      for (const a of names) {
        for (const b of names) {
          const spared = kind === 'bridge' && (a === victim || b === victim);
          if (!spared && group.has(a) !== group.has(b)) network.cut(a, b);
        }
      }
    }
    this.after(this.options.partitionMeanMs, 'heal', () => network.heal());
  }

  private failDisk(): void {
    const machine = this.random.pick(this.cluster.machines());
    if (!machine.up) return;
    this.counts.diskErrors++;
    machine.failSoon();
    this.after(this.options.downMeanMs, 'replace', () => {
      machine.disarm();
      if (!machine.up || !machine.sick) return;
      machine.crash();
      machine.restart();
    });
  }

  private damage(): void {
    const toStart = this.cluster.damage.inflict(this.random);
    if (toStart !== null) this.crash(toStart);
  }

  /** The next snapshot on its way loses its link, its receiver or its sender in the middle. */
  private failSnapshot(): void {
    const kind = this.random.pick(['link', 'receiver', 'sender', 'actor'] as const);
    this.cluster.onSnapshot = (from, to) => {
      this.after(1, 'snapshot fault', () => {
        this.counts.snapshotFaults++;
        if (kind === 'link') this.cutFor(from, to);
        else if (kind === 'actor') this.restartReplicas(to);
        else this.crashNamed(kind === 'receiver' ? to : from);
      });
    };
  }

  private cutFor(from: NodeName, to: NodeName): void {
    const { network } = this.cluster.world;
    network.cut(from, to);
    network.cut(to, from);
    this.after(this.options.partitionMeanMs, 'heal', () => network.heal());
  }

  private crashNamed(name: NodeName): void {
    const machine = this.cluster.machineNamed(name);
    if (machine !== null) this.crash(machine);
  }

  private restartReplicas(name: NodeName): void {
    const machine = this.cluster.workers.find((worker) => worker.name === name);
    if (machine?.up !== true) return;
    for (const replica of [...machine.replicas.keys()]) {
      const actor = `replica/${replica}`;
      machine.node.threadOf(actor)?.host.stop(actor, 'killed in the middle of a snapshot');
    }
  }

  /** To any machine, or wherever the driver likes. */
  private move(): void {
    const { records, shard } = this.someShard();
    if (shard === null) return;
    this.counts.moves++;
    const target = this.random.chance(0.5) ? this.random.pick(records?.workerIds() ?? []) : workerId(0);
    const { replica } = this.random.pick(shard.members);
    this.order({ kind: 'pd.moveReplica', request: 1, cluster: simCluster, shard: shard.id, replica, target });
  }

  private handOver(): void {
    const { shard } = this.someShard();
    if (shard === null) return;
    this.counts.handOvers++;
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

  /** One machine loses its disks, if all that it held is whole elsewhere, and comes back with empty ones. */
  private wipe(): void {
    const machine = this.random.pick(this.cluster.workers);
    if (!this.cluster.isSound) return;
    this.counts.wipes++;
    if (machine.up) machine.crash();
    this.cluster.wipe(machine);
    this.restartLater(machine);
  }

  private restartGateway(): void {
    this.counts.gatewayRestarts++;
    this.cluster.gateway.restart();
  }

  private killActor(): void {
    const worker = this.random.pick(this.cluster.workers);
    const replicas = [...worker.replicas.values()];
    if (!worker.up || replicas.length === 0) return;
    this.counts.actorKills++;
    const { spec } = this.random.pick(replicas);
    const name = `replica/${spec.replica}`;
    worker.node.threadOf(name)?.host.stop(name, 'killed');
  }

  private killThread(): void {
    const worker = this.random.pick(this.cluster.workers);
    if (!worker.up) return;
    this.counts.threadKills++;
    const name = this.random.pick(['shard-0', 'shard-1', 'log']);
    const thread = worker.node.threads.get(name);
    if (name === 'log' || thread === undefined || this.random.chance(0.5)) return worker.killThread(name);
    thread.whenItWrites = () => {
      if (this.active && thread.alive) worker.killThread(name);
    };
  }
}
