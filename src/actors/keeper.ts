import { type Address, at, beatsActor, lanes } from '../protocol/envelope';
import type { Message } from '../protocol/messages';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import { pulseDelayMs } from '../runtime/pulse';
import type { BeatBoard } from './beat-board';
import { type RaftMemberTuning, restTicks } from './raft-member-options';
import type { ThreadKeeper } from './thread-keeper';

const turnKey = 'keeper.turn';
const tick: Message = { kind: 'group.tick' };
const doubt: Message = { kind: 'group.doubt' };
/** A message to `beats` may be lost. */
const tellAgainTicks = 200;

/**
 * Turns its thread's ThreadKeeper: one timer for all replicas of the thread. Each turn is a sign of life on the machine's
 * board, and reads there whose signs have come. While every replica sleeps it turns only as often as such signs are due.
 * Spawned before any replica; it must not end while its thread lives.
 */
export class KeeperActor implements Actor {
  private readonly seen: number[] = [];
  /** What the timer that is set stands for. */
  private stepTicks = 1;
  /** What `beats` was last told. */
  private told = { life: 0, peersVersion: 0, begun: 0 };
  private sinceToldTicks = 0;

  constructor(
    private readonly keeper: ThreadKeeper,
    private readonly tuning: Pick<RaftMemberTuning, 'tickMs' | 'heartbeatTicks' | 'electionTicks'>,
    private readonly board: BeatBoard,
    /** The thread's own, on the board. */
    private readonly place: number,
  ) {}

  started(context: ActorContext): void {
    this.keeper.begin(context.random);
    // What was heard before this thread began is no news.
    this.board.newsSince(this.seen);
    this.arm(context);
  }

  receive(_message: Message, _from: Address, _context: ActorContext): void {
    return;
  }

  signalled(signal: Signal, context: ActorContext): void {
    if (signal.signal !== 'timer' || signal.key !== turnKey) return;
    const { node } = context.self;
    const turned = this.keeper.turn(this.stepTicks, this.board.newsSince(this.seen));
    for (const name of turned.doubt) context.send(at(node, name), doubt, lanes.consensus);
    for (const name of turned.tick) context.send(at(node, name), tick, lanes.consensus);
    this.board.speak(this.place, this.keeper.life);
    this.sinceToldTicks += this.stepTicks;
    this.tellPeers(context);
    this.arm(context);
  }

  stopped(): void {
    return;
  }

  /** To whom the life must be told: when that has changed, when `beats` began anew, and now and then. */
  private tellPeers(context: ActorContext): void {
    const { life, peersVersion } = this.keeper;
    const { begun } = this.board;
    const isKnown = this.told.life === life && this.told.peersVersion === peersVersion && this.told.begun === begun;
    if (isKnown && this.sinceToldTicks < tellAgainTicks) return;
    this.told = { life, peersVersion, begun };
    this.sinceToldTicks = 0;
    const alive: Message = { kind: 'beat.alive', life, nodes: this.keeper.peerNodes() };
    context.send(at(context.self.node, beatsActor), alive, lanes.consensus);
  }

  private arm(context: ActorContext): void {
    const { tickMs } = this.tuning;
    const isAwake = this.keeper.awakeCount > 0;
    const delayMs = isAwake ? tickMs : Math.min(this.restMs(context), this.keeper.ticksToDoubt() * tickMs);
    this.stepTicks = Math.max(1, Math.round(delayMs / tickMs));
    context.setTimer(turnKey, delayMs, { signal: 'timer', key: turnKey });
  }

  /** Until a moment after machines whose clocks agree have spoken: their words are on the board then. */
  private restMs({ wall }: ActorContext): number {
    const { tickMs } = this.tuning;
    return pulseDelayMs(wall - tickMs / 2, restTicks(this.tuning) * tickMs);
  }
}
