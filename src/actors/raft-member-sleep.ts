import type { ReplicaId } from '../base/ids';
import type { MessageOf } from '../protocol/messages';
import type { RaftMessage } from '../protocol/raft-messages';
import type { RaftCore } from '../raft/types';
import type { ActorContext } from '../runtime/actor';
import type { RaftMemberOptions } from './raft-member-options';
import type { MemberPeers, PeerMessage } from './raft-member-peers';
import type { ThreadKeeper } from './thread-keeper';

type SleepMessage = MessageOf<'peer.sleep'>;
type Step = SleepMessage['step'];
export type SleepBody = Pick<SleepMessage, 'step' | 'term' | 'index' | 'life'>;

export interface MemberSleepPort {
  readonly options: RaftMemberOptions;
  readonly peers: MemberPeers;
  readonly keeper: ThreadKeeper;
  /** The member's actor, as its thread's keeper names it. */
  readonly name: string;
  readonly core: () => RaftCore | null;
  /** Something waits for this member, or it waits for something. */
  readonly isBusy: () => boolean;
}

/** A question whose answers are still missing is asked again. */
const askAgainTicks = 10;

/**
 * Sleep of one member of an idle group (quiescence; DESIGN D2). Who sleeps is not ticked, sends nothing, and takes the
 * beats of a thread for those of the replica it hosts. Owned by the member.
 *
 *  1. A leader goes to sleep only when its group is idle (RaftCore.isIdle), it was so for `sleepAfterTicks`, nothing
 *     waits at any member, and every other member has said that it is level and ready, naming the life of its thread,
 *     which was heard lately.
 *  2. A follower goes to sleep only on its leader's word, while it is level with it, and hears the life of the leader's thread.
 *  3. A sleeping leader relies on the life of every other member's thread, a sleeping follower on its leader's. It wakes
 *     once one of them is silent for an election time-out: a dead machine or thread, a lost link, or a keeper that lost a
 *     member others rely on, which changes its life.
 *  4. Whoever sleeps wakes on anything but its leader's plain heartbeats and this protocol's own repetitions; a follower
 *     that wakes of itself wakes its leader; one that starts again wakes all others.
 *  5. Who wakes counts silence from when the thread was last heard, as if each of its beats had been a heartbeat: neither
 *     does a new wait begin, nor is time that was slept through held against a leader that lived.
 *  6. Whoever is awake and has no leader campaigns, as ever. So some member of a group whose leader is gone is awake after
 *     one election time-out, at most, and its pre-votes wake the others (4).
 */
export class MemberSleep {
  asleep = false;
  private idleTicks = 0;
  private readonly ready = new Map<ReplicaId, number>();
  /** What sleep relies on. */
  private lives: ReadonlyMap<ReplicaId, number> = new Map();

  constructor(private readonly port: MemberSleepPort) {}

  /** Is ticked from now on; or its group has other members. */
  joined(): void {
    this.rise();
    this.port.keeper.join(this.port.name, this.port.peers.nodes());
  }

  /** `isBack`: it ran before, and others may sleep in the belief that it still does. */
  started(isBack: boolean, context: ActorContext): void {
    const { core } = this;
    if (core === null || !isBack) return;
    for (const to of this.others(core)) this.say(to, 'wake', core, context);
  }

  /** All that was promised is forgotten. */
  lost(): void {
    this.port.keeper.lost(this.port.name);
    this.rise();
  }

  /** The member is silent from now on. */
  ended(): void {
    this.lost();
    this.port.keeper.leave(this.port.name);
  }

  tick(context: ActorContext): void {
    const { core } = this;
    const { sleepAfterTicks } = this.port.options.tuning;
    if (core === null || sleepAfterTicks === 0 || !this.mayRest(core)) {
      this.disturbed();
      return;
    }
    const late = ++this.idleTicks - sleepAfterTicks;
    if (late < 0) return;
    if (late % askAgainTicks === 0) for (const to of this.others(core)) this.say(to, 'ask', core, context);
    this.sleepIfAllReady(core, context);
  }

  /** A message for the member's other parts, which they get next. */
  received(message: Exclude<PeerMessage, SleepMessage>, context: ActorContext): void {
    const isQuiet = message.kind === 'peer.raft' ? this.isQuiet(message.message) : message.kind === 'peer.checksum';
    if (!isQuiet) this.wake(message.from === this.core?.leader, context);
  }

