import { assert } from '../base/assert';
import { logIndex } from '../base/ids';
import type { RaftMessage, RaftMessageKind } from '../protocol/raft-messages';
import { isReadable } from './configurations';
import type { Leadership } from './leadership';
import type { Progress } from './progress';
import type { Raft } from './raft';

type MessageOf<K extends RaftMessageKind> = Extract<RaftMessage, { readonly kind: K }>;

/**
 * The cells of the dispatch table that replicate the log, install snapshots and confirm reads; called from there only.
 *
 *  1. A follower's log is changed only behind an entry that matches the leader's, and only where it differs.
 *  2. An acknowledgement names what matches the leader's log, and leaves once that is durable. A refusal promises nothing.
 *  3. A follower commits nothing beyond what it knows, or its leader knows, to match.
 *  4. Every append is answered, but for one that tells a new commit and nothing else.
 *  5. An answer that comes late, twice or out of order costs at most a message.
 */

// Followers

/** Whoever appends or sends heartbeats in this term leads it (Raft, 5.2). */
function heed(raft: Raft, message: RaftMessage): void {
  if (raft.role === 'candidate' || raft.role === 'preCandidate' || raft.leader !== message.from) {
    raft.becomeFollower(message.term, message.from);
  }
  raft.electionElapsed = 0;
}

export function followAppend(raft: Raft, message: MessageOf<'appendRequest'>): void {
  if (!isWellFormed(message)) return;
  heed(raft, message);
  const header = raft.header(message.from);
  const none = { hintIndex: logIndex(0), hintTerm: raft.log.lastTerm };
  if (message.prevIndex < raft.commitIndex) {
    raft.sendDurably({ kind: 'appendResponse', ...header, rejected: false, index: raft.commitIndex, ...none });
    return;
  }
  if (raft.log.termAt(message.prevIndex) !== message.prevTerm) return rejectAppend(raft, message);
  const onlyCommits = isOnlyCommit(raft, message);
  raft.adopt(message.entries);
  const matched = logIndex(message.prevIndex + message.entries.length);
  raft.commitTo(logIndex(Math.min(message.commit, matched)));
  if (onlyCommits) return;
  raft.sendDurably({ kind: 'appendResponse', ...header, rejected: false, index: matched, ...none });
}

/**
 * It brings no entry, and tells that all before it is committed, which is news here. What matches, the answer to those entries
 * has said or will say; should that be lost, the leader asks again after a heartbeat, when this is no news any more.
 */
function isOnlyCommit(raft: Raft, { entries, prevIndex, commit }: MessageOf<'appendRequest'>): boolean {
  return entries.length === 0 && prevIndex <= commit && prevIndex > raft.commitIndex;
}

/** Consecutive entries whose terms never fall, nor exceed the sender's. What comes over a wire is not trusted to be so. */
function isWellFormed({ prevIndex, prevTerm, term, entries }: MessageOf<'appendRequest'>): boolean {
  let index: number = prevIndex;
  let before: number = prevTerm;
  for (const entry of entries) {
    if (entry.index !== ++index || entry.term < before || !isReadable(entry)) return false;
    before = entry.term;
  }
  return before <= term;
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

/**
 * The leader keeps the commit index of a heartbeat within what it knows to match here. To ask for more, a match of one's own
 * memory, would leave a member that restarts in an idle group behind until the next entry.
 */
export function followHeartbeat(raft: Raft, message: MessageOf<'heartbeatRequest'>): void {
  heed(raft, message);
  raft.commitTo(logIndex(Math.min(message.commit, raft.lastIndex)));
  raft.send({ kind: 'heartbeatResponse', ...raft.header(message.from), readContext: message.readContext });
}

export function impossibleSecondLeader(raft: Raft, message: RaftMessage): void {
  assert(false, () => `${message.from} and ${raft.self} both lead term ${raft.term}`);
}

// Leader

export function takeAppendResponse(raft: Raft, message: MessageOf<'appendResponse'>): void {
  const leadership = raft.leading();
  const progress = leadership.heardFrom(message.from);
  if (progress === undefined) return;
  if (message.rejected) return takeRejection(raft, leadership, progress, message);
  if (message.index > raft.lastIndex) return;
  const { commitIndex } = raft;
  const wasPaused = progress.paused;
  const advanced = progress.accepted(message.index);
  const reachable = progress.next > raft.baseIndex;
  if (progress.state === 'probe' || (progress.state === 'snapshot' && reachable)) progress.replicate();
  if (advanced) leadership.advanceCommit();
  // While it was paused it was told of no commit, and all have been told of one that was made just now.
  if (raft.leadership !== leadership) return;
  if (wasPaused && !progress.paused && raft.commitIndex === commitIndex) leadership.sendAppend(message.from, progress);
  if (advanced && leadership.transferee === message.from) leadership.urgeTransferee();
}

/** Goes back to where the logs may agree, or to a snapshot if that lies before what is left of this log. */
function takeRejection(
  raft: Raft,
  leadership: Leadership,
  progress: Progress,
  { from, index, hintIndex, hintTerm }: MessageOf<'appendResponse'>,
): void {
  const wasProbe = progress.state === 'probe';
  const hint = raft.log.lastWithTermAtMost(hintIndex, hintTerm);
  if (!progress.rejected(index, hint.index)) return;
  const lacksBase = index <= raft.baseIndex || hintIndex < raft.baseIndex;
  if (wasProbe && lacksBase) leadership.askSnapshot(from, progress);
  else leadership.sendAppend(from, progress);
}

/** The member lives: should it have missed an append, the question whether it has it is refused (see Progress, 5). */
export function takeHeartbeatResponse(raft: Raft, message: MessageOf<'heartbeatResponse'>): void {
  const leadership = raft.leading();
  const progress = leadership.heardFrom(message.from);
  if (progress === undefined) return;
  if (progress.match < raft.lastIndex && progress.state !== 'snapshot') leadership.ask(message.from, progress);
  if (leadership.transferee === message.from) leadership.urgeTransferee();
  if (message.readContext > 0) leadership.settle(leadership.confirmReads(message.from, message.readContext));
}

export function takeSnapshotInstalled(raft: Raft, message: MessageOf<'snapshotInstalled'>): void {
  const leadership = raft.leading();
  const progress = leadership.heardFrom(message.from);
  if (progress === undefined || message.index > raft.lastIndex) return;
  const advanced = progress.accepted(message.index);
  progress.replicate();
  if (advanced) leadership.advanceCommit();
}

// Reads

export function takeReadRequest(raft: Raft, message: MessageOf<'readIndexRequest'>): void {
  raft.leading().reads.add(message.from, message.readContext);
}

export function refuseRead(raft: Raft, message: MessageOf<'readIndexRequest'>): void {
  raft.answerRead(message.from, message.readContext, null);
}

export function takeReadAnswer(raft: Raft, message: MessageOf<'readIndexResponse'>): void {
  if (message.from === raft.leader) raft.forwardedAnswered(message.readContext, message.index);
}
