import type { LogIndex, ReplicaId, Space } from '../base/ids';
import type { FlagRange } from '../protocol/flags';
import type { KeyHash } from '../protocol/key-hash';
import type { SnapshotMeta } from '../protocol/raft-messages';
import type { KeyValueStore } from '../storage/ports';
import type { Descriptor } from './descriptor';
import { type RestoreProgress, readProgress } from './restore-progress';
import { ShardSnapshotSink } from './snapshot-sink';

export interface RestoresPort {
  readonly state: KeyValueStore;
  readonly replica: ReplicaId;
  readonly keyHash: KeyHash;
  readonly flags: FlagRange;
  /** As it is now. */
  appliedIndex(): LogIndex;
  installed(descriptor: Descriptor): void;
  aborted(space: Space): void;
}

/**
 * The snapshot that a shard is taking, of which there is one at most, and the generations of spaces. Owned by the shard machine.
 * One that was cut off by a restart goes on where the last chunk that survived ended.
 */
export class Restores {
  private generationNext: number;
  private current: ShardSnapshotSink | null = null;

  /** `generation`: of the space that is in use. */
  constructor(
    private readonly port: RestoresPort,
    private readonly generation: number,
  ) {
    const left = readProgress(port.state, port.replica);
    const rest = left !== null && this.isUsable(left) ? left : null;
    if (rest !== null) this.current = this.newSink(rest.meta, rest.stream, rest.generation, rest);
    this.kept = rest === null ? [generation] : [generation, rest.generation];
    this.generationNext = Math.max(...this.kept) + 1;
  }

  /** Generations whose spaces are in use at the start; others are nobody's. */
  readonly kept: readonly number[];

  private isUsable({ meta, generation, header }: RestoreProgress): boolean {
    const isKnown = header === null || header.level <= this.port.flags.newest;
    return isKnown && meta.index > this.port.appliedIndex() && generation > this.generation;
  }

  /** One that was under way is aborted. */
  open(meta: SnapshotMeta, stream: number): ShardSnapshotSink {
    this.drop();
    this.current = this.newSink(meta, stream, this.generationNext++, null);
    return this.current;
  }

  resume(meta: SnapshotMeta, stream: number): { readonly sink: ShardSnapshotSink; readonly chunks: number } | null {
    const sink = this.current;
    const isIt = sink?.isOf(meta, stream) === true && meta.index > this.port.appliedIndex();
    return isIt ? { sink, chunks: sink.chunks } : null;
  }

  drop(): void {
    this.current?.abort();
    this.current = null;
  }

  private newSink(
    meta: SnapshotMeta,
    stream: number,
    generation: number,
    resumed: RestoreProgress | null,
  ): ShardSnapshotSink {
    const { state: store, replica, keyHash, flags } = this.port;
    return new ShardSnapshotSink({
      ...{ store, replica, keyHash, flags, meta, stream, generation, resumed },
      installed: (descriptor) => {
        this.current = null;
        this.port.installed(descriptor);
      },
      aborted: (space) => this.port.aborted(space),
    });
  }
}
