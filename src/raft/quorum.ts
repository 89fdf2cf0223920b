import { type LogIndex, logIndex, type ReplicaId } from '../base/ids';
import type { Configuration } from '../protocol/raft-messages';

export type VoteResult = 'won' | 'lost' | 'pending';

const majority = (count: number): number => Math.floor(count / 2) + 1;

/** Every member that votes, in either half of a joint configuration. */
export function votersOf(configuration: Configuration): ReplicaId[] {
  return [...new Set([...configuration.voters, ...configuration.votersOutgoing])];
}

/** The largest index that a majority has reached: of both halves when joint (Raft, section 6). */
export function committedIndex(configuration: Configuration, matchOf: (replica: ReplicaId) => LogIndex): LogIndex {
  const incoming = majorityIndex(configuration.voters, matchOf);
  if (configuration.votersOutgoing.length === 0) return incoming;
  return logIndex(Math.min(incoming, majorityIndex(configuration.votersOutgoing, matchOf)));
}

function majorityIndex(voters: readonly ReplicaId[], matchOf: (replica: ReplicaId) => LogIndex): LogIndex {
  if (voters.length === 0) return logIndex(0);
  const matches = voters.map(matchOf).sort((a, b) => b - a);
  return matches[majority(voters.length) - 1] as LogIndex;
}

/** `votes` holds who answered and how; members that are not voters do not count. */
export function voteResult(configuration: Configuration, votes: ReadonlyMap<ReplicaId, boolean>): VoteResult {
  const incoming = halfResult(configuration.voters, votes);
  if (configuration.votersOutgoing.length === 0) return incoming;
  const outgoing = halfResult(configuration.votersOutgoing, votes);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

function halfResult(voters: readonly ReplicaId[], votes: ReadonlyMap<ReplicaId, boolean>): VoteResult {
  if (voters.length === 0) return 'lost';
  const needed = majority(voters.length);
  if (countOf(voters, (voter) => votes.get(voter) === true) >= needed) return 'won';
  return voters.length - countOf(voters, (voter) => votes.get(voter) === false) < needed ? 'lost' : 'pending';
}

/** Whether the members for which `has` is true are, among others, a majority: of both halves when joint. */
export function isQuorum(configuration: Configuration, has: (replica: ReplicaId) => boolean): boolean {
  const { voters, votersOutgoing } = configuration;
  return isMajority(voters, has) && (votersOutgoing.length === 0 || isMajority(votersOutgoing, has));
}

const isMajority = (voters: readonly ReplicaId[], has: (replica: ReplicaId) => boolean): boolean =>
  countOf(voters, has) >= majority(voters.length);

function countOf(voters: readonly ReplicaId[], has: (replica: ReplicaId) => boolean): number {
  let count = 0;
  for (const voter of voters) if (has(voter)) count++;
  return count;
}
