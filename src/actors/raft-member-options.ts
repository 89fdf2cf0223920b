import type { ClusterId, ReplicaId, ShardId } from '../base/ids';
import { inflightBytesMax, logWindowBytesMax, uncommittedBytesMax } from '../base/limits';
import type { Address } from '../protocol/envelope';
import type { Epoch } from '../protocol/ids';
import type { MessageOf } from '../protocol/messages';
import type { Configuration, Entry } from '../protocol/raft-messages';
import type { RaftCore, RaftOptions } from '../raft/types';
import type { ActorContext } from '../runtime/actor';
import type { StateMachine } from './state-machine';
import type { ThreadKeeper } from './thread-keeper';

export interface RaftMemberTuning {
  readonly tickMs: number;
  readonly heartbeatTicks: number;
  /** A follower campaigns after [electionTicks, 2 * electionTicks) without a leader. */
  readonly electionTicks: number;
  readonly appendBytesMax: number;
  readonly inflightAppendsMax: number;
  readonly inflightBytesMax: number;
  readonly uncommittedBytesMax: number;
  /** Bytes of log kept behind the applied index for followers that lag. */
  readonly logWindowBytes: number;
  /** Bytes of entries applied in one handler. */
  readonly applyBytesMax: number;
  /** Bytes of a snapshot on their way to one receiver. */
  readonly snapshotWindowBytes: number;
  /** Proposals gathered before they are sent and written although more work waits. */
  readonly batchBytesMax: number;
  /** A group that was idle for so long goes to sleep; 0: never. */
  readonly sleepAfterTicks: number;
}

/** Elections after 1 to 2 seconds, heartbeats every 150 ms, sleep after 2 seconds. */
export const raftMemberTuning: RaftMemberTuning = {
  tickMs: 50,
  heartbeatTicks: 3,
  electionTicks: 20,
  appendBytesMax: 1024 * 1024,
  inflightAppendsMax: 64,
  inflightBytesMax,
  uncommittedBytesMax,
  logWindowBytes: logWindowBytesMax,
  applyBytesMax: 1024 * 1024,
  snapshotWindowBytes: 4 * 1024 * 1024,
  batchBytesMax: 256 * 1024,
  sleepAfterTicks: 40,
};

/**
 * Who has nothing to say but that it lives says so this often: four times within an election time-out, so that of two such
 * words that are late or lost nobody takes notice.
 */
export const restTicks = ({
  heartbeatTicks,
  electionTicks,
}: Pick<RaftMemberTuning, 'heartbeatTicks' | 'electionTicks'>) =>
  Math.max(heartbeatTicks, Math.floor(electionTicks / 4));

/** Who a peer message is from and for. */
export type PeerHeader = Omit<MessageOf<'peer.raft'>, 'kind' | 'message'>;

/**
 * `removed`: the store has a tombstone for this member. `failed`: its stores are of no use until they are opened anew.
 * `damaged`: what it holds is not what it acknowledged, and no restart mends that. `outdated`: it met what only a later
 * version of the program knows.
 */
export type MemberEnd = 'removed' | 'failed' | 'damaged' | 'outdated';

export interface RaftMemberEvents {
  /** Role, term or leader is another, or the member has fallen asleep or woken. */
  changed(context: ActorContext): void;
  /** After every apply and before the proposals among `entries` are settled; after a snapshot with no entries. */
  applied(entries: readonly Entry[], context: ActorContext): void;
  /** Another member says what its state is at a checksum command. */
  claimed?(claim: MessageOf<'peer.checksum'>, context: ActorContext): void;
  /** Once. The member is silent from now on. */
  ended(end: MemberEnd, reason: string, context: ActorContext): void;
}

export interface RaftMemberOptions {
  readonly cluster: ClusterId;
  /** 0: the placement driver's own group. */
  readonly shard: ShardId;
  readonly self: ReplicaId;
  readonly epoch: () => Epoch;
  /** As of the machine's applied index: what the consensus core starts with. */
  readonly configuration: () => Configuration;
  /** Where a member of the group is; null: not a member. */
  readonly addressOf: (replica: ReplicaId) => Address | null;
  readonly logWriter: Address;
  /** Hears of each configuration entry as soon as it is in the log, before anything of it is sent. */
  readonly learn?: (entry: Entry) => void;
  /** Kept by the log writer beside the log; a worker starts its replicas from these. */
  readonly descriptor: Uint8Array;
  readonly machine: StateMachine;
  /** Makes everything the machine has written durable. */
  readonly syncState: () => void;
  readonly createCore: (options: RaftOptions) => RaftCore;
  readonly tuning: RaftMemberTuning;
  readonly events: RaftMemberEvents;
  /**
   * The keeper of the thread that hosts the member: it ticks the member, and heartbeats travel with those of other groups.
   * Without one the member has a timer of its own, sends them itself, and never sleeps.
   */
  readonly keeper?: ThreadKeeper;
  /** Whether the member's owner has work that must not be slept through. */
  readonly isBusy?: () => boolean;
}
