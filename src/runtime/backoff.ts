import { assert } from '../base/assert';
import type { Prng } from '../base/prng';

export interface BackoffOptions {
  readonly firstMs: number;
  readonly delayMsMax: number;
  /** Share of each delay, in [0, 1], that is drawn at random so that many who failed together do not retry together. */
  readonly jitter: number;
}

/** Delays between attempts: doubling from `firstMs` to `delayMsMax`, each less a random share. */
export class Backoff {
  private failureCount = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: Prng,
  ) {
    assert(options.firstMs > 0 && options.delayMsMax >= options.firstMs, 'Backoff: delays out of order');
    assert(options.jitter >= 0 && options.jitter <= 1, 'Backoff: jitter is a share');
  }

  get failures(): number {
    return this.failureCount;
  }

  /** Counts a failure and says how long to wait before the next attempt. */
  nextDelayMs(): number {
    const doublings = Math.min(this.failureCount++, 30);
    const delayMs = Math.min(this.options.firstMs * 2 ** doublings, this.options.delayMsMax);
    return delayMs * (1 - this.options.jitter * this.random.float());
  }

  /** After a success that has lasted. */
  reset(): void {
    this.failureCount = 0;
  }
}
