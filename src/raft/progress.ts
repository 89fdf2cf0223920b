import { type LogIndex, logIndex } from '../base/ids';
import type { RaftOptions } from './types';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/** What may be on its way to one member: appends that hold entries, and bytes of entries. */
export type InflightMax = Pick<RaftOptions, 'inflightAppendsMax' | 'inflightBytesMax'>;

/**
 * What a leader knows of one other member. Owned by one leadership.
 *
 *  1. Every entry up to `match` is durable there, in this leader's version; it never falls.
 *  2. `next` is above `match`: the first entry the member is not believed to have.
 *  3. Of appends that hold entries, one is on its way in probe and none in snapshot. In replicate another one may leave
 *     while fewer than `appendsMax` are on their way and their entries weigh less than `bytesMax`: what is on its way never
 *     weighs more than that and one append, and one always may be.
 *  4. Room is made by what the member says of its log, and by nothing else: a sign of life alone tells of no arrival, and
 *     a member that only lives must not be sent ever more.
 *  5. Each state has a way out that needs no more than answered heartbeats: in probe and replicate the member is then asked
 *     whether it has what was sent, and says so or refuses; snapshot ends by the host's report. So nothing stays stuck
 *     however many messages are lost.
 */
export class Progress {
  state: ProgressState = 'probe';
  match: LogIndex = logIndex(0);
  /** Ticks since its last word. */
  silentTicks = Number.POSITIVE_INFINITY;
  private probing = false;
  /** Each append on its way that holds entries: its last index, rising, and what they weigh. */
  private readonly inflight: { readonly last: LogIndex; readonly bytes: number }[] = [];
  private bytes = 0;

  constructor(
    public next: LogIndex,
    private readonly max: InflightMax,
  ) {}

  /** What the entries on their way in replicate weigh. */
  get inflightBytes(): number {
    return this.bytes;
  }

  get paused(): boolean {
    if (this.state === 'snapshot') return true;
    if (this.state === 'probe') return this.probing;
    return this.inflight.length >= this.max.inflightAppendsMax || this.bytes >= this.max.inflightBytesMax;
  }

  /** An append has left that ends at `last`, with entries that weigh `bytes`; 0: it has none. */
  sent(last: LogIndex, bytes: number): void {
    if (this.state === 'probe') {
      this.probing = true;
    } else if (this.state === 'replicate' && bytes > 0) {
      this.next = logIndex(last + 1);
      this.inflight.push({ last, bytes });
      this.bytes += bytes;
    }
  }

  /** The member's log matches up to `index`. False: nothing new. */
  accepted(index: LogIndex): boolean {
    const advanced = index > this.match;
    if (advanced) this.match = index;
    if (this.next <= index) this.next = logIndex(index + 1);
    this.probing = false;
    for (let first = this.inflight[0]; first !== undefined && first.last <= index; first = this.inflight[0]) {
      this.inflight.shift();
      this.bytes -= first.bytes;
    }
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
    this.bytes = 0;
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
