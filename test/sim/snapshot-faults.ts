import type { NodeName } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { SimCluster } from './cluster';
import type { FaultSchedule } from './fault-schedule';
import type { PlacementMachine, WorkerMachine } from './machine';
import type { NemesisOptions } from './options';

/** What a nemesis does about a snapshot that is on its way. */
export interface SnapshotFaultPort {
  crash(machine: WorkerMachine | PlacementMachine): void;
  /** For as long as a partition lasts. */
  cut(from: NodeName, to: NodeName): void;
}

/** The next snapshot on its way loses its link, its receiver or its sender in the middle. */
export class SnapshotFaults {
  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
    private readonly port: SnapshotFaultPort,
  ) {}

  start(schedule: FaultSchedule, { snapshotFaultEveryMs }: NemesisOptions): void {
    schedule.repeat(snapshotFaultEveryMs, 'snapshot fault', () => this.arm(schedule));
  }

  private arm(schedule: FaultSchedule): void {
    const kind = this.random.pick(['link', 'receiver', 'sender', 'actor'] as const);
    this.cluster.onSnapshot = (from, to) => {
      schedule.after(1, 'snapshot fault', () => {
        this.cluster.world.tally.add('snapshotFault');
        if (kind === 'link') this.port.cut(from, to);
        else if (kind === 'actor') this.restartReplicas(to);
        else this.crashNamed(kind === 'receiver' ? to : from);
      });
    };
  }

  private crashNamed(name: NodeName): void {
    const machine = this.cluster.machineNamed(name);
    if (machine !== null) this.port.crash(machine);
  }

  private restartReplicas(name: NodeName): void {
    const machine = this.cluster.workers.find((worker) => worker.name === name);
    if (machine?.up !== true) return;
    for (const actor of [...machine.replicas.values()].map((replica) => replica.name)) {
      machine.node.threadOf(actor)?.host.stop(actor, 'killed in the middle of a snapshot');
    }
  }
}
