import type { MonotonicMs } from '../base/time';

interface Budget {
  left: number;
  filledAt: MonotonicMs;
}

/** How often groups may be asked for their leader: a few times at once, then at a steady pace, whoever asks. */
export class ProbeBudgets {
  private readonly budgets = new Map<string, Budget>();

  constructor(
    private readonly everyMs: number,
    private readonly atOnce: number,
  ) {}

  /** False: not now. */
  take(group: string, now: MonotonicMs): boolean {
    const budget = this.budgets.get(group) ?? { left: this.atOnce, filledAt: now };
    this.budgets.set(group, budget);
    const earned = Math.floor((now - budget.filledAt) / this.everyMs);
    if (budget.left + earned >= this.atOnce) {
      budget.left = this.atOnce;
      budget.filledAt = now;
    } else {
      budget.left += earned;
      budget.filledAt = (budget.filledAt + earned * this.everyMs) as MonotonicMs;
    }
    if (budget.left === 0) return false;
    budget.left--;
    return true;
  }

  /** Groups that are gone must not be remembered for ever. */
  forget(group: string): void {
    this.budgets.delete(group);
  }
}
