import { expireIdsMax } from '../base/limits';
import { encode } from '../protocol/codec';
import { shardCommandCodec } from '../protocol/commands';
import { isOn } from '../protocol/flags';
import type { ActorContext, Signal } from '../runtime/actor';
import type { ShardMachine } from '../shard/shard-machine';
import type { RaftMember } from './raft-member';

const timerKey = 'replica.expiry';
/** At most so long a wait for an end that lies ahead: this machine's clock may be set meanwhile. */
const waitMsMax = 60_000;
const retryMs = 200;

/**
 * Has points that end be purged, while this replica leads: a command moves log time to this machine's clock and names those that
 * are due (DESIGN D14). So log time passes an end soon after it came although nobody writes, and a shard without ends proposes nothing.
 *
 *  1. One command is under way at a time, with a bounded number of points.
 *  2. What is purged apply decides, by log time: a clock that is wrong makes it late, and never purges what has not ended.
 */
export class ReplicaExpiry {
  private proposed = false;
  /** By this machine's clock; null: no timer is set. */
  private armedForMs: number | null = null;

  constructor(
    private readonly member: RaftMember,
    private readonly machine: ShardMachine,
  ) {}

  /** Something was applied, or this replica may have become the leader. */
  look(context: ActorContext): void {
    const { machine, member } = this;
    if (this.proposed || !member.leaderIsReady || !isOn('expiry', machine.level)) return;
    const nextMs = machine.expiry.ended.size > 0 ? 0 : machine.expiry.nextMs;
    if (nextMs === null) return;
    if (nextMs <= context.wall) this.propose(context);
    else if (this.armedForMs === null || nextMs < this.armedForMs) {
      this.wait(Math.min(nextMs - context.wall, waitMsMax), context);
    }
  }

  /** True if the signal was its own. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if (signal.signal !== 'timer' || signal.key !== timerKey) return false;
    this.armedForMs = null;
    this.look(context);
    return true;
  }

  private propose(context: ActorContext): void {
    const { machine, member } = this;
    const timeMs = Math.max(context.wall, machine.logTimeMs);
    const ids = machine.expiry.due(timeMs, expireIdsMax);
    const data = encode(shardCommandCodec, { kind: 'expire', epoch: machine.epoch, timeMs, ids });
    const result = member.propose(
      data,
      (_outcome, later) => {
        this.proposed = false;
        this.look(later);
      },
      context,
    );
    this.proposed = result.ok;
    if (!result.ok) this.wait(retryMs, context);
  }

  private wait(delayMs: number, context: ActorContext): void {
    this.armedForMs = context.wall + delayMs;
    context.setTimer(timerKey, Math.ceil(delayMs), { signal: 'timer', key: timerKey });
  }
}
