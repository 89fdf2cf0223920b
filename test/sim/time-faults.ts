import type { Prng } from '../../src/base/prng';
import type { SimCluster } from './cluster';
import type { FaultSchedule } from './fault-schedule';
import { logUniform } from './log-uniform';
import type { PlacementMachine, WorkerMachine } from './machine';
import type { TimeOptions } from './options';

export const standstillMsMax = 5_000;
const jumpMsMax = 5_000;

/**
 * Faults in which nothing ends: processes, threads and disks that stand still and go on as if nothing had been, links that
 * hold everything back and then let it all through, clocks that jump.
 */
export class TimeFaults {
  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
  ) {}

  start(schedule: FaultSchedule, options: TimeOptions): void {
    schedule.repeat(options.pauseEveryMs, 'pause', () => this.pause());
    schedule.repeat(options.stallEveryMs, 'stall', () => this.stall());
    schedule.repeat(options.clogEveryMs, 'clog', () => this.clog());
    schedule.repeat(options.wallJumpEveryMs, 'wall jump', () => this.jump());
    schedule.repeat(options.linkLagEveryMs, 'link lag', () => this.lag());
  }

  /** Mostly short, now and then longer than any election. */
  private standstillEnd(): number {
    return this.cluster.world.now + logUniform(this.random, 1, standstillMsMax);
  }

  private anyMachine(): WorkerMachine | PlacementMachine | null {
    const up = this.cluster.machines().filter((machine) => machine.up);
    return up.length === 0 ? null : this.random.pick(up);
  }

  private pause(): void {
    const { world } = this.cluster;
    const leader = this.random.chance(0.4) ? this.cluster.someLeader(this.random) : null;
    const node = leader === null ? this.anyMachine()?.node : world.nodes.get(leader);
    if (node === undefined) return;
    world.tally.add('pause');
    world.note(`PAUSE ${node.name}`);
    node.pauseUntil(this.standstillEnd());
  }

  /** One thread: a native call that takes seconds, or, of the log thread, a sync that does. */
  private stall(): void {
    const { world } = this.cluster;
    const threads = [...(this.anyMachine()?.node.threads.values() ?? [])].filter(({ name }) => name !== 'main');
    if (threads.length === 0) return;
    const thread = this.random.pick(threads);
    world.tally.add(thread.name === 'log' ? 'slowDisk' : 'stall');
    world.note(`STALL ${thread.node.name}/${thread.name}`);
    thread.stallUntil(this.standstillEnd());
  }

  private lag(): void {
    const machine = this.random.pick(this.cluster.workers);
    this.cluster.world.tally.add('linkLag');
    machine.lagsUntilMs = this.standstillEnd();
  }

  private clog(): void {
    const { world } = this.cluster;
    const names = this.cluster.allNodeNames();
    const from = this.random.pick(names);
    const to = this.random.pick(names.filter((name) => name !== from));
    world.tally.add('clog');
    world.note(`CLOG ${from} > ${to}`);
    world.network.clog(from, to, this.standstillEnd());
  }

  private jump(): void {
    const { world } = this.cluster;
    const machine = this.anyMachine();
    if (machine === null) return;
    world.tally.add('wallJump');
    machine.node.skewMs = this.random.between(-jumpMsMax, jumpMsMax);
    world.note(`WALL CLOCK of ${machine.name} is off by ${machine.node.skewMs} ms`);
  }
}
