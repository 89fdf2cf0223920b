import { assert } from '../../base/assert';
import type { Clock } from '../actor-host';

const heartbeatMsMin = 10;
const heartbeatMsMax = 500;

/** How often a thread beats that is taken for hung after so long: often enough, and no oftener, as each beat wakes it. */
export const heartbeatMsFor = (silentMsMax: number): number =>
  Math.min(Math.max(Math.floor(silentMsMax / 8), heartbeatMsMin), heartbeatMsMax);

/** How often who watches it looks: he wakes for nothing else, and nothing is lost when he notices that much later. */
export const watchMsFor = (silentMsMax: number): number => Math.max(Math.floor(silentMsMax / 4), heartbeatMsMin);

/** One word a beater: a counter that grows while its thread's event loop turns. */
export const heartbeatWords = (count: number): SharedArrayBuffer =>
  new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT);

/** Beats for its thread at every turn of the thread's loop, which turns once an interval at least (ThreadLoop.turnMsMax). */
export class Heart {
  private readonly counters: Int32Array;
  private readonly indexes = new Set<number>();
  private beatMs = 0;

  constructor(
    words: SharedArrayBuffer,
    readonly intervalMs: number,
  ) {
    this.counters = new Int32Array(words);
  }

  beatAt(index: number): void {
    assert(index < this.counters.length, () => `heartbeat ${index} of ${this.counters.length}`);
    this.indexes.add(index);
    this.beat();
  }

  turned(): void {
    if (performance.now() - this.beatMs >= this.intervalMs / 2) this.beat();
  }

  private beat(): void {
    this.beatMs = performance.now();
    for (const index of this.indexes) Atomics.add(this.counters, index, 1);
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
