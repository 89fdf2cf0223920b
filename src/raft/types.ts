import type { LogIndex, ReplicaId, Term } from '../base/ids';
import type { Prng } from '../base/prng';
import type { Configuration, Entry, HardState, RaftMessage, SnapshotMeta } from '../protocol/raft-messages';

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'learner';

export interface RaftOptions {
  readonly self: ReplicaId;
  /** From the store; null for a member that never ran. */
  readonly hardState: HardState | null;
  /** The log begins after (baseIndex, baseTerm), which the state machine has applied. */
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  readonly entries: readonly Entry[];
  readonly configuration: Configuration;
  /** What the state machine has already applied: between baseIndex and the last entry. */
  readonly appliedIndex: LogIndex;
  /** Ticks without a leader before a campaign: drawn anew from [electionTicks, 2 * electionTicks) each time. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly random: Prng;
  /** Limits of one append message and of what is on its way to one follower. */
  readonly appendBytesMax: number;
  readonly inflightAppendsMax: number;
  readonly uncommittedBytesMax: number;
}

/**
 * What the host must do now, as in etcd-io/raft's asynchronous mode. Rules:
 *  1. `messages` may be sent at once.
 *  2. `hardState` and `entries` are written (entries replacing the log from their first index on); `afterAppend` may be
 *     sent only when this ready's write, and all earlier ones, are durable. Then the host calls appended(write).
 *     `write` is 0 when there is nothing to write; then afterAppend is empty.
 *  3. `committed` is applied in order, then the host calls applied(index). It never holds an entry twice.
 *  4. `snapshotTo` names followers whose next entry is gone from the log: the host streams them the state and reports
 *     with snapshotFinished.
 *  5. `reads` are read requests that are safe to serve once the state machine has applied `index`; `index` null: refused.
 */
export interface Ready {
  readonly write: number;
  readonly hardState: HardState | null;
  readonly entries: readonly Entry[];
  readonly messages: readonly RaftMessage[];
  readonly afterAppend: readonly RaftMessage[];
  readonly committed: readonly Entry[];
  readonly snapshotTo: readonly ReplicaId[];
  readonly reads: readonly { readonly context: number; readonly index: LogIndex | null }[];
}

export type ProposeResult =
  | { readonly ok: true; readonly index: LogIndex; readonly term: Term }
  | { readonly ok: false; readonly reason: 'notLeader' | 'busy' | 'transferring' };

/** The whole surface of the consensus core. Pure: no clock, disk, socket or randomness of its own. */
export interface RaftCore {
  readonly self: ReplicaId;
  readonly role: Role;
  readonly term: Term;
  /** 0 when unknown. */
  readonly leader: ReplicaId;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly baseIndex: LogIndex;
  readonly configuration: Configuration;
  /** True for a leader that heard from a quorum within the last election timeout: the LEADER read level. */
  readonly leaderIsConfirmed: boolean;
  /** Bytes of entries in the log, for the host to decide on truncation. */
  readonly logBytes: number;

  tick(): void;
  step(message: RaftMessage): void;
  propose(data: Uint8Array): ProposeResult;
  /** Asks for a linearizable read index; answered in a later ready under `context`, which must be unique. */
  readIndex(context: number): void;
  campaign(): void;
  hasReady(): boolean;
  ready(): Ready;
  appended(write: number): void;
  applied(index: LogIndex): void;
  /** The term of an entry still in the log, or of the base; null outside. */
  termAt(index: LogIndex): Term | null;
  /** Drops entries up to `index` (at most applied) from the log's head. */
  truncate(index: LogIndex): void;
  /** A snapshot was installed by the host: the log restarts after it. The host persists it with log.reset. */
  restore(meta: SnapshotMeta): void;
  snapshotFinished(to: ReplicaId, ok: boolean): void;
}
