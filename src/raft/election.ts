import { noReplica as nobody } from '../base/ids';
import type { RaftMessage, RaftMessageKind } from '../protocol/raft-messages';
import type { Raft } from './raft';

type MessageOf<K extends RaftMessageKind> = Extract<RaftMessage, { readonly kind: K }>;

/**
 * The cells of the dispatch table that elect a leader; called from there only.
 *
 *  1. A vote goes to one candidate a term, whose log is at least as long and new as the own (Raft, 5.4.1), and is told only
 *     once it is durable.
 *  2. A pre-vote is no promise: it changes nothing here, and may be given to several.
 *  3. Who hears a leader gives no pre-vote.
 *  4. Of two that ask each other for pre-votes at a time, and would then split the votes, the one with the larger id gives
 *     way, and tries again soon: it never gives way to one that cannot be elected for longer than one wait.
 */

/** Would this member vote for the candidate in that term? Nothing changes by the answer (thesis, 9.6). */
export function judgePreVote(raft: Raft, message: MessageOf<'preVoteRequest'>): void {
  const free = message.term > raft.term || (raft.leader === nobody && mayVoteFor(raft, message.from));
  const granted = free && !raft.inLease() && raft.log.isUpToDate(message.lastIndex, message.lastTerm);
  const header = raft.header(message.from);
  raft.send({ kind: 'preVoteResponse', ...header, term: granted ? message.term : raft.term, granted });
  if (granted && raft.role === 'preCandidate' && message.from < raft.self) {
    raft.becomeFollower(raft.term);
    raft.hurry();
  }
}

export function judgeVote(raft: Raft, message: MessageOf<'voteRequest'>): void {
  const free = raft.vote === message.from || (raft.leader === nobody && mayVoteFor(raft, message.from));
  const granted = free && raft.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (granted) {
    raft.vote = message.from;
    raft.electionElapsed = 0;
  }
  raft.sendDurably({ kind: 'voteResponse', ...raft.header(message.from), granted });
}

const mayVoteFor = (raft: Raft, candidate: number): boolean => raft.vote === nobody || raft.vote === candidate;

export function countPreVote(raft: Raft, message: MessageOf<'preVoteResponse'>): void {
  if (message.granted && message.term !== raft.term + 1) return;
  raft.countVote(message.from, message.granted);
}

export function countVote(raft: Raft, message: MessageOf<'voteResponse'>): void {
  raft.countVote(message.from, message.granted);
}

/** The leader hands over (thesis, 3.10): no pre-vote, as it has already made sure that this member is up to date. */
export function campaignNow(raft: Raft, message: MessageOf<'timeoutNow'>): void {
  if (raft.mayCampaign && message.from === raft.leader) raft.becomeCandidate(true);
}
