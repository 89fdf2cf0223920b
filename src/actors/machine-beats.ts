import type { ClusterId, NodeName } from '../base/ids';
import { beatsWaitingMax } from '../base/limits';
import { type Address, addressText, at, beatsActor, lanes, replicaActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import type { RaftMemberTuning } from './raft-member-options';

type Beat = MessageOf<'beat.carry'>['beat'];

interface Local {
  readonly address: Address;
  life: number;
  nodes: readonly NodeName[];
  /** Intervals since it last spoke. */
  silentIntervals: number;
}

const timers = { interval: 'interval', answers: 'answers' } as const;
/** Answers wait so long for others: a fraction of what an election time-out may lose. */
const gatherMs = 10;
/** A thread whose clock lags behind this one's by less than an interval is not silent. */
const silentIntervalsMax = 1;

/**
 * What one machine says to each other machine for all its groups: one message a heartbeat interval, and one for what has
 * to be answered (DESIGN D2). One a machine, on the thread of its link.
 *
 *  1. A thread's life is told only if the thread itself has spoken within the last intervals; a replica's heartbeat only
 *     once, and only if the replica itself has sent it. So nothing is ever said in a dead thread's name.
 *  2. Heartbeats wait for the next interval, answers for a moment; neither for longer.
 *  3. What waits is bounded; beyond, the newest is dropped: the next interval brings another.
 *  4. Beats of another cluster are not heard. Each is handed to the replica it names, which judges it as if it had come
 *     alone; the lives go to every keeper here.
 */
export class MachineBeats implements Actor {
  droppedCount = 0;
  private readonly locals = new Map<string, Local>();
  private readonly waiting = new Map<NodeName, Beat[]>();
  private gathering = false;

  constructor(
    private readonly cluster: ClusterId,
    private readonly tuning: Pick<RaftMemberTuning, 'tickMs' | 'heartbeatTicks'>,
  ) {}

  started(context: ActorContext): void {
    this.arm(context);
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
    this.locals.set(addressText(address), { address, life, nodes, silentIntervals: 0 });
  }

  private carry({ node, beat }: MessageOf<'beat.carry'>, context: ActorContext): void {
    const waiting = this.waiting.get(node) ?? [];
    if (waiting.length >= beatsWaitingMax) this.droppedCount++;
    else waiting.push(beat);
    this.waiting.set(node, waiting);
    if (beat.message.kind !== 'heartbeatResponse' || this.gathering) return;
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
    if (lives.length === 0) return;
    for (const { address } of this.locals.values())
      context.send(address, { kind: 'beat.heard', lives }, lanes.consensus);
  }

  private interval(context: ActorContext): void {
    this.arm(context);
    for (const [name, local] of this.locals) {
      if (++local.silentIntervals > silentIntervalsMax) this.locals.delete(name);
    }
    const nodes = new Set(this.waiting.keys());
    for (const local of this.locals.values()) for (const node of local.nodes) nodes.add(node);
    this.flush(nodes, context);
  }

  private flush(nodes: Iterable<NodeName>, context: ActorContext): void {
    const { cluster } = this;
    const lives = this.lives();
    for (const node of nodes) {
      const beats = this.waiting.get(node) ?? [];
      context.send(at(node, beatsActor), { kind: 'beat.machine', cluster, lives, beats }, lanes.consensus);
    }
    this.waiting.clear();
    this.gathering = false;
    context.cancelTimer(timers.answers);
  }

  private lives(): number[] {
    return [...this.locals.values()].map(({ life }) => life);
  }

  private arm(context: ActorContext): void {
    const delayMs = this.tuning.tickMs * this.tuning.heartbeatTicks;
    context.setTimer(timers.interval, delayMs, { signal: 'timer', key: timers.interval });
  }
}
