import type { MonotonicMs } from '../base/time';
import { type IndexFigures, noFigures } from '../protocol/data-messages';
import type { MessageOf } from '../protocol/messages';
import type { ActorContext, Signal } from '../runtime/actor';
import type { ShardMachine } from '../shard/shard-machine';
import type { VectorEngine, VectorIndex } from '../vector/ports';
import type { ReplicaOptions } from './replica-options';

export const upkeepKey = 'replica.upkeep';
/** How often to look whether the graph file is loaded. */
const loadingPollMs = 20;

/** Never waits. */
export const unlinkedOf = (index: VectorIndex): number => (index.loading ? 0 : index.unlinked);

/** Never waits. */
export function figuresOf(index: VectorIndex): IndexFigures {
  if (index.loading) return noFigures;
  const { tombstones, bytes, recall } = index;
  return { tombstones, bytes: Math.round(bytes), recallExpected: recall.expected, recallFound: recall.found };
}

/** Of the process that this replica is in. */
export function memoryReply(
  { memory }: Pick<VectorEngine, 'memory'>,
  { request, shard }: MessageOf<'data.memory'>,
): MessageOf<'data.memoryReply'> {
  const counted = (value: number): number => Math.min(Math.round(value), Number.MAX_SAFE_INTEGER);
  const { bytes, bytesMax } = memory;
  return {
    kind: 'data.memoryReply',
    request,
    shard,
    failure: null,
    bytes: counted(bytes),
    bytesMax: counted(bytesMax),
  };
}

/**
 * Background work of one replica, in slices behind whatever waits: the index catches up with the store, replaced spaces
 * are deleted, and now and then the graph file is written. Points are linked by threads of the index's own.
 */
export class ReplicaUpkeep {
  private scheduled = false;
  private changesUnsaved = 0;
  private changedAt: MonotonicMs | null = null;
  private savedAt: MonotonicMs | null = null;
  /** Of the first change that no file has. */
  private unsavedAt: MonotonicMs | null = null;
  /** What the file that is being written leaves unsaved if it fails; null: none is being written. */
  private changesBeingSaved: number | null = null;

  constructor(
    private readonly machine: ShardMachine,
    private readonly index: VectorIndex,
    private readonly path: string | null,
    private readonly options: ReplicaOptions,
    private readonly indexReady: (context: ActorContext) => void,
  ) {}

  /** Work is under way, or will be once the shard has been quiet for long enough. */
  get isBusy(): boolean {
    return (
      this.scheduled ||
      this.changesBeingSaved !== null ||
      this.index.loading ||
      (this.index.unlinked > 0 && !this.options.ingest) ||
      (this.path !== null && this.index.unlinked === 0 && this.worthSaving())
    );
  }

  /** `count`: records, not log entries. 0: something else than records was applied, perhaps a snapshot. */
  changed(count: number, context: ActorContext): void {
    this.changesUnsaved += count;
    if (count > 0) {
      this.changedAt = context.now;
      this.unsavedAt ??= context.now;
    }
    this.schedule(context);
  }

  schedule(context: ActorContext): void {
    if (this.scheduled) return;
    this.scheduled = true;
    context.later({ signal: 'work', key: upkeepKey });
  }

  /** True if the signal was its own. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if ((signal.signal !== 'work' && signal.signal !== 'timer') || signal.key !== upkeepKey) return false;
    this.scheduled = false;
    if (this.slice(context)) this.schedule(context);
    return true;
  }

  /** Has the graph file written if it is worth it: when the shard is quiet, or has not been for too long, and not more often than told. */
  saveIfDue(context: ActorContext): void {
    // Also what searches left for the builders to look at.
    if (this.machine.indexReady) this.link();
    if (this.path === null || this.index.loading) return;
    this.noteSaved();
    if (this.changesBeingSaved !== null || !this.worthSaving() || !this.isTime(context.now)) return;
    this.index.saveInBackground(this.path);
    this.changesBeingSaved = this.changesUnsaved;
    this.changesUnsaved = 0;
    this.savedAt = context.now;
    this.unsavedAt = null;
  }

  /** The file may also be one that an earlier actor of this replica began. */
  private noteSaved(): void {
    const saved = this.index.takeSaved();
    if (saved === null) return;
    if (saved.appliedIndex === null) this.changesUnsaved += this.changesBeingSaved ?? 0;
    else this.machine.indexSaved(saved.appliedIndex);
    this.changesBeingSaved = null;
  }

  /** One piece of the most urgent work; true if more is left. */
  private slice(context: ActorContext): boolean {
    if (!this.machine.indexIsWorkable) {
      context.setTimer(upkeepKey, loadingPollMs, { signal: 'timer', key: upkeepKey });
      return false;
    }
    if (!this.machine.indexReady) {
      const stamp = this.index.appliedIndex;
      if (this.machine.catchUpIndex()) this.levelled(stamp, context);
      return true;
    }
    // A thread is woken for nothing else at every apply; what is left besides, saveIfDue() asks for now and then.
    if (this.index.unlinked > 0) this.link();
    if (!this.machine.payloadIndexesReady) {
      this.machine.buildPayloadIndexes();
      return true;
    }
    return !this.machine.collectGarbage();
  }

  private link(): void {
    if (!this.options.ingest) this.index.linkInBackground();
  }

  /** What an earlier run or a snapshot brought is not in the file either. */
  private levelled(stamp: number, context: ActorContext): void {
    this.changesUnsaved = this.machine.unsavedChanges(stamp);
    this.indexReady(context);
  }

  private worthSaving(): boolean {
    if (!this.machine.indexReady) return false;
    const { saveChangesMin, saveChangesShare } = this.options;
    return this.changesUnsaved >= Math.max(saveChangesMin, this.index.size * saveChangesShare);
  }

  private isTime(now: MonotonicMs): boolean {
    const { saveIntervalMs, saveQuietMs, saveOverdueMs, ingest } = this.options;
    const since = (at: MonotonicMs | null): number => (at === null ? Number.POSITIVE_INFINITY : now - at);
    if (since(this.savedAt) < saveIntervalMs) return false;
    if (since(this.changedAt) >= saveQuietMs) return this.index.unlinked === 0;
    // The file says what is linked. Without graphs there is nothing to keep that the records have not.
    return !ingest && this.unsavedAt !== null && since(this.unsavedAt) >= saveOverdueMs;
  }
}
