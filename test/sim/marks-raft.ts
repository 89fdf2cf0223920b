import type { LogIndex, ReplicaId, Term } from '../../src/base/ids';
import type { Entry, RaftMessage } from '../../src/protocol/raft-messages';
import { table } from '../../src/raft/dispatch';
import { Leadership } from '../../src/raft/leadership';
import { RaftLog } from '../../src/raft/log';
import { Output } from '../../src/raft/output';
import { Progress } from '../../src/raft/progress';
import { Raft } from '../../src/raft/raft';
import { ForwardedReads, LeaderReads } from '../../src/raft/reads';
import { after, before, called, type Probe } from './marks';

type Appended = Extract<RaftMessage, { readonly kind: 'appendResponse' }>;
type Append = Extract<RaftMessage, { readonly kind: 'appendRequest' }>;

interface OutputParts {
  readonly writes: readonly { readonly lastIndex: LogIndex }[];
  readonly held: readonly unknown[];
  readonly durably: readonly unknown[];
  readonly released: readonly unknown[];
}

const isAnswer = ({ kind }: RaftMessage): boolean => kind.endsWith('Response');
const saysOld =
  (kind: RaftMessage['kind']) =>
  (raft: Raft, [message]: [RaftMessage]) =>
    message.kind === kind && message.term < raft.term;
const says =
  <K extends RaftMessage['kind']>(
    kind: K,
    holds: (message: Extract<RaftMessage, { kind: K }>, raft: Raft) => boolean,
  ) =>
  (raft: Raft, [message]: [RaftMessage]): boolean =>
    message.kind === kind && holds(message as Extract<RaftMessage, { kind: K }>, raft);

/** Elections, terms and what is said about them. */
const elections: readonly Probe[] = [
  before<Raft, [RaftMessage]>(Raft.prototype, 'step', {
    vote_answer_of_an_older_term: saysOld('voteResponse'),
    pre_vote_answer_of_an_older_term: saysOld('preVoteResponse'),
    append_of_an_older_term: saysOld('appendRequest'),
    acknowledgement_of_an_older_term: saysOld('appendResponse'),
    heartbeat_of_an_older_term: saysOld('heartbeatRequest'),
    heartbeat_answer_of_an_older_term: saysOld('heartbeatResponse'),
    vote_request_of_an_older_term: saysOld('voteRequest'),
    newer_term_learnt_from_an_answer: (raft, [message]) =>
      message.term > raft.term && isAnswer(message) && message.kind !== 'preVoteResponse',
    term_leapt_by_more_than_one: (raft, [message]) => message.term > raft.term + 1,
    vote_for_a_refused_candidate_again: says('voteRequest', ({ from }, raft) => raft.vote === from),
    pre_vote_asked_of_a_leader: says('preVoteRequest', (_message, raft) => raft.role === 'leader'),
    vote_asked_of_a_leader: says('voteRequest', ({ term }, raft) => raft.role === 'leader' && term > raft.term),
    vote_asked_of_a_candidate: says('voteRequest', (_message, raft) => raft.role === 'candidate'),
    append_for_a_candidate: says(
      'appendRequest',
      ({ term }, { role, term: own }) => role === 'candidate' && term >= own,
    ),
    heartbeat_for_a_pre_candidate: says(
      'heartbeatRequest',
      ({ term }, { role, term: own }) => role === 'preCandidate' && term === own,
    ),
  }),
  before<Raft, [RaftMessage]>(Raft.prototype, 'send', {
    pre_vote_refused: says('preVoteResponse', ({ granted }) => !granted),
    pre_vote_given: says('preVoteResponse', ({ granted }) => granted),
    append_refused: says('appendResponse', ({ rejected }) => rejected),
    read_passed_on_to_the_leader: says('readIndexRequest', () => true),
    read_refused_to_a_follower: says('readIndexResponse', ({ index }) => index === null),
    empty_append: says('appendRequest', ({ entries }) => entries.length === 0),
    append_of_many_entries: says('appendRequest', ({ entries }) => entries.length >= 16),
  }),
  before<Raft, [RaftMessage]>(Raft.prototype, 'sendDurably', {
    vote_refused: says('voteResponse', ({ granted }) => !granted),
    vote_given: says('voteResponse', ({ granted }) => granted),
    late_append_acknowledged_by_commit: says('appendResponse', ({ index }, raft) => index === raft.commitIndex),
  }),
  before<Raft>(Raft.prototype, 'startElection', {
    pre_vote_asked_again: ({ role }) => role === 'preCandidate',
    candidacy_ran_out: ({ role }) => role === 'candidate',
    leader_given_up_by_a_follower: ({ role, leader }) => role === 'follower' && leader !== 0,
    election_with_uncommitted_entries: ({ log, commitIndex }) => log.lastIndex > commitIndex,
  }),
  before<Raft, [Term, ReplicaId?]>(Raft.prototype, 'becomeFollower', {
    leader_deposed_by_a_newer_term: (raft, [term]) => raft.role === 'leader' && term > raft.term,
    leader_stepped_down_by_itself: (raft, [term]) => raft.role === 'leader' && term === raft.term,
    candidate_gave_way: (raft, [term]) => raft.role === 'candidate' && term === raft.term,
    candidate_met_a_newer_term: (raft, [term]) => raft.role === 'candidate' && term > raft.term,
    pre_candidate_gave_way: (raft, [term]) => raft.role === 'preCandidate' && term === raft.term,
    leader_deposed_with_uncommitted_entries: (raft, [term]) =>
      raft.role === 'leader' && term > raft.term && raft.lastIndex > raft.commitIndex,
  }),
  before<Raft>(Raft.prototype, 'becomeLeader', {
    elected_with_uncommitted_entries: ({ log, commitIndex }) => log.lastIndex > commitIndex,
    elected_with_a_compacted_log: ({ log }) => log.baseIndex > 0,
    elected_behind_in_apply: ({ commitIndex, appliedIndex }) => commitIndex > appliedIndex,
  }),
];

