import type { ReplicaId } from '../base/ids';
import type { Epoch } from '../protocol/ids';
import type { Configuration } from '../protocol/raft-messages';
import type { ShardRecord } from '../protocol/records';
import type { MoveRecord } from './records';

/** What a shard's leader says of its group, as applied. */
export interface GroupState {
  readonly leader: ReplicaId;
  readonly epoch: Epoch;
  readonly configuration: Configuration;
  readonly changing: boolean;
}

/** `settle`: the group is what was wanted, and the driver's records are to follow it. */
export type MoveStep =
  | { readonly kind: 'wait' }
  | { readonly kind: 'change'; readonly voters: readonly ReplicaId[]; readonly learners: readonly ReplicaId[] }
  | { readonly kind: 'handOver'; readonly to: ReplicaId }
  | { readonly kind: 'settle' };

/**
 * The next step of a move (DESIGN D11), from what the group says of itself and nothing else, so that it does not matter
 * who began it or how often a step is asked for:
 *
 *  1. The new replica is added as a learner, and any other learner goes.
 *  2. A leader that is to go hands over to one that stays, if `mayHandOver`: it may also go as leader, if less smoothly.
 *  3. Learner and outgoing replica change places in one joint change, which the group refuses until the learner has caught
 *     up. There are never fewer voters than before, nor more that are needed for a majority.
 */
export function nextStep(move: MoveRecord, shard: ShardRecord, group: GroupState, mayHandOver: boolean): MoveStep {
  const { configuration, changing, leader, epoch } = group;
  if (changing || epoch.confVersion < shard.epoch.confVersion) return { kind: 'wait' };
  const { voters, learners } = configuration;
  if (sameIds(voters, move.target) && learners.length === 0) return { kind: 'settle' };
  if (voters.includes(move.incoming)) return { kind: 'change', voters: move.target, learners: [] };
  if (!sameIds(learners, [move.incoming])) return { kind: 'change', voters, learners: [move.incoming] };
  const heir = move.target.find((replica) => replica !== move.incoming && voters.includes(replica));
  if (mayHandOver && !move.target.includes(leader) && heir !== undefined) return { kind: 'handOver', to: heir };
  return { kind: 'change', voters: move.target, learners: [] };
}

export const sameIds = (a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean =>
  a.length === b.length && a.every((id) => b.includes(id));
