import { type Address, at, beatsActor, lanes } from '../protocol/envelope';
import type { Message } from '../protocol/messages';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import type { RaftMemberTuning } from './raft-member-options';
import type { ThreadKeeper } from './thread-keeper';

const turnKey = 'keeper.turn';
const tick: Message = { kind: 'group.tick' };
const doubt: Message = { kind: 'group.doubt' };

/**
 * Turns its thread's ThreadKeeper: one timer for all replicas of the thread. While every one of them sleeps it turns only
 * as often as heartbeats are due. Spawned before any replica; it must not end while its thread lives.
 */
export class KeeperActor implements Actor {
  private untilBeat = 0;

  constructor(
    private readonly keeper: ThreadKeeper,
    private readonly tuning: Pick<RaftMemberTuning, 'tickMs' | 'heartbeatTicks'>,
  ) {}

  started(context: ActorContext): void {
    this.keeper.begin(context.random);
    this.arm(context);
  }

  receive(message: Message, _from: Address, _context: ActorContext): void {
    if (message.kind === 'beat.heard') this.keeper.heard(message.lives);
  }

  signalled(signal: Signal, context: ActorContext): void {
    if (signal.signal !== 'timer' || signal.key !== turnKey) return;
    const { node } = context.self;
    const turned = this.keeper.turn(this.stepTicks);
    this.untilBeat -= this.stepTicks;
    for (const name of turned.doubt) context.send(at(node, name), doubt, lanes.consensus);
    for (const name of turned.tick) context.send(at(node, name), tick, lanes.consensus);
    if (this.untilBeat <= 0) this.beat(context);
    this.arm(context);
  }

  stopped(): void {
    return;
  }

  private beat(context: ActorContext): void {
    this.untilBeat = this.tuning.heartbeatTicks;
    const { life } = this.keeper;
    const alive: Message = { kind: 'beat.alive', life, nodes: this.keeper.peerNodes() };
    context.send(at(context.self.node, beatsActor), alive, lanes.consensus);
  }

  /** What the timer that is set stands for. */
  private stepTicks = 1;

  private arm(context: ActorContext): void {
    this.stepTicks = this.keeper.awakeCount > 0 ? 1 : this.tuning.heartbeatTicks;
    context.setTimer(turnKey, this.stepTicks * this.tuning.tickMs, { signal: 'timer', key: turnKey });
  }
}
