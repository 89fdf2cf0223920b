import { assert } from '../../base/assert';
import type { Clock } from '../actor-host';

export const heartbeatIntervalMs = 100;

/** One word a beater: a counter that grows while its thread's event loop turns. */
export const heartbeatWords = (count: number): SharedArrayBuffer =>
  new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT);

/** Beats in the calling thread until stopped. */
export class Heart {
  private readonly timer: NodeJS.Timeout;

  constructor(words: SharedArrayBuffer, index: number) {
    const counters = new Int32Array(words);
    assert(index < counters.length, () => `heartbeat ${index} of ${counters.length}`);
    Atomics.add(counters, index, 1);
    this.timer = setInterval(() => Atomics.add(counters, index, 1), heartbeatIntervalMs);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

/**
 * Watches heartbeats from any thread. It judges by its own clock and only what it saw itself: call observe() every
 * interval. A reader that slept sees the beats of the meantime at once and takes nobody for silent.
 */
export class HeartbeatReader {
  private readonly counters: Int32Array;
  private readonly seen: { count: number; changedMs: number }[];

  constructor(
    words: SharedArrayBuffer,
    private readonly clock: Clock,
  ) {
    this.counters = new Int32Array(words);
    this.seen = Array.from(this.counters, () => ({ count: 0, changedMs: clock.now() as number }));
  }

  observe(): void {
    const now = this.clock.now();
    for (const [index, entry] of this.seen.entries()) {
      const count = Atomics.load(this.counters, index);
      if (count !== entry.count) this.seen[index] = { count, changedMs: now };
    }
  }

  /** Whether the beater has been silent for longer than `forMs`; true as well for one that has never begun. */
  isSilent(index: number, forMs: number): boolean {
    this.observe();
    const entry = this.seen[index];
    return entry === undefined || this.clock.now() - entry.changedMs > forMs;
  }

  /** A new beater takes the word over: silence counts from now. */
  restarted(index: number): void {
    this.seen[index] = { count: Atomics.load(this.counters, index), changedMs: this.clock.now() };
  }
}