  /** Whether a message leaves a sleeper asleep. */
  private isQuiet(message: RaftMessage): boolean {
    const { core } = this;
    if (core === null || message.term !== core.term) return false;
    if (message.kind === 'heartbeatRequest') return message.from === core.leader;
    return message.kind === 'heartbeatResponse' || (message.kind === 'appendResponse' && !message.rejected);
  }

  handle(message: SleepMessage, context: ActorContext): void {
    const { core } = this;
    if (core === null) return;
    if (message.step === 'ask') this.asked(core, message, context);
    else if (message.step === 'ready') this.isReady(core, message, context);
    else if (message.step === 'sleep') this.told(core, message, context);
    else this.called(core, context);
  }

  /** Something is to be done. `byLeader`: it need not be told. */
  wake(byLeader: boolean, context: ActorContext): void {
    this.disturbed();
    const { core } = this;
    if (!this.asleep || core === null) return;
    this.recall();
    this.rise();
    if (core.role === 'leader') core.beat();
    else if (!byLeader && core.leader !== 0) this.say(core.leader, 'wake', core, context);
    this.port.options.events.changed(context);
  }

  /** Tells the core how long the others have been silent by what their threads' beats say. */
  recall(): void {
    if (!this.asleep) return;
    this.core?.resume((member) => this.port.keeper.silentTicks(this.lives.get(member) ?? 0));
  }

  private get core(): RaftCore | null {
    return this.port.core();
  }

  /** As a leader. */
  private mayRest(core: RaftCore): boolean {
    return core.isIdle && !this.port.isBusy();
  }

  private disturbed(): void {
    this.idleTicks = 0;
    this.ready.clear();
  }

  private asked(core: RaftCore, { from, term, index, life }: SleepMessage, context: ActorContext): void {
    if (!core.isLevelWith(from, term, index) || this.port.isBusy() || !this.hears(life)) {
      this.wake(true, context);
      return;
    }
    this.port.keeper.promise(this.port.name);
    this.say(from, 'ready', core, context);
  }

  private isReady(core: RaftCore, { from, term, index, life }: SleepMessage, context: ActorContext): void {
    const isCurrent = this.mayRest(core) && core.term === term && core.lastIndex === index && this.hears(life);
    if (this.asleep || !isCurrent || this.idleTicks < this.port.options.tuning.sleepAfterTicks) return;
    if (!this.others(core).includes(from)) return;
    this.ready.set(from, life);
    this.sleepIfAllReady(core, context);
  }

  private sleepIfAllReady(core: RaftCore, context: ActorContext): void {
    const others = this.others(core);
    if (!this.mayRest(core) || !others.every((member) => this.ready.has(member))) return;
    const lives = new Map(this.ready);
    for (const to of others) this.say(to, 'sleep', core, context);
    this.fallAsleep(lives, context);
  }

  private told(core: RaftCore, { from, term, index, life }: SleepMessage, context: ActorContext): void {
    if (core.isLevelWith(from, term, index) && !this.port.isBusy() && this.hears(life)) {
      if (this.asleep) this.rise();
      this.fallAsleep(new Map([[from, life]]), context);
    } else {
      this.wake(true, context);
      this.say(from, 'wake', core, context);
    }
  }

  private called(core: RaftCore, context: ActorContext): void {
    if (this.asleep) this.wake(false, context);
    else {
      this.disturbed();
      core.beat();
    }
  }

  private fallAsleep(lives: ReadonlyMap<ReplicaId, number>, context: ActorContext): void {
    this.asleep = true;
    this.lives = lives;
    this.disturbed();
    this.port.keeper.rest(this.port.name, lives.values());
    this.port.options.events.changed(context);
  }

  private rise(): void {
    this.asleep = false;
    this.disturbed();
    this.port.keeper.wake(this.port.name, this.lives.values());
    this.lives = new Map();
  }

  private hears(life: number): boolean {
    return this.port.keeper.silentTicks(life) < this.port.options.tuning.electionTicks / 2;
  }

  private others(core: RaftCore): ReplicaId[] {
    const { voters, learners } = core.configuration;
    return [...voters, ...learners].filter((member) => member !== this.port.options.self);
  }

  private say(to: ReplicaId, step: Step, core: RaftCore, context: ActorContext): void {
    const { life } = this.port.keeper;
    this.port.peers.sendSleep(to, { step, term: core.term, index: core.lastIndex, life }, context);
  }
}
