import type { NodeName } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { NetworkOptions } from './options';
import type { FaultKind, Tally } from './tally';

/** From soon after the first copy to long after an election. */
const lateCopyMsMin = 100;
const lateCopyMsMax = 6_000;
/** Of late copies, those that are the only one. */
const aloneShare = 0.5;

/** Decides the fate of each message between nodes: how often it arrives and when. Links are cut one way at a time. */
export class SimNetwork {
  private readonly cutLinks = new Set<string>();
  /** Until when a link holds back what is sent over it. */
  private readonly clogged = new Map<string, number>();
  private lossy = true;

  constructor(
    private readonly options: NetworkOptions,
    private readonly random: Prng,
    private readonly tally: Tally<FaultKind>,
  ) {}

  /** Delays in milliseconds, one for each copy that arrives. */
  fate(from: NodeName, to: NodeName, now: number): number[] {
    if (this.isLost(from, to)) return [];
    const held = this.heldMs(from, to, now);
    const delays = [held + this.delay()];
    if (this.lossy && this.random.chance(this.options.duplicateChance)) {
      this.tally.add('duplicate');
      delays.push(held + this.delay());
    }
    if (this.lossy && this.random.chance(this.options.lateCopyChance)) {
      this.tally.add('lateCopy');
      if (this.random.chance(aloneShare)) delays.length = 0;
      delays.push(held + this.random.between(lateCopyMsMin, lateCopyMsMax));
    }
    return delays;
  }

  /** Whether this copy of a message loses its end on the way. */
  truncates(): boolean {
    if (!this.lossy || !this.random.chance(this.options.truncateChance)) return false;
    this.tally.add('truncate');
    return true;
  }

  private isLost(from: NodeName, to: NodeName): boolean {
    if (this.cutLinks.size > 0 && this.cutLinks.has(link(from, to))) {
      this.tally.add('cut');
      return true;
    }
    if (!this.lossy || !this.random.chance(this.options.dropChance)) return false;
    this.tally.add('drop');
    return true;
  }

  private heldMs(from: NodeName, to: NodeName, now: number): number {
    if (this.clogged.size === 0) return 0;
    return Math.max(0, (this.clogged.get(link(from, to)) ?? 0) - now);
  }

  private delay(): number {
    const { delayMeanMs, straggleChance } = this.options;
    const base = -Math.log(1 - this.random.float()) * delayMeanMs;
    if (!this.lossy || !this.random.chance(straggleChance)) return base;
    this.tally.add('straggle');
    return base * 10 + delayMeanMs;
  }

  cut(from: NodeName, to: NodeName): void {
    this.cutLinks.add(link(from, to));
  }

  clog(from: NodeName, to: NodeName, untilMs: number): void {
    this.clogged.set(link(from, to), untilMs);
  }

  mend(from: NodeName, to: NodeName): void {
    this.cutLinks.delete(link(from, to));
  }

  get isLossy(): boolean {
    return this.lossy;
  }

  heal(): void {
    this.cutLinks.clear();
  }

  /** From here on nothing is lost, repeated or late: the liveness phase. */
  becomeReliable(): void {
    this.lossy = false;
    this.clogged.clear();
    this.heal();
  }
}

const link = (from: NodeName, to: NodeName): string => `${from}>${to}`;
