import { VectronError } from '../base/errors';
import type { Fence, LogEngine, SequencedStore, SequenceMark, WriteBatch } from './ports';

/**
 * The log store with its guards (DESIGN D3). Owned by the log writer; one at a time, as its fence decides.
 *
 *  1. A commit that returned is on disk, and the mark says so before anybody is told.
 *  2. The first failure is final: it poisons the fence, which every thread of the process checks.
 *  3. An engine whose store was claimed by a successor writes nothing and lets nothing be acknowledged. The successor
 *     claims only after its predecessor's thread has exited, so that no write is under way.
 *  4. A store that opens below its mark has lost synced writes. It is never written to again.
 */
export class FencedLogEngine implements LogEngine {
  readonly corruption: string | null;
  private readonly epoch: number;

  constructor(
    readonly store: SequencedStore,
    private readonly mark: SequenceMark,
    private readonly fence: Fence,
  ) {
    this.epoch = fence.claim();
    this.corruption = belowMark(store, mark);
  }

  get poisoned(): boolean {
    return this.fence.poisoned || this.fence.epoch !== this.epoch;
  }

  poison(): void {
    this.fence.poison();
  }

  commit(batch: WriteBatch): void {
    this.expectUsable();
    try {
      this.store.write(batch, { sync: true });
      this.mark.write(this.store.sequence);
    } catch (cause) {
      this.fence.poison();
      throw new VectronError('POISONED', `the log store failed a write: ${messageOf(cause)}`, { cause });
    }
    this.expectUsable();
  }

  private expectUsable(): void {
    if (this.corruption !== null) throw new VectronError('CORRUPT', this.corruption);
    if (this.fence.poisoned) throw new VectronError('POISONED', 'an earlier write to this process’s stores failed');
    if (this.fence.epoch !== this.epoch) throw new VectronError('POISONED', 'another log writer has taken over');
  }
}

/** Why a store cannot be trusted given its mark, or null. */
export function belowMark(store: SequencedStore, mark: SequenceMark): string | null {
  try {
    const synced = mark.read();
    if (synced === null || store.sequence >= synced) return null;
    return `the store ends at sequence ${store.sequence}, but ${synced} had been synced`;
  } catch (error) {
    if (error instanceof VectronError && error.code === 'CORRUPT') return error.message;
    throw error;
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