/** The log, its disk, and how followers are brought level. */
const replication: readonly Probe[] = [
  before<unknown, [Raft, Append]>(table.follower, 'appendRequest', {
    append_below_the_commit: (_table, [raft, { prevIndex }]) => prevIndex < raft.commitIndex,
    append_beyond_the_log: (_table, [raft, { prevIndex }]) => prevIndex > raft.lastIndex,
    append_after_another_term: (_table, [raft, { prevIndex, prevTerm }]) => {
      const held = raft.termAt(prevIndex);
      return held !== null && held !== prevTerm;
    },
    append_seen_before: (_table, [raft, { entries }]) =>
      entries.length > 0 && entries.every(({ index, term }) => raft.termAt(index) === term),
    append_partly_seen_before: (_table, [raft, { entries }]) =>
      entries.length > 1 &&
      raft.termAt((entries[0] as Entry).index) === entries[0]?.term &&
      raft.termAt((entries[entries.length - 1] as Entry).index) === null,
  }),
  before<RaftLog, [LogIndex]>(RaftLog.prototype, 'cutFrom', {
    durable_entries_replaced: (log, [index]) => index <= log.durableIndex,
    entries_replaced_before_they_were_durable: (log, [index]) => index > log.durableIndex,
    many_entries_replaced: (log, [index]) => log.lastIndex - index >= 3,
  }),
  before<OutputParts, [LogIndex]>(Output.prototype, 'cutFrom', {
    write_overtaken_by_a_replacement: ({ writes }, [index]) => writes.some(({ lastIndex }) => lastIndex >= index),
  }),
  before<OutputParts>(Output.prototype, 'restored', {
    promises_dropped_by_a_snapshot: ({ held, durably }) => held.length + durably.length > 0,
    snapshot_overtook_a_write: ({ writes }) => writes.length > 0,
  }),
  after<OutputParts>(Output.prototype, 'appended', {
    message_held_until_durable: ({ released }) => released.length > 0,
    several_writes_under_way: ({ writes }) => writes.length > 1,
  }),
  after<Leadership, [LogIndex], boolean>(Leadership.prototype, 'mayCommit', {
    commit_waits_for_an_entry_of_the_own_term: (_leadership, _args, may) => !may,
  }),
  before<Raft, [Appended]>(Raft.prototype, 'commitTo', {
    follower_commits_many_at_once: (raft, [index]) =>
      raft.role === 'follower' && Number(index) - raft.commitIndex >= 10,
  }),
  after<Leadership, [Uint8Array], { readonly ok: boolean; readonly reason?: string }>(Leadership.prototype, 'propose', {
    proposal_before_own_term_is_committed: (leadership, _args, { ok }) => ok && !leadership.hasCommittedInTerm(),
  }),
  after<Progress, [LogIndex, LogIndex], boolean>(Progress.prototype, 'rejected', {
    stale_refusal_ignored: (_progress, _args, isNews) => !isNews,
  }),
  before<Progress, [LogIndex, LogIndex]>(Progress.prototype, 'rejected', {
    refusal_while_replicating: ({ state }) => state === 'replicate',
    refusal_while_a_snapshot_is_sent: ({ state }) => state === 'snapshot',
  }),
  after<Progress, [LogIndex], boolean>(Progress.prototype, 'accepted', {
    acknowledgement_seen_before: (_progress, _args, isNews) => !isNews,
  }),
  before<Progress>(Progress.prototype, 'accepted', {
    acknowledgement_while_a_snapshot_is_sent: ({ state }) => state === 'snapshot',
  }),
  called(Progress.prototype, 'awaitSnapshot', 'follower_needs_a_snapshot'),
  called(Progress.prototype, 'snapshotEnded', 'snapshot_stream_ended'),
  called(Raft.prototype, 'truncate', 'log_head_given_up'),
  before<Raft>(Raft.prototype, 'restore', {
    snapshot_replaced_a_log: (raft) => raft.lastIndex > raft.baseIndex,
    snapshot_for_a_log_that_conflicts: (raft) => raft.lastIndex > raft.commitIndex,
  }),
];

