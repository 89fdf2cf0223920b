import type { Prng } from '../../src/base/prng';
import type { SimWorld } from './world';

/** Faults at random moments, until it is stopped. */
export class FaultSchedule {
  active = true;

  constructor(
    private readonly world: SimWorld,
    private readonly random: Prng,
  ) {}

  after(meanMs: number, label: string, run: () => void): void {
    const delayMs = -Math.log(1 - this.random.float()) * meanMs;
    this.world.schedule(delayMs, label, null, () => {
      if (this.active) run();
    });
  }

  /** `everyMs` 0: never. */
  repeat(everyMs: number, label: string, run: () => void): void {
    if (everyMs === 0) return;
    this.after(everyMs, label, () => {
      run();
      this.repeat(everyMs, label, run);
    });
  }
}
