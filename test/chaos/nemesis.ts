import { appendFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prng } from '../../src/base/prng';
import type { Clients } from './clients';
import type { ChaosOptions } from './options';
import type { ChaosTarget, Victim } from './targets';

const servedMsMax = 60_000;
const downMsMax = 2_000;

/** From just before a kill until what was killed is back and every client has been served again. */
interface FaultWindow {
  readonly victim: Victim;
  readonly what: string;
  readonly t: number;
  readonly end: number;
  readonly acked: number;
}

/** Kills one thing after the other, spread evenly over the operations, and notes each in FILE.nemesis.jsonl. */
export class Nemesis {
  readonly windows: FaultWindow[] = [];
  private readonly file: string;

  constructor(
    private readonly target: ChaosTarget,
    private readonly clients: Clients,
    private readonly options: ChaosOptions,
    private readonly random: Prng,
    private readonly nowNs: () => number,
  ) {
    this.file = options.out.replace(/\.jsonl$/, '.nemesis.jsonl');
    writeFileSync(this.file, '');
  }

  get ackedInWindows(): number {
    return this.windows.reduce((sum, { acked }) => sum + acked, 0);
  }

  async run(): Promise<void> {
    const { ops, killsMin } = this.options;
    const { victims } = this.target;
    for (let kill = 0; kill < killsMin; kill++) {
      const at = ((kill + 0.3 + 0.4 * this.random.float()) * ops) / killsMin;
      while (this.clients.begunCount < at && !this.clients.isDone) await sleep(5);
      if (this.clients.isDone) return;
      // Every kind in turn, so that a short run has them all.
      await this.window(victims[kill % victims.length] as Victim);
    }
  }

  private async window(victim: Victim): Promise<void> {
    const t = this.nowNs();
    const ackedBefore = this.clients.ackedCount;
    const { what, undo } = await this.target.kill(victim, this.random.between(0, this.options.shards - 1), this.random);
    if (undo !== null) {
      await sleep(this.random.between(0, downMsMax));
      await undo();
    }
    await this.clients.everyClientServed(servedMsMax);
    const window: FaultWindow = { victim, what, t, end: this.nowNs(), acked: this.clients.ackedCount - ackedBefore };
    this.windows.push(window);
    appendFileSync(this.file, `${JSON.stringify(window)}\n`);
  }
}
