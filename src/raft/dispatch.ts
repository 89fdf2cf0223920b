import { noReplica as nobody } from '../base/ids';
import type { RaftMessage, RaftMessageKind } from '../protocol/raft-messages';
import * as election from './election';
import type { Raft } from './raft';
import * as replication from './replication';
import type { Role } from './types';

type MessageOf<K extends RaftMessageKind> = Extract<RaftMessage, { readonly kind: K }>;
type Cell<K extends RaftMessageKind> = (raft: Raft, message: MessageOf<K>) => void;
type Row = { readonly [K in RaftMessageKind]: Cell<K> };

const ignore = (): void => undefined;

const passive: Row = {
  preVoteRequest: election.judgePreVote,
  preVoteResponse: ignore,
  voteRequest: election.judgeVote,
  voteResponse: ignore,
  appendRequest: replication.followAppend,
  appendResponse: ignore,
  heartbeatRequest: replication.followHeartbeat,
  heartbeatResponse: ignore,
  readIndexRequest: replication.refuseRead,
  readIndexResponse: replication.takeReadAnswer,
  timeoutNow: election.campaignNow,
  snapshotInstalled: ignore,
};

/** What each message means to each role: the one place where that is decided. Terms have been compared before. */
export const table: { readonly [R in Role]: Row } = {
  follower: passive,
  learner: { ...passive, timeoutNow: ignore },
  preCandidate: { ...passive, preVoteResponse: election.countPreVote },
  candidate: { ...passive, voteResponse: election.countVote },
  leader: {
    ...passive,
    appendRequest: replication.impossibleSecondLeader,
    appendResponse: replication.takeAppendResponse,
    heartbeatRequest: replication.impossibleSecondLeader,
    heartbeatResponse: replication.takeHeartbeatResponse,
    readIndexRequest: replication.takeReadRequest,
    readIndexResponse: ignore,
    snapshotInstalled: replication.takeSnapshotInstalled,
    timeoutNow: ignore,
  },
};

/**
 * The one way in for messages. Called by the core's step.
 *
 *  1. A cell only ever sees a message of the member's own term, but for pre-votes, which speak of the next one.
 *  2. Nothing of an older term has any effect but an answer that tells of the newer one.
 *  3. A newer term is entered before the message is judged, except for elections that a live leader's followers ignore.
 */
export function dispatch(raft: Raft, message: RaftMessage): void {
  if (message.term > raft.term && !meetNewerTerm(raft, message)) return;
  if (message.term < raft.term && !meetOlderTerm(raft, message)) return;
  // The table pairs each kind with a cell for that kind; the compiler cannot follow the pairing through an index.
  (table[raft.role][message.kind] as Cell<RaftMessageKind>)(raft, message as never);
}

/** False: the message is of no use. A newer term turns every role into a follower (Raft, 5.1), but for pre-votes. */
function meetNewerTerm(raft: Raft, message: RaftMessage): boolean {
  const isElection = message.kind === 'preVoteRequest' || message.kind === 'voteRequest';
  const isTransfer = message.kind === 'voteRequest' && message.transfer;
  if (isElection && raft.inLease() && !isTransfer) return false;
  if (message.kind === 'preVoteRequest') return true;
  if (message.kind === 'preVoteResponse' && message.granted) return true;
  const fromLeader = message.kind === 'appendRequest' || message.kind === 'heartbeatRequest';
  raft.becomeFollower(message.term, fromLeader ? message.from : nobody);
  return true;
}

function meetOlderTerm(raft: Raft, message: RaftMessage): boolean {
  if (message.kind === 'appendRequest' || message.kind === 'heartbeatRequest') {
    // A leader of an older term learns of ours; without this a member that came back with a higher term would be deaf.
    const { lastIndex: index } = raft;
    raft.send({
      kind: 'appendResponse',
      ...raft.header(message.from),
      rejected: true,
      index,
      hintIndex: index,
      hintTerm: raft.log.lastTerm,
    });
  } else if (message.kind === 'preVoteRequest') {
    raft.send({ kind: 'preVoteResponse', ...raft.header(message.from), granted: false });
  }
  return false;
}
