import type { NodeName } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { SimCluster } from './cluster';
import { Depositions } from './depositions';
import { DiskFaults } from './disk-faults';
import { FaultSchedule } from './fault-schedule';
import type { PlacementMachine, WorkerMachine } from './machine';
import type { NemesisOptions, SimOptions } from './options';
import { Partitions } from './partitions';
import { PlacementOrders } from './placement-orders';
import { SnapshotFaults } from './snapshot-faults';
import type { FaultKind, Tally } from './tally';
import { ThreadFaults } from './thread-faults';
import { TimeFaults } from './time-faults';

/** A machine that has just started reads its logs and asks its peers. */
const recoveryMs = 60;
/** Longer than a supervisor waits before it starts a replica again. */
const lateDiskMs = 500;
const crashesInRecoveryMax = 4;

/** Brings the faults of a run at random moments, never so many that a majority's disks would be lost. */
export class Nemesis {
  readonly partitions: Partitions;
  private readonly depositions: Depositions;
  private readonly random: Prng;
  private readonly schedule: FaultSchedule;
  private readonly options: NemesisOptions;

  constructor(
    private readonly cluster: SimCluster,
    private readonly all: Pick<SimOptions, 'seed' | 'nemesis' | 'time' | 'versions'>,
  ) {
    this.options = all.nemesis;
    this.random = cluster.world.random.fork();
    this.schedule = new FaultSchedule(cluster.world, this.random);
    this.partitions = new Partitions(cluster, this.random);
    this.depositions = new Depositions(cluster, all.seed, (machine) => this.crash(machine));
  }

  start(): void {
    const { options, schedule, random, cluster } = this;
    schedule.repeat(options.crashEveryMs, 'crash', () => this.crash(random.pick(cluster.workers)));
    schedule.repeat(options.placementCrashEveryMs, 'pd crash', () => this.crashPlacement());
    schedule.repeat(options.partitionEveryMs, 'partition', () => this.partition());
    schedule.repeat(options.actorKillEveryMs, 'actor kill', () => this.killActor());
    new ThreadFaults(cluster, random).start(schedule, options);
    new DiskFaults(cluster, random, (machine) => this.restartLater(machine)).start(schedule, options);
    schedule.repeat(options.wipeEveryMs, 'wipe', () => this.wipe());
    if (this.all.versions.oldShare > 0) this.upgradeAll(this.all.versions.upgradeEveryMs);
    new PlacementOrders(cluster, random).start(schedule, options);
    schedule.repeat(options.gatewayRestartEveryMs, 'gateway restart', () => this.restartGateway());
    schedule.repeat(options.damageEveryMs, 'damage', () => this.damage());
    schedule.repeat(options.crashEveryMs * 8, 'cluster crash', () => this.crashAll());
    const port = {
      crash: (machine: WorkerMachine | PlacementMachine) => this.crash(machine),
      cut: (from: NodeName, to: NodeName) => this.cutFor(from, to),
    };
    new SnapshotFaults(cluster, random, port).start(schedule, options);
    this.depositions.start(options);
    new TimeFaults(cluster, random).start(schedule, this.all.time);
  }

  /** Faults end; what is down comes back; links heal. What stands still goes on by itself, within seconds. */
  stop(): void {
    this.schedule.active = false;
    this.depositions.stop();
    this.partitions.heal();
    this.cluster.world.network.becomeReliable();
    for (const machine of this.cluster.machines()) {
      machine.faults.disarm();
      if (machine.sick || (machine.isOutOfDate && machine.up)) machine.crash();
      if (machine.isOutOfDate) machine.upgrade();
      if (!machine.up) machine.restart();
    }
  }

  private get tally(): Tally<FaultKind> {
    return this.cluster.world.tally;
  }

  /** One machine after the other, as an operator would: stopped, or wherever it was, and started with the newest program. */
  private upgradeAll(everyMs: number): void {
    this.schedule.after(everyMs, 'upgrade', () => {
      const waiting = this.cluster.machines().filter(({ isOutOfDate }) => isOutOfDate);
      if (waiting.length === 0) return;
      const machine = this.random.pick(waiting);
      if (machine.up) machine.crash();
      machine.upgrade();
      this.restartLater(machine);
      this.upgradeAll(everyMs);
    });
  }

  private crash(machine: WorkerMachine | PlacementMachine): void {
    if (!machine.up) return;
    machine.crashSoon();
    this.restartLater(machine);
  }

  private crashPlacement(): void {
    this.tally.add('placementCrash');
    this.crash(this.random.pick(this.cluster.placement));
  }

  private restartLater(machine: WorkerMachine | PlacementMachine): void {
    this.schedule.after(this.options.downMeanMs, 'restart', () => {
      if (machine.up) return this.restartLater(machine);
      machine.restart();
      this.crashInRecovery(machine, crashesInRecoveryMax);
    });
  }

  /** Up and down again before it has found its place, a few times over. */
  private crashInRecovery(machine: WorkerMachine | PlacementMachine, left: number): void {
    if (left === 0 || !this.random.chance(this.options.crashInRecoveryChance)) return;
    const { node } = machine;
    this.schedule.after(recoveryMs, 'crash in recovery', () => {
      if (machine.node !== node || !machine.up || machine.dying) return;
      this.tally.add('crashInRecovery');
      machine.crash();
      machine.restart();
      this.crashInRecovery(machine, left - 1);
    });
  }

  private crashAll(): void {
    this.tally.add('clusterCrash');
    for (const machine of this.cluster.machines()) this.crash(machine);
  }

  private partition(): void {
    this.partitions.begin();
    this.schedule.after(this.options.partitionMeanMs, 'heal', () => this.partitions.heal());
  }

  private cutFor(from: NodeName, to: NodeName): void {
    this.partitions.cutBetween(from, to);
    this.schedule.after(this.options.partitionMeanMs, 'heal', () => this.partitions.heal());
  }

  private damage(): void {
    const toStart = this.cluster.damage.inflict(this.random);
    if (toStart !== null) this.crash(toStart);
  }

  /** One machine loses its disks, if all that it held is whole elsewhere, and comes back with empty ones. */
  private wipe(): void {
    const machine = this.random.pick(this.cluster.workers);
    if (!this.cluster.isSound) return;
    this.tally.add('wipe');
    if (machine.up) machine.crash();
    this.cluster.wipe(machine);
    this.restartLater(machine);
  }

  private restartGateway(): void {
    this.tally.add('gatewayRestart');
    this.cluster.gateway.restart();
  }

  private killActor(): void {
    const worker = this.random.pick(this.cluster.workers);
    const replicas = [...worker.replicas.values()];
    if (!worker.up || replicas.length === 0) return;
    this.tally.add('actorKill');
    const { name } = this.random.pick(replicas);
    // What it wrote last may still wait for the disk when it opens its log again.
    if (this.all.time.stallEveryMs > 0 && this.random.chance(0.3)) this.stallLog(worker);
    worker.node.threadOf(name)?.host.stop(name, 'killed');
  }

  private stallLog({ node }: WorkerMachine): void {
    this.tally.add('slowDisk');
    node.threads.get('log')?.stallUntil(this.cluster.world.now + lateDiskMs);
  }
}
