import type { LogIndex, Term } from '../base/ids';
import type { Entry, SnapshotMeta } from '../protocol/raft-messages';

/** What a raft member drives: a shard's points, or the placement driver's records. */
export interface StateMachine {
  readonly appliedIndex: LogIndex;
  readonly appliedTerm: Term;
  /** Equal for equal states at equal applied indices: how replicas prove that they are equal. */
  digest(): string;
  /**
   * Applies entries in order, in one store batch together with the applied index. Total: a command that cannot be
   * applied changes nothing but the applied index, and its outcome says why. Only `command` entries have outcomes.
   */
  apply(entries: readonly Entry[]): void;
  /** A consistent source of the state at appliedIndex; null chunk at the end. */
  openSnapshot(): SnapshotSource;
  /** Replaces the state by a snapshot, visible only with finish(). `stream` names the attempt, for its resumption. */
  openRestore(meta: SnapshotMeta, stream: number): SnapshotSink;
  /** The restore of this stream and snapshot that was left off, and how many chunks of it are there; null: none is. */
  resumeRestore?(meta: SnapshotMeta, stream: number): { readonly sink: SnapshotSink; readonly chunks: number } | null;
  /** Gives up a restore that was left off. */
  dropRestore?(): void;
}

export interface SnapshotSource {
  readonly index: LogIndex;
  readonly term: Term;
  /** Chunk `n`, counted from 0, at most snapshotChunkBytesMax; the same again when asked again. Null: no more. */
  chunk(n: number): Uint8Array | null;
  close(): void;
}

export interface SnapshotSink {
  accept(chunk: Uint8Array): void;
  /** Makes what was accepted durable, for a resumption. */
  sync?(): void;
  /** Atomically makes the new state and its applied index the replica's own. */
  finish(): void;
  abort(): void;
}
