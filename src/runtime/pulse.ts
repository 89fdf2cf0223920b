/**
 * Until the next whole interval of the wall clock, unless that is too near: then until the one after it. Those whose clocks
 * agree wake at once, so that each wakes once for what it says and most of what it hears. Whatever the clock does, .25 to
 * 1.25 intervals.
 */
export function pulseDelayMs(wallMs: number, intervalMs: number): number {
  const leftMs = intervalMs - (wallMs % intervalMs);
  return leftMs < intervalMs / 4 ? leftMs + intervalMs : leftMs;
}
