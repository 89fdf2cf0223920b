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
  /** As of appliedIndex; later ones are in the entries. */
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
  /** Once as many bytes of entries are on their way to a follower, no more leave for it; one append always may go. */
  readonly inflightBytesMax: number;
  /** A leader with more bytes of its own term uncommitted refuses proposals; a single one of any size is accepted. */
  readonly uncommittedBytesMax: number;
}

/**
 * What the host must do now, as in etcd-io/raft's asynchronous mode. Rules:
 *  1. `messages` may be sent at once: the core has held back what speaks of a term, a vote or entries that are not durable.
 *  2. `hardState` and `entries` are written in one step, entries replacing the log from their first index on; writes
 *     become durable in the order of their numbers. Once this one and all before it are, `afterAppend` is sent and
 *     appended(write) is called; calls may be skipped (a later one speaks for them), repeated or late. `write` is 0 when
 *     there is nothing to write; then `entries` and `afterAppend` are empty and `hardState` is null. `hardState.commit`
 *     never lies beyond the entries written so far.
 *  3. `committed` is applied in order, then the host calls applied(index). It never holds an entry twice, nor one that is
 *     not durable in the own store, so what is applied may be cut from the log without a further look.
 *  4. `snapshotTo` names followers whose next entry is gone from the log: the host streams them the state and reports
 *     the end of each stream, good or bad, with snapshotFinished; without that the follower gets nothing else for as long
 *     as this member leads. Streams are dropped without a report when leadership is lost.
 *  5. `reads` are read requests that are safe to serve once the state machine has applied `index`; `index` null: refused.
 *  6. Entries of one ready weigh about logBatchBytesMax at most; the rest comes with the next: drain until hasReady() is
 *     false.
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

/** The members that a change shall lead to. */
export type MembersWanted = Pick<Configuration, 'voters' | 'learners'>;

/**
 * `changing`: the change before is not over. `early`: nothing of this term is committed yet. `lagging`: a new voter is not a
 * learner that has caught up. `silent`: no quorum of the new voters was heard lately. `invalid`: nobody would vote.
 */
export type ChangeResult =
  | { readonly ok: true; readonly index: LogIndex; readonly term: Term }
  | {
      readonly ok: false;
      readonly reason: 'notLeader' | 'transferring' | 'changing' | 'early' | 'lagging' | 'silent' | 'invalid';
    };

/** `ineligible`: not a voter, or on its way out, or this member itself. */
export type TransferResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'notLeader' | 'transferring' | 'ineligible' };

/**
 * The whole surface of the consensus core. Pure: no clock, disk, socket or randomness of its own. Called synchronously by
 * one host, which drains ready() after each call. Assertions mean that the core or its host is broken.
 */
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
  /** In force: the last one in the log, committed or not. */
  readonly configuration: Configuration;
  /** True while a change of members is not over: its last entry is not applied here, or the configuration is joint. */
  readonly isChanging: boolean;
  /** Whom leadership is being handed to; 0: nobody. */
  readonly transferee: ReplicaId;
  /**
   * True for a leader that heard from a quorum within the last election timeout: the LEADER read level. By ticks, and so
   * no promise of linearizability: that is what readIndex gives.
   */
  readonly leaderIsConfirmed: boolean;
  /** Bytes of entries in the log, for the host to decide on truncation. */
  readonly logBytes: number;

  /** A leader with nothing to do, for itself or for anybody of its group: all is committed and matched everywhere. */
  readonly isIdle: boolean;
  /** Whether this member holds, committed and applied, what its leader of this term has up to `index`, and nothing else. */
  isLevelWith(leader: ReplicaId, term: Term, index: LogIndex): boolean;
  /**
   * Time went by without ticks, in which other signs of life stood for heartbeats and their answers: each member was last
   * heard so many ticks ago.
   */
  resume(silentTicksOf: (member: ReplicaId) => number): void;
  /** A leader's heartbeats leave now. */
  beat(): void;
  tick(): void;
  step(message: RaftMessage): void;
  propose(data: Uint8Array): ProposeResult;
  /**
   * Changes the members through joint consensus (Raft, section 6): enters the joint configuration now, and leaves it by a
   * second entry once that is committed. New voters must have been learners that have caught up (thesis, 4.2.1).
   */
  changeMembers(wanted: MembersWanted, context: Uint8Array): ChangeResult;
  /**
   * Hands leadership over (thesis, 3.10): proposals are refused until the other leads or an election timeout has passed.
   */
  transferLeadership(to: ReplicaId): TransferResult;
  /** Asks for a linearizable read index; answered in a later ready under `context`, which must be unique. */
  readIndex(context: number): void;
  campaign(): void;
  hasReady(): boolean;
  ready(): Ready;
  /** Writes up to this one are durable. */
  appended(write: number): void;
  applied(index: LogIndex): void;
  /** The term of an entry still in the log, or of the base; null outside. */
  termAt(index: LogIndex): Term | null;
  /**
   * Drops entries up to `index` (at most applied) from the log's head; at once, whatever the host's store does. A follower
   * that needs them is probed at the new base, and is sent a snapshot once it says that it lacks that.
   */
  truncate(index: LogIndex): void;
  /**
   * The host's state machine holds a snapshot ahead of commit: the log restarts after it, and promises not yet kept about
   * the old log are dropped. The host persists the new beginning with log.reset before any later write: the core asks for
   * a write of its own behind it, which its next promises, and the leader's `snapshotInstalled`, wait for. Must not be called on a leader, nor if the log holds the snapshot's last entry.
   */
  restore(meta: SnapshotMeta): void;
  /**
   * The end of a stream that was asked for in `snapshotTo`. What the follower holds now is told by `snapshotInstalled`, or
   * else by a probe after its next heartbeat answer, so that a stream which fails at once is not repeated at once.
   */
  snapshotFinished(to: ReplicaId, ok: boolean): void;
}
