import type { Prng } from '../../src/base/prng';
import type { SimCluster } from './cluster';
import type { FaultSchedule } from './fault-schedule';
import type { PlacementMachine, WorkerMachine } from './machine';
import type { NemesisOptions } from './options';

type Machine = PlacementMachine | WorkerMachine;

/**
 * Disks that refuse: a write or a sync that fails, a disk that is full for a while, a read that fails, and one that has
 * lost what it had said was synced. What a process needs after it, an operator's restart, comes later.
 */
export class DiskFaults {
  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
    private readonly restartLater: (machine: Machine) => void,
  ) {}

  start(schedule: FaultSchedule, options: NemesisOptions): void {
    const { downMeanMs } = options;
    schedule.repeat(options.diskErrorEveryMs, 'disk error', () => this.failWrite(schedule, downMeanMs));
    schedule.repeat(options.diskFullEveryMs, 'disk full', () => this.fill(schedule, downMeanMs));
    schedule.repeat(options.readErrorEveryMs, 'read error', () => this.failRead(schedule, downMeanMs));
    schedule.repeat(options.lieEveryMs, 'lie', () => this.lie());
  }

  private anyUp(): Machine | null {
    const machine = this.random.pick(this.cluster.machines());
    return machine.up ? machine : null;
  }

  private failWrite(schedule: FaultSchedule, downMeanMs: number): void {
    const machine = this.anyUp();
    if (machine === null) return;
    machine.faults.arm('error');
    schedule.after(downMeanMs, 'replace', () => this.replace(machine));
  }

  /** Where it leaves open what is on disk it ends all writing of its process. */
  private failRead(schedule: FaultSchedule, downMeanMs: number): void {
    const machine = this.anyUp();
    if (machine === null) return;
    machine.faults.failRead();
    schedule.after(downMeanMs, 'replace', () => this.restartSick(machine));
  }

  /** Restarted while it is still full, and again when there is room: which comes first is chance. */
  private fill(schedule: FaultSchedule, downMeanMs: number): void {
    const machine = this.anyUp();
    if (machine === null) return;
    machine.faults.fill();
    schedule.after(downMeanMs / 2, 'replace', () => this.restartSick(machine));
    schedule.after(downMeanMs, 'room', () => this.replace(machine));
  }

  private replace(machine: Machine): void {
    machine.faults.disarm();
    this.restartSick(machine);
  }

  private restartSick(machine: Machine): void {
    if (!machine.up || !machine.sick) return;
    machine.crash();
    machine.restart();
  }

  /** If all that the machine held is whole elsewhere: it has to give up everything. */
  private lie(): void {
    const machine = this.random.pick(this.cluster.workers);
    if (!this.cluster.isSound || machine.dying) return;
    if (machine.up) machine.crash();
    machine.deceive();
    this.restartLater(machine);
  }
}
