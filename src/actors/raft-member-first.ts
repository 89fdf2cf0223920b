import type { ShardId } from '../base/ids';
import type { RaftCore } from '../raft/types';

/** Pre-votes of a first election may find the others still starting: they are repeated, but not with every tick. */
const repeatTicks = 5;

/**
 * A group that never had a leader has nobody to wait for: one of its first members, another one in each shard, asks for
 * votes until it has them. Pre-votes change nothing while the others are still starting.
 */
export class FirstElection {
  private waitTicks = 0;

  constructor(private readonly shard: ShardId) {}

  tick(core: RaftCore): void {
    if (core.term > 0 || core.lastIndex > 0 || core.role === 'leader') return;
    const { voters } = core.configuration;
    if (voters[this.shard % voters.length] !== core.self || this.waitTicks-- > 0) return;
    this.waitTicks = repeatTicks - 1;
    core.campaign();
  }
}
