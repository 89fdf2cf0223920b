import type { Prng } from '../base/prng';

/** Between the first numbers that a process may draw. */
const stride = 2 ** 16;

/**
 * The numbers of one actor's requests. Owned by it.
 *
 *  1. Numbers rise, and none is given twice.
 *  2. They begin at random: an answer meant for an actor that ran under this name in an earlier process must not match a
 *     request of this one. Answers travel to a name, and may arrive when it has started again, even on an emptied disk.
 */
export class RequestNumbers {
  private first = 0;
  private last = 0;

  next(random: Prng): number {
    if (this.first === 0) {
      this.first = random.uint32() * stride + 1;
      this.last = this.first - 1;
    }
    return ++this.last;
  }

  /** Whether the number is one that was given after `mark`, a value of `given`. */
  isSince(mark: number, request: number): boolean {
    return this.first > 0 && request >= this.first && request > mark && request <= this.last;
  }

  /** The number given last; 0 before the first. */
  get given(): number {
    return this.last;
  }
}
