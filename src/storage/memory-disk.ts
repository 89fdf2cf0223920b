import type { Prng } from '../base/prng';
import { belowMark, FencedLogEngine } from './log-engine';
import { MemoryStore } from './memory-store';
import type { Fence, KeyValueStore, SequenceMark } from './ports';

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
  private readonly logMark: MemoryMark;
  private readonly stateMark: MemoryMark;
  private fence = new MemoryFence();

  /** `before`: the disk whose stores this one holds a copy of, with the same marks. */
  constructor(durableHistoryMax = 0, before: MemoryDisk | null = null) {
    this.log = before?.log.copy() ?? new MemoryStore(durableHistoryMax);
    this.state = before?.state.copy() ?? new MemoryStore(durableHistoryMax);
    this.logMark = before?.logMark ?? new MemoryMark();
    this.stateMark = before?.stateMark ?? new MemoryMark();
    this.start();
  }

  /** Nothing was ever written to it. */
  get isEmpty(): boolean {
    return this.log.sequence === 0 && this.state.sequence === 0;
  }

  /** Why the stores as they are cannot be trusted, or null: they hold less than their marks say. */
  get corruption(): string | null {
    return belowMark(this.log, this.logMark) ?? belowMark(this.state, this.stateMark);
  }

  /** A new process: opens the stores as they are, unpoisoned. */
  start(): void {
    this.fence = new MemoryFence();
    for (const store of [this.log, this.state]) {
      store.fence = this.fence;
      store.reopen();
    }
  }

  /** Whether the process that has the stores open can write no more. */
  get poisoned(): boolean {
    return this.fence.poisoned;
  }

  openLog(): FencedLogEngine {
    return new FencedLogEngine(this.log, this.logMark, this.fence);
  }

  /** The sync barrier of the state store, which moves its mark. */
  get stateBarrier(): Pick<KeyValueStore, 'sync'> {
    return {
      sync: () => {
        const before = this.state.sequence;
        this.state.sync();
        this.stateMark.write(before);
      },
    };
  }

  /**
   * The same machine on a disk that had lied: of one store, batches that had been synced are gone, and with them whatever
   * came later. All of them, if it has lost its contents and kept its name. `durableHistoryMax` bounds how many.
   */
  afterLie(random: Prng): MemoryDisk {
    const disk = new MemoryDisk(0, this);
    const isBelow = (): boolean => disk.corruption !== null;
    const [first, second] = random.chance(0.5) ? [disk.log, disk.state] : [disk.state, disk.log];
    for (const store of [first, second]) {
      const least = random.chance(0.3) ? store.losableCount : random.between(1, Math.max(1, store.losableCount));
      for (let lost = 0; store.losableCount > 0 && (lost < least || !isBelow()); lost++) store.loseDurable(1);
      if (isBelow()) return disk;
    }
    return disk;
  }

  /** The machine loses power, then starts: each store keeps its own random prefix of what was not synced. */
  crash(random: Prng): void {
    this.log.crash(random);
    this.state.crash(random);
    this.start();
  }
}
