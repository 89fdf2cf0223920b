import type { ReplicaActor } from '../../src/actors/replica';
import type { ReplicaId } from '../../src/base/ids';
import { replicaActor } from '../../src/protocol/envelope';
import type { SimCluster } from './cluster';
import type { SimOptions } from './options';
import { standstillMsMax } from './time-faults';
import { must } from './violation';

const everyMs = 100;
/** An election time-out, some beats, and what a slow link may add to the last of them. */
const graceMs = 3_000;
const graceDelays = 60;

/**
 * Watches groups that sleep (MemberSleep): no follower sleeps on for long whose leader does not lead any more, and no
 * leader one of whose members does not run.
 */
export class SleepWatch {
  /** Times a member was seen to have fallen asleep, and to have woken because a peer was gone. */
  sleeps = 0;
  doubts = 0;
  /** Members that were seen asleep at one time. */
  sleepersMax = 0;
  private asleep = new Set<ReplicaId>();
  private readonly groundlessSinceMs = new Map<ReplicaId, number>();
  /** How long a sleeper may take to notice, as long as no beat is held back: a slow clock counts the time-out's ticks slowly. */
  readonly promptMs: number;
  private boundMs: number;

  constructor(
    private readonly cluster: SimCluster,
    { network, time }: Pick<SimOptions, 'network' | 'time'>,
  ) {
    this.promptMs = graceMs * cluster.world.clockSpread + graceDelays * network.delayMeanMs;
    // A beat that comes late tells of a life that has ended since.
    const beatsComeLate = time.clogEveryMs > 0 || network.lateCopyChance > 0;
    this.boundMs = this.promptMs + (beatsComeLate ? standstillMsMax : 0);
    this.look();
  }

  /** The network has become reliable. */
  expectPromptness(): void {
    this.boundMs = this.promptMs;
  }

  private look(): void {
    const running = new Map<ReplicaId, ReplicaActor>();
    for (const { up, replicas, node } of this.cluster.workers) {
      if (!up) continue;
      for (const [replica, { actor, name }] of replicas) {
        const lives = node.threadOf(name)?.isHung === false;
        if (lives && actor.member?.raft != null) running.set(replica, actor);
      }
    }
    const asleep = new Set<ReplicaId>();
    for (const [replica, actor] of running) if (actor.member?.isAsleep === true) asleep.add(replica);
    for (const replica of asleep) this.judge(replica, running);
    for (const replica of this.asleep) if (!asleep.has(replica)) this.woke(replica);
    for (const replica of asleep) if (!this.asleep.has(replica)) this.sleeps++;
    this.asleep = asleep;
    this.sleepersMax = Math.max(this.sleepersMax, asleep.size);
    this.cluster.world.schedule(everyMs, 'sleep watch', null, () => this.look());
  }

  private woke(replica: ReplicaId): void {
    if (this.groundlessSinceMs.delete(replica)) this.doubts++;
  }

  private judge(replica: ReplicaId, running: ReadonlyMap<ReplicaId, ReplicaActor>): void {
    const missing = this.missing(replica, running);
    if (missing === null) {
      this.groundlessSinceMs.delete(replica);
      return;
    }
    const { now } = this.cluster.world;
    const since = this.stands(replica) ? now : (this.groundlessSinceMs.get(replica) ?? now);
    this.groundlessSinceMs.set(replica, since);
    must(
      now - since <= this.boundMs,
      () => `replica ${replica} sleeps on, ${missing} for ${(now - since).toFixed(0)} ms`,
    );
  }

  /** Who stands still cannot wake. */
  private stands(replica: ReplicaId): boolean {
    const name = replicaActor(replica);
    return this.cluster.workers.some(({ node }) => node.threadOf(name)?.isStalled === true);
  }

  /** Null: every member of every group sleeps. */
  awake(): string | null {
    for (const { name, replicas } of this.cluster.workers) {
      for (const [replica, { actor }] of replicas) if (actor.member?.isAsleep !== true) return `${replica} on ${name}`;
    }
    return null;
  }

  /** What its sleep relied on and is not there; null: nothing. */
  private missing(replica: ReplicaId, running: ReadonlyMap<ReplicaId, ReplicaActor>): string | null {
    const member = running.get(replica)?.member;
    if (member == null || member.raft === null) return null;
    if (!member.isLeader) {
      const leader = running.get(member.leader)?.member;
      const leads = leader?.isLeader === true && leader.term === member.term;
      return leads ? null : `its leader ${member.leader} has not led term ${member.term}`;
    }
    const { raft } = member;
    for (const voter of raft.configuration.voters) {
      const other = running.get(voter)?.member?.raft;
      if (other == null) return `member ${voter} of its group has not run`;
      if (other.lastIndex !== raft.lastIndex) return `member ${voter} of its group has not been level`;
    }
    return null;
  }
}
