import { assert } from '../base/assert';
import { livesHeardMax } from '../base/limits';

/** One word each: how often the writer of what was heard has begun, and how many places of lives heard are in use. */
const headWords = 2;
const wordsBytes = Int32Array.BYTES_PER_ELEMENT;
const lifeBytes = BigInt64Array.BYTES_PER_ELEMENT;

/**
 * What the threads of one machine tell each other of lives (DESIGN D2), in memory that they share: nobody is woken by it.
 * Keepers write that they turn, the machine's `beats` actor writes which lives of other machines it hears.
 *
 *  1. A place is one thread's at a time, and only that thread writes there; a successor begins after its exit.
 *  2. What was heard has one writer. A life gives way to another only when there is no room, the one heard longest ago.
 *  3. A counter that has grown means that the life beside it turned, or was heard, since: a place is emptied before its
 *     counter grows for another life. So nobody is taken for alive by what another one did.
 *
 * Memory: head, turns of each place, counts of each life heard, then the lives of both, each 64 bits.
 */
export class BeatBoard {
  private readonly head: Int32Array;
  private readonly turns: Int32Array;
  private readonly counts: Int32Array;
  private readonly places: BigInt64Array;
  private readonly heard: BigInt64Array;

  constructor(memory: SharedArrayBuffer) {
    const perPlace = wordsBytes + lifeBytes;
    const count = (memory.byteLength - headWords * wordsBytes) / perPlace - livesHeardMax;
    assert(Number.isInteger(count) && count > 0, () => `a board of ${memory.byteLength} bytes`);
    let at = 0;
    const words = (length: number): Int32Array => {
      const view = new Int32Array(memory, at, length);
      at += view.byteLength;
      return view;
    };
    const lives = (length: number): BigInt64Array => {
      const view = new BigInt64Array(memory, at, length);
      at += view.byteLength;
      return view;
    };
    this.head = words(headWords);
    this.turns = words(count);
    this.counts = words(livesHeardMax);
    this.places = lives(count);
    this.heard = lives(livesHeardMax);
  }

  /** For so many threads; even, so that lives are aligned. */
  static memory(places: number): SharedArrayBuffer {
    const count = places + (places % 2);
    return new SharedArrayBuffer(headWords * wordsBytes + (count + livesHeardMax) * (wordsBytes + lifeBytes));
  }

  /** The thread at the place turns, and this is its life. */
  speak(place: number, life: number): void {
    Atomics.store(this.places, place, BigInt(life));
    Atomics.add(this.turns, place, 1);
  }

  /** A counter of the turns of the thread that has this life; null: none has. */
  turnsOf(life: number): number | null {
    const place = this.places.indexOf(BigInt(life));
    return place < 0 || life === 0 ? null : Atomics.load(this.turns, place);
  }

  /** Another number after each begin(). */
  get begun(): number {
    return Atomics.load(this.head, 0);
  }

  /** Nothing has been heard. Called by the writer of what is heard, before anything else. */
  begin(): void {
    for (let at = 0; at < livesHeardMax; at++) Atomics.store(this.heard, at, 0n);
    Atomics.add(this.head, 0, 1);
  }

  /** For HeardLives alone. */
  hear(at: number, life: number): void {
    if (Atomics.load(this.heard, at) !== BigInt(life)) {
      Atomics.store(this.heard, at, 0n);
      Atomics.add(this.counts, at, 1);
      Atomics.store(this.heard, at, BigInt(life));
      if (at >= Atomics.load(this.head, 1)) Atomics.store(this.head, 1, at + 1);
    } else Atomics.add(this.counts, at, 1);
  }

  /** The lives heard since `seen`, a reader's own memory, was last passed here. */
  newsSince(seen: number[]): number[] {
    const lives: number[] = [];
    const used = Atomics.load(this.head, 1);
    for (let at = 0; at < used; at++) {
      const count = Atomics.load(this.counts, at);
      if (count === (seen[at] ?? 0)) continue;
      const life = Number(Atomics.load(this.heard, at));
      if (life === 0) continue;
      seen[at] = count;
      lives.push(life);
    }
    return lives;
  }
}

/** The one writer of what a machine has heard. */
export class HeardLives {
  /** Where each life is, the one heard longest ago first. */
  private readonly places = new Map<number, number>();

  constructor(private readonly board: BeatBoard) {}

  begin(): void {
    this.board.begin();
  }

  hear(lives: Iterable<number>): void {
    for (const life of lives) {
      const at = this.placeFor(life);
      this.places.delete(life);
      this.places.set(life, at);
      this.board.hear(at, life);
    }
  }

  private placeFor(life: number): number {
    const known = this.places.get(life);
    if (known !== undefined) return known;
    if (this.places.size < livesHeardMax) return this.places.size;
    const [oldest] = this.places;
    assert(oldest !== undefined, 'a full board has lives');
    this.places.delete(oldest[0]);
    return oldest[1];
  }
}
