import type { ClusterId, NodeName } from '../base/ids';
import { beatsWaitingMax } from '../base/limits';
import { type Address, addressText, at, beatsActor, lanes, replicaActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import { pulseDelayMs } from '../runtime/pulse';
import { type BeatBoard, HeardLives } from './beat-board';
import { type RaftMemberTuning, restTicks } from './raft-member-options';

type Beat = MessageOf<'beat.carry'>['beat'];

interface Local {
  readonly life: number;
  readonly nodes: readonly NodeName[];
  /** Its counter on the board when that was last looked at, and for how long it has been the same. */
  turns: number | null;
  silentTicks: number;
}

const timers = { interval: 'interval', answers: 'answers' } as const;
/** Answers wait so long for others: a fraction of what an election time-out may lose. */
const gatherMs = 10;

/**
 * What one machine says to each other machine for all its groups: one message a heartbeat interval, and one for what has
 * to be answered (DESIGN D2). One a machine, on the thread of its link.
 *
 *  1. A thread's life is told only while the thread itself turns, as the board shows; a replica's heartbeat only
 *     once, and only if the replica itself has sent it. So nothing is ever said in a dead thread's name.
 *  2. Heartbeats wait for the next interval, answers for a moment; neither for longer. While there are none of either
 *     the lives alone are told, less often (restTicks).
 *  3. What waits is bounded; beyond, the newest is dropped: the next interval brings another.
 *  4. Beats of another cluster are not heard. Each is handed to the replica it names, which judges it as if it had come
 *     alone; the lives go to the board, where every keeper here finds them.
 */
export class MachineBeats implements Actor {
  droppedCount = 0;
  private readonly locals = new Map<string, Local>();
  private readonly waiting = new Map<NodeName, Beat[]>();
  private gathering = false;
  private readonly heard: HeardLives;
  /** What the interval's timer stands for. */
  private stepTicks = 0;

  constructor(
    private readonly cluster: ClusterId,
    private readonly tuning: Pick<RaftMemberTuning, 'tickMs' | 'heartbeatTicks' | 'electionTicks'>,
    private readonly board: BeatBoard,
  ) {
    this.heard = new HeardLives(board);
  }

  started(context: ActorContext): void {
    this.heard.begin();
    this.arm(this.tuning.heartbeatTicks, context);
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    if (message.kind === 'beat.alive') this.alive(message, from);
    else if (message.kind === 'beat.carry') this.carry(message, context);
    else if (message.kind === 'beat.machine' && message.cluster === this.cluster) this.hear(message, context);
  }

  signalled(signal: Signal, context: ActorContext): void {
    if (signal.signal !== 'timer') return;
    if (signal.key === timers.interval) this.interval(context);
    else this.flush(this.waiting.keys(), context);
  }

  stopped(): void {
    return;
  }

  private alive({ life, nodes }: MessageOf<'beat.alive'>, address: Address): void {
    this.locals.set(addressText(address), { life, nodes, turns: null, silentTicks: 0 });
  }

  private carry({ node, beat }: MessageOf<'beat.carry'>, context: ActorContext): void {
    const waiting = this.waiting.get(node) ?? [];
    if (waiting.length >= beatsWaitingMax) this.droppedCount++;
    else waiting.push(beat);
    this.waiting.set(node, waiting);
    if (beat.message.kind === 'heartbeatResponse') this.gather(context);
    else if (this.stepTicks > this.tuning.heartbeatTicks) this.arm(this.tuning.heartbeatTicks, context);
  }

  private gather(context: ActorContext): void {
    if (this.gathering) return;
    this.gathering = true;
    context.setTimer(timers.answers, gatherMs, { signal: 'timer', key: timers.answers });
  }

  private hear({ lives, beats }: MessageOf<'beat.machine'>, context: ActorContext): void {
    const { node } = context.self;
    for (const { shard, epoch, message } of beats) {
      const { from, to } = message;
      const whole: Message = { kind: 'peer.raft', cluster: this.cluster, shard, epoch, from, to, message };
      context.send(at(node, replicaActor(to)), whole, lanes.consensus);
    }
    this.heard.hear(lives);
  }

  private interval(context: ActorContext): void {
    this.listen();
    const isQuiet = this.waiting.size === 0;
    const nodes = new Set(this.waiting.keys());
    for (const local of this.speaking()) for (const node of local.nodes) nodes.add(node);
    this.flush(nodes, context);
    if (isQuiet) this.rest(context);
    else this.arm(this.tuning.heartbeatTicks, context);
  }

  /** To the threads of this machine. One whose life is not on the board any more has another, or is gone. */
  private listen(): void {
    for (const [name, local] of this.locals) {
      const turns = this.board.turnsOf(local.life);
      if (turns === null) this.locals.delete(name);
      else if (turns === local.turns) local.silentTicks += this.stepTicks;
      else {
        local.turns = turns;
        local.silentTicks = 0;
      }
    }
  }

  /** One that rests turns as seldom as this actor, and may be late. */
  private speaking(): Local[] {
    const silentTicksMax = 2 * restTicks(this.tuning);
    return [...this.locals.values()].filter(({ silentTicks }) => silentTicks < silentTicksMax);
  }

  private flush(nodes: Iterable<NodeName>, context: ActorContext): void {
    const { cluster } = this;
    const lives = this.speaking().map(({ life }) => life);
    for (const node of nodes) {
      const beats = this.waiting.get(node) ?? [];
      context.send(at(node, beatsActor), { kind: 'beat.machine', cluster, lives, beats }, lanes.consensus);
    }
    this.waiting.clear();
    this.gathering = false;
    context.cancelTimer(timers.answers);
  }

  /** Together with machines whose clocks agree: what they say is heard while this one is awake for what it says itself. */
  private rest(context: ActorContext): void {
    const ticks = restTicks(this.tuning);
    this.arm(ticks, context, pulseDelayMs(context.wall, ticks * this.tuning.tickMs));
  }

  private arm(ticks: number, context: ActorContext, delayMs = ticks * this.tuning.tickMs): void {
    this.stepTicks = ticks;
    context.setTimer(timers.interval, delayMs, { signal: 'timer', key: timers.interval });
  }
}
