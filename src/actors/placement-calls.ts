import { type ErrorCode, errorCatalogue, VectronError } from '../base/errors';
import type { ClusterId, NodeName } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import type { Failure } from '../protocol/data-messages';
import type { MessageOf } from '../protocol/messages';
import type { LeaderHint, PlacementChange } from '../protocol/placement-messages';
import type { ActorContext } from '../runtime/actor';
import type { AskOutcome } from '../runtime/asks';

/** Which answer belongs to which request. */
export const replyKinds = {
  'pd.registerWorker': 'pd.workerRegistered',
  'pd.heartbeat': 'pd.heartbeatReply',
  'pd.replicaFaults': 'pd.heartbeatReply',
  'pd.support': 'pd.heartbeatReply',
  'pd.createCollection': 'pd.collectionCreated',
  'pd.deleteCollection': 'pd.collectionDeleted',
  'pd.moveReplica': 'pd.replicaMoving',
  'pd.transferLeader': 'pd.leaderTransferring',
} as const;
export type CallKind = keyof typeof replyKinds;
export type CallReply<K extends CallKind> = MessageOf<(typeof replyKinds)[K]>;
export type Done<R> = (outcome: AskOutcome<R>, context: ActorContext) => void;

export interface PlacementClientOptions {
  readonly cluster: ClusterId;
  /** The nodes of the placement driver; any of them may lead. */
  readonly nodes: readonly NodeName[];
  /** How often the client looks for a leader while it knows none. Default 250. */
  readonly tickMs?: number;
  /** A leader that leaves a request without an answer for this long is looked for anew. Default 1,000. */
  readonly attemptTimeoutMs?: number;
  /** How often a watch is renewed. Default 2,500; the driver drops watchers after ten seconds. */
  readonly renewMs?: number;
}

/** The actor that owns the client. */
export interface PlacementClientOwner {
  /** The next change of the stream, without a gap, never twice; and leaders as last heard, in no certain order. */
  placementChanged(change: PlacementChange, leaders: readonly LeaderHint[], context: ActorContext): void;
  /** A leader was found, or another one than before. */
  placementLeaderFound(context: ActorContext): void;
  /** The leader does not know this worker: it must register. */
  placementForgot(context: ActorContext): void;
}

export interface CallOptions {
  readonly timeoutMs: number;
  /** Whether sending the request again, when nobody answered, does no harm. */
  readonly repeatable: boolean;
}

export interface Call {
  readonly message: MessageOf<CallKind>;
  readonly options: CallOptions;
  readonly deadline: MonotonicMs;
  readonly done: Done<MessageOf<(typeof replyKinds)[CallKind]>>;
  /** Null while it waits for a leader. */
  sentAt: MonotonicMs | null;
}

export function errorOf({ code, message, field, retryAfterMs }: Failure): VectronError {
  const known = code in errorCatalogue ? (code as ErrorCode) : 'INTERNAL';
  return new VectronError(known, message, {
    ...(field === '' ? {} : { field }),
    ...(retryAfterMs === 0 ? {} : { retryAfterMs }),
  });
}
