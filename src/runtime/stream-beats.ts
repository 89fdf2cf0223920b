/** At rest an end says that it lives once in so many heartbeats. */
export const restBeats = 5;
export const restBeatsMax = 60;
/** After carrying something an end expects a sign at every heartbeat for this long, and gives one itself for longer. */
const expectBeats = 4;
const speakBeats = 8;
/** So many in a row may be missing. */
const missedMax = 3;

/**
 * When one end of a stream says that it lives, and when it takes the other for dead. The ends agree on the length of a
 * heartbeat and tell each other at the start that they rest; they share no clock.
 *
 *  1. A stream that carries something has a sign of life at every heartbeat, from both ends. One that has carried nothing
 *     for a while rests: each end speaks once in `restBeats` heartbeats, and waits for so many more.
 *  2. Who ends a rest by sending something expects an answer as from a stream that never rested: what happened meanwhile is
 *     noticed within `missedMax` heartbeats.
 *  3. An end goes on speaking for longer than the other goes on expecting it: they need not agree on when a rest begins.
 *  4. An end whose peer does not rest, as in earlier versions, does not rest either.
 *  5. It counts heartbeats, not time: a process that slept must first read what has come.
 */
export class StreamBeats {
  /** Since anything was heard. */
  private silent = 0;
  /** Since something was carried, either way. */
  private idle = 0;

  /** `peerRestBeats`: how often the other end speaks at rest; null: it never rests. */
  constructor(private readonly peerRestBeats: number | null) {}

  /** Something other than a sign of life was sent. */
  sent(): void {
    if (this.idle > expectBeats) this.silent = 0;
    this.idle = 0;
  }

  /** `isData`: it was more than a sign of life. */
  heard(isData: boolean): void {
    this.silent = 0;
    if (isData) this.idle = 0;
  }

  /** A heartbeat has passed: what is to be done. `speak` may be left out if something was sent within that heartbeat. */
  beat(): 'speak' | 'rest' | 'dead' {
    this.silent++;
    this.idle++;
    if (this.silent > this.silentMax) return 'dead';
    const rests = this.peerRestBeats !== null && this.idle > speakBeats;
    return rests && this.idle % restBeats !== 0 ? 'rest' : 'speak';
  }

  /** Heartbeats without a word after which the other end is dead. */
  get silentMax(): number {
    const mayRest = this.peerRestBeats !== null && this.idle > expectBeats;
    return mayRest ? missedMax * (this.peerRestBeats ?? 1) : missedMax;
  }
}
