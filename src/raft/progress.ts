import { type LogIndex, logIndex } from '../base/ids';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/**
 * What a leader knows of one follower, itself excluded.
 *
 *  1. Every entry up to `match` is durable there, in this leader's version.
 *  2. `next` is above `match`: the first entry the follower is not believed to have.
 *  3. In probe one append is on its way at a time; in replicate up to `inflightMax`; in snapshot none.
 */
export class Progress {
  state: ProgressState = 'probe';
  match: LogIndex = logIndex(0);
  /** Heard from since the last quorum check. */
  active = false;
  /** Ticks in snapshot without news. */
  snapshotTicks = 0;
  /** The host has been asked to stream, and has not reported yet. */
  streaming = false;
  private probing = false;
  private inflight: LogIndex[] = [];

  constructor(
    public next: LogIndex,
    private readonly inflightMax: number,
  ) {}

  get paused(): boolean {
    if (this.state === 'snapshot') return true;
    return this.state === 'probe' ? this.probing : this.inflight.length >= this.inflightMax;
  }

  sent(lastIndex: LogIndex, count: number): void {
    if (this.state === 'probe') {
      this.probing = true;
    } else if (this.state === 'replicate' && count > 0) {
      this.next = logIndex(lastIndex + 1);
      this.inflight.push(lastIndex);
    }
  }

  /** A sign of life: whatever was being waited for may be asked again. */
  resume(): void {
    this.probing = false;
    if (this.inflight.length >= this.inflightMax) this.inflight.shift();
  }

  /** False: nothing new. */
  accepted(index: LogIndex): boolean {
    const advanced = index > this.match;
    if (advanced) this.match = index;
    if (this.next <= index) this.next = logIndex(index + 1);
    this.probing = false;
    this.inflight = this.inflight.filter((last) => last > index);
    return advanced;
  }

  /** The follower lacks `rejected`. False: an old message, of an append that has been answered since. */
  rejected(rejected: LogIndex, hint: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.probe();
      return true;
    }
    if (this.state === 'snapshot' || this.next - 1 !== rejected) return false;
    this.next = logIndex(Math.max(Math.min(rejected, hint + 1), this.match + 1));
    this.probing = false;
    return true;
  }

  probe(): void {
    this.state = 'probe';
    this.next = logIndex(this.match + 1);
    this.probing = false;
    this.inflight = [];
    this.streaming = false;
  }

  replicate(): void {
    if (this.state === 'replicate') return;
    this.probe();
    this.state = 'replicate';
  }

  awaitSnapshot(): void {
    this.probe();
    this.state = 'snapshot';
    this.snapshotTicks = 0;
    this.streaming = true;
  }
}
