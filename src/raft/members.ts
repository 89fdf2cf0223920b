import type { LogIndex, ReplicaId } from '../base/ids';
import type { Configuration } from '../protocol/raft-messages';
import { committedIndex, isQuorum, type VoteResult, voteResult, votersOf } from './quorum';

/** Who is who in one configuration as one member sees it, worked out once. Immutable. */
export class Members {
  readonly otherVoters: readonly ReplicaId[];
  /** Voters and learners, without this member. */
  readonly others: readonly ReplicaId[];
  readonly selfVotes: boolean;
  readonly selfLearns: boolean;
  /** This member is a quorum by itself. */
  readonly selfDecides: boolean;

  constructor(
    readonly configuration: Configuration,
    self: ReplicaId,
  ) {
    const voters = votersOf(configuration);
    this.selfVotes = voters.includes(self);
    this.selfLearns = !this.selfVotes && configuration.learners.includes(self);
    this.otherVoters = voters.filter((voter) => voter !== self);
    this.others = [...new Set([...this.otherVoters, ...configuration.learners])].filter((member) => member !== self);
    this.selfDecides = this.isQuorum((member) => member === self);
  }

  isQuorum(has: (replica: ReplicaId) => boolean): boolean {
    return isQuorum(this.configuration, has);
  }

  voteResult(votes: ReadonlyMap<ReplicaId, boolean>): VoteResult {
    return voteResult(this.configuration, votes);
  }

  committedIndex(matchOf: (replica: ReplicaId) => LogIndex): LogIndex {
    return committedIndex(this.configuration, matchOf);
  }
}
