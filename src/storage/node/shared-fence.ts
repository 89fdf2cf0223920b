import type { Fence } from '../ports';

const poisonedWord = 0;
const epochWord = 1;

/** The fence of one machine in memory that all threads of its process share. Starts as zeros. */
export class SharedFence implements Fence {
  private readonly words: Int32Array;

  constructor(readonly shared = new SharedArrayBuffer(8)) {
    this.words = new Int32Array(shared);
  }

  get poisoned(): boolean {
    return Atomics.load(this.words, poisonedWord) !== 0;
  }

  poison(): void {
    Atomics.store(this.words, poisonedWord, 1);
  }

  get epoch(): number {
    return Atomics.load(this.words, epochWord);
  }

  claim(): number {
    return Atomics.add(this.words, epochWord, 1) + 1;
  }
}
