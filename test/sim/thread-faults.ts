import type { Prng } from '../../src/base/prng';
import type { SimCluster } from './cluster';
import type { FaultSchedule } from './fault-schedule';
import type { WorkerMachine } from './machine';
import type { NemesisOptions } from './options';

/** What a shard thread's owner waits before it ends one that is silent (docs/decisions/0014). */
const patienceMs = 4_000;
/** Native code cannot be interrupted: a thread that was told to end may go on to hang for so long. */
const stuckMsMax = 12_000;
const stillMsMax = 400;
/** Long enough for its successor to have opened the logs, and for terms to have changed. */
const overtakenMsMax = 4_000;

/**
 * Threads that die, and threads that do not: one that hangs and lives, one that is replaced and still writes, one that is
 * gone just when it is needed.
 */
export class ThreadFaults {
  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
  ) {}

  start(schedule: FaultSchedule, options: NemesisOptions): void {
    schedule.repeat(options.threadKillEveryMs, 'thread kill', () => this.kill(schedule));
    schedule.repeat(options.hangEveryMs, 'hang', () => this.hang());
    schedule.repeat(options.overtakeEveryMs, 'overtake', () => this.overtake());
    schedule.repeat(options.removalFaultEveryMs, 'removal fault', () => this.strikeRemoval(schedule));
  }

  private get tally() {
    return this.cluster.world.tally;
  }

  private kill(schedule: FaultSchedule): void {
    const worker = this.anyUp();
    if (worker === null) return;
    this.tally.add('threadKill');
    const name = this.random.pick(['shard-0', 'shard-1', 'log']);
    const thread = worker.node.threads.get(name);
    if (name === 'log' || thread === undefined || this.random.chance(0.5)) return worker.killThread(name);
    thread.whenItWrites = () => {
      if (schedule.active && thread.alive) worker.killThread(name);
    };
  }

  private anyUp(): WorkerMachine | null {
    const worker = this.random.pick(this.cluster.workers);
    return worker.up ? worker : null;
  }

  /** Its owner ends it after a while, also when no fault comes any more. */
  private hang(): void {
    const { world } = this.cluster;
    const worker = this.anyUp();
    const thread = worker?.node.threads.get(this.random.pick(['shard-0', 'shard-1']));
    if (worker === null || thread === undefined || thread.isHung) return;
    this.tally.add('hang');
    world.note(`HANG ${worker.name}/${thread.name}`);
    thread.isHung = true;
    const stuckMs = this.random.chance(0.5) ? 0 : this.random.between(0, stuckMsMax);
    world.schedule(patienceMs + stuckMs, 'end of a hung thread', null, () => {
      if (thread.alive) worker.killThread(thread.name);
    });
  }

  /** A log thread stands still, is replaced, and comes round once more behind its successor's back. */
  private overtake(): void {
    const { world } = this.cluster;
    const worker = this.anyUp();
    const thread = worker?.node.threads.get('log');
    if (worker === null || thread === undefined) return;
    const stillMs = stillMsMax * this.random.float();
    thread.stallUntil(world.now + stillMs + 1);
    world.schedule(stillMs, 'overtake', worker.node, () => {
      if (thread.alive && worker.node.threads.get('log') === thread) worker.overtakeLog(overtakenMsMax);
    });
  }

  /** The next order to the log thread to remove a log does not find it. */
  private strikeRemoval(schedule: FaultSchedule): void {
    const worker = this.anyUp();
    if (worker === null) return;
    worker.node.whenItRemoves = () => {
      if (!schedule.active || !worker.node.threads.has('log')) return;
      this.tally.add('removalFault');
      worker.killThread('log');
    };
  }
}
