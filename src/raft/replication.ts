import { assert } from '../base/assert';
import { logIndex } from '../base/ids';
import type { RaftMessage, RaftMessageKind } from '../protocol/raft-messages';
import type { Raft } from './raft';

type MessageOf<K extends RaftMessageKind> = Extract<RaftMessage, { readonly kind: K }>;

// Followers

function heed(raft: Raft, message: RaftMessage): void {
  if (raft.role === 'candidate' || raft.role === 'preCandidate' || raft.leader !== message.from) {
    raft.becomeFollower(message.term, message.from);
  }
  raft.electionElapsed = 0;
}

export function followAppend(raft: Raft, message: MessageOf<'appendRequest'>): void {
  heed(raft, message);
  const header = raft.header(message.from);
  const none = { hintIndex: logIndex(0), hintTerm: raft.log.lastTerm };
  if (message.prevIndex < raft.commitIndex) {
    raft.sendDurably({ kind: 'appendResponse', ...header, rejected: false, index: raft.commitIndex, ...none });
    return;
  }
  if (raft.log.termAt(message.prevIndex) !== message.prevTerm) return rejectAppend(raft, message);
  raft.follow(message.entries);
  const matched = logIndex(message.prevIndex + message.entries.length);
  raft.commitTo(logIndex(Math.min(message.commit, matched)));
  raft.sendDurably({ kind: 'appendResponse', ...header, rejected: false, index: matched, ...none });
}

/** Tells where the logs may still agree, so that the leader skips whole terms (Raft, 5.3). */
function rejectAppend(raft: Raft, message: MessageOf<'appendRequest'>): void {
  const hint = raft.log.lastWithTermAtMost(message.prevIndex, message.prevTerm);
  raft.send({
    kind: 'appendResponse',
    ...raft.header(message.from),
    rejected: true,
    index: message.prevIndex,
    hintIndex: hint.index,
    hintTerm: hint.term,
  });
}

/** The commit index in a heartbeat never goes beyond what the leader knows to match here. */
export function followHeartbeat(raft: Raft, message: MessageOf<'heartbeatRequest'>): void {
  heed(raft, message);
  raft.commitTo(logIndex(Math.min(message.commit, raft.lastIndex)));
  raft.send({ kind: 'heartbeatResponse', ...raft.header(message.from), readContext: message.readContext });
}

export function impossibleSecondLeader(raft: Raft, message: RaftMessage): void {
  assert(false, `${message.from} and ${raft.self} both lead term ${raft.term}`);
}

// Leader

export function takeAppendResponse(raft: Raft, message: MessageOf<'appendResponse'>): void {
  const progress = raft.heardFrom(message.from);
  if (progress === undefined) return;
  if (message.rejected) {
    const hint = raft.log.lastWithTermAtMost(message.hintIndex, message.hintTerm);
    if (progress.rejected(message.index, hint.index)) raft.sendAppend(message.from, progress);
    return;
  }
  if (message.index > raft.lastIndex) return;
  const advanced = progress.accepted(message.index);
  const reachable = progress.next > raft.baseIndex;
  if (progress.state === 'probe' || (progress.state === 'snapshot' && reachable)) progress.replicate();
  if (advanced) raft.advanceCommit();
}

export function takeHeartbeatResponse(raft: Raft, message: MessageOf<'heartbeatResponse'>): void {
  const progress = raft.heardFrom(message.from);
  if (progress === undefined) return;
  progress.resume();
  if (progress.match < raft.lastIndex && !progress.paused) raft.sendAppend(message.from, progress);
  if (message.readContext > 0) raft.settleReads(raft.readsConfirmedBy(message.from, message.readContext));
}

export function takeSnapshotInstalled(raft: Raft, message: MessageOf<'snapshotInstalled'>): void {
  const progress = raft.heardFrom(message.from);
  if (progress === undefined || message.index > raft.lastIndex) return;
  const advanced = progress.accepted(message.index);
  progress.replicate();
  if (advanced) raft.advanceCommit();
}

// Reads

export function takeReadRequest(raft: Raft, message: MessageOf<'readIndexRequest'>): void {
  raft.reads.add(message.from, message.readContext);
}

export function refuseRead(raft: Raft, message: MessageOf<'readIndexRequest'>): void {
  raft.answerRead(message.from, message.readContext, null);
}

export function takeReadAnswer(raft: Raft, message: MessageOf<'readIndexResponse'>): void {
  raft.readAnswered(message.readContext, message.index);
}
