import { deadlineMsMax } from '../../base/limits';

/** A call's budget: what the caller grants, or the default, never beyond deadlineMsMax. */
export const budgetMs = (grantedMs: number, defaultMs: number): number =>
  Math.min(grantedMs > 0 && Number.isFinite(grantedMs) ? grantedMs : defaultMs, deadlineMsMax);

/** A little less than the caller waits, so that our answer, which says what happened, arrives before it gives up. */
export const withMargin = (leftMs: number): number => Math.max(1, leftMs - Math.min(50, leftMs * 0.1));
