import { type LogIndex, logIndex } from '../base/ids';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/**
 * What a leader knows of one other member. Owned by one leadership.
 *
 *  1. Every entry up to `match` is durable there, in this leader's version; it never falls.
 *  2. `next` is above `match`: the first entry the member is not believed to have.
 *  3. In probe one append is on its way at a time; in replicate up to `inflightMax` that hold entries; in snapshot none.
 *  4. Each state has a way out that needs no more than answered heartbeats: probe and a full pipeline are tried again by
 *     resume(), snapshot ends by the host's report. So nothing stays stuck however many messages are lost.
 */
export class Progress {
  state: ProgressState = 'probe';
  match: LogIndex = logIndex(0);
  /** Ticks since its last word. */
  silentTicks = Number.POSITIVE_INFINITY;
  private probing = false;
  /** The last index of each append on its way, rising. */
  private readonly inflight: LogIndex[] = [];

  constructor(
    public next: LogIndex,
    private readonly inflightMax: number,
  ) {}

  get paused(): boolean {
    if (this.state === 'snapshot') return true;
    return this.state === 'probe' ? this.probing : this.inflight.length >= this.inflightMax;
  }

  /** An append has left that ends at `lastIndex` and holds `count` entries. */
  sent(lastIndex: LogIndex, count: number): void {
    if (this.state === 'probe') {
      this.probing = true;
    } else if (this.state === 'replicate' && count > 0) {
      this.next = logIndex(lastIndex + 1);
      this.inflight.push(lastIndex);
    }
  }

  /** A sign of life: what was waited for may be lost, and may be tried again. */
  resume(): void {
    this.probing = false;
    if (this.inflight.length >= this.inflightMax) this.inflight.shift();
  }

  /** The member's log matches up to `index`. False: nothing new. */
  accepted(index: LogIndex): boolean {
    const advanced = index > this.match;
    if (advanced) this.match = index;
    if (this.next <= index) this.next = logIndex(index + 1);
    this.probing = false;
    while (this.inflight[0] !== undefined && this.inflight[0] <= index) this.inflight.shift();
    return advanced;
  }

  /** The member lacks `rejected`; the logs may agree at `hint`. False: an old message, of an append answered since. */
  rejected(rejected: LogIndex, hint: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.probe(logIndex(this.match + 1));
      return true;
    }
    if (this.state === 'snapshot' || this.next - 1 !== rejected) return false;
    this.next = logIndex(Math.max(Math.min(rejected, hint + 1), this.match + 1));
    this.probing = false;
    return true;
  }

  probe(next: LogIndex): void {
    this.state = 'probe';
    this.next = next;
    this.probing = false;
    this.inflight.length = 0;
  }

  replicate(): void {
    if (this.state === 'replicate') return;
    this.probe(logIndex(this.match + 1));
    this.state = 'replicate';
  }

  awaitSnapshot(): void {
    this.probe(logIndex(this.match + 1));
    this.state = 'snapshot';
  }

  /** Well or not, what the member holds now is found out by a probe, after its next sign of life and not before. */
  snapshotEnded(): void {
    this.probe(logIndex(this.match + 1));
    this.probing = true;
  }
}