const reads: readonly Probe[] = [
  before<Raft>(Raft.prototype, 'readIndex', {
    read_waits_for_the_own_term: ({ leadership }) => leadership !== null && !leadership.hasCommittedInTerm(),
    read_without_a_leader: ({ leader }) => leader === 0,
  }),
  after<LeaderReads, [], readonly unknown[]>(LeaderReads.prototype, 'drop', {
    reads_lost_with_leadership: (_reads, _args, dropped) => dropped.length > 0,
  }),
  after<LeaderReads, [ReplicaId, number], readonly unknown[]>(LeaderReads.prototype, 'acknowledge', {
    several_reads_confirmed_at_once: (_reads, _args, safe) => safe.length > 1,
  }),
  before<{ readonly rounds: readonly { readonly number: number }[] }, [ReplicaId, number]>(
    LeaderReads.prototype,
    'acknowledge',
    { late_answer_to_a_read_round: ({ rounds }, [, number]) => rounds.length > 0 && number < (rounds[0]?.number ?? 0) },
  ),
  after<ForwardedReads, [number], readonly unknown[]>(ForwardedReads.prototype, 'tick', {
    passed_on_read_timed_out: (_reads, _args, late) => late.length > 0,
  }),
  after<ForwardedReads, [], readonly unknown[]>(ForwardedReads.prototype, 'drop', {
    passed_on_reads_dropped: (_reads, _args, dropped) => dropped.length > 0,
  }),
  after<ForwardedReads, [number], boolean>(ForwardedReads.prototype, 'answered', {
    read_answer_nobody_waits_for: (_reads, _args, was) => !was,
  }),
];

export const raftProbes: readonly Probe[] = [...elections, ...replication, ...reads];
