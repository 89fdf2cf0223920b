import type { NodeName } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { NetworkOptions } from './options';

/** Decides the fate of each message between nodes: how often it arrives and when. Links are cut one way at a time. */
export class SimNetwork {
  private readonly cutLinks = new Set<string>();
  private lossy = true;
  readonly counts = { sent: 0, dropped: 0, duplicated: 0, straggled: 0, cut: 0 };

  constructor(
    private readonly options: NetworkOptions,
    private readonly random: Prng,
  ) {}

  /** Delays in milliseconds, one for each copy that arrives. */
  fate(from: NodeName, to: NodeName): number[] {
    if (this.isLost(from, to)) return [];
    const delays = [this.delay()];
    if (this.lossy && this.random.chance(this.options.duplicateChance)) {
      this.counts.duplicated++;
      delays.push(this.delay());
    }
    return delays;
  }

  private isLost(from: NodeName, to: NodeName): boolean {
    this.counts.sent++;
    if (this.cutLinks.has(link(from, to))) {
      this.counts.cut++;
      return true;
    }
    if (!this.lossy || !this.random.chance(this.options.dropChance)) return false;
    this.counts.dropped++;
    return true;
  }

  private delay(): number {
    const { delayMeanMs, straggleChance } = this.options;
    const base = -Math.log(1 - this.random.float()) * delayMeanMs;
    if (!this.lossy || !this.random.chance(straggleChance)) return base;
    this.counts.straggled++;
    return base * 10 + delayMeanMs;
  }

  cut(from: NodeName, to: NodeName): void {
    this.cutLinks.add(link(from, to));
  }

  heal(): void {
    this.cutLinks.clear();
  }

  /** From here on nothing is lost, repeated or late: the liveness phase. */
  becomeReliable(): void {
    this.lossy = false;
    this.heal();
  }
}

const link = (from: NodeName, to: NodeName): string => `${from}>${to}`;
