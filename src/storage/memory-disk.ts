import type { Prng } from '../base/prng';
import { FencedLogEngine } from './log-engine';
import { MemoryStore } from './memory-store';
import type { Fence, SequenceMark } from './ports';

/** The fence of one process. A restarted process has a new one. */
export class MemoryFence implements Fence {
  poisoned = false;
  epoch = 0;

  poison(): void {
    this.poisoned = true;
  }

  claim(): number {
    return ++this.epoch;
  }
}

/** A mark that is durable at once. */
export class MemoryMark implements SequenceMark {
  private sequence: number | null = null;

  read(): number | null {
    return this.sequence;
  }

  write(sequence: number): void {
    this.sequence = sequence;
  }
}

/**
 * A machine's two stores in memory. Each start of the machine's process calls start(), each start of its log writer
 * openLog(). Faults are injected through `log.hook` and `state.hook`.
 */
export class MemoryDisk {
  readonly log: MemoryStore;
  readonly state: MemoryStore;
  private readonly mark = new MemoryMark();
  private fence = new MemoryFence();

  constructor(durableHistoryMax = 0) {
    this.log = new MemoryStore(durableHistoryMax);
    this.state = new MemoryStore(durableHistoryMax);
    this.start();
  }

  /** A new process: opens the stores as they are, unpoisoned. */
  start(): void {
    this.fence = new MemoryFence();
    for (const store of [this.log, this.state]) {
      store.fence = this.fence;
      store.reopen();
    }
  }

  openLog(): FencedLogEngine {
    return new FencedLogEngine(this.log, this.mark, this.fence);
  }

  /** The machine loses power, then starts: each store keeps its own random prefix of what was not synced. */
  crash(random: Prng): void {
    this.log.crash(random);
    this.state.crash(random);
    this.start();
  }
}
