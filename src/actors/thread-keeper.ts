import type { NodeName } from '../base/ids';
import type { Prng } from '../base/prng';

/** Ticks after which a life that nobody relies on is forgotten. */
const forgottenTicks = 2_000;

/**
 * What the replicas of one thread share: the wheel that ticks those that are awake, and how long other threads have been
 * silent. Turned by the thread's KeeperActor; used by the members of that thread only, and synchronously.
 *
 *  1. Who is awake is ticked once a turn; who sleeps costs nothing.
 *  2. A sleeper names the lives it relies on. Once one of them is silent for `doubtTicks` the sleeper is in doubt, once.
 *  3. `life` is drawn at random, and drawn anew when a member is lost that others may rely on: to them this thread falls
 *     silent, however lively it is. So nobody relies on a replica that ended alone (see MemberSleep).
 *  4. Silence is counted in turns taken, not in time, and each turn begins with what has come: a thread that stood still
 *     takes nobody else for silent. Doubt comes after an election time-out: no turn is to take longer than `ticksToDoubt`.
 */
export class ThreadKeeper {
  life = 0;
  private turns = 0;
  private random: Prng | null = null;
  private readonly awake = new Set<string>();
  private readonly heardAt = new Map<number, number>();
  private readonly sleepersOn = new Map<number, Set<string>>();
  private readonly reliedOn = new Set<string>();
  private readonly peers = new Map<string, readonly NodeName[]>();

  constructor(private readonly doubtTicks: number) {}

  begin(random: Prng): void {
    this.random = random;
    this.newLife();
  }

  /** Another number after whatever peerNodes() says has changed. */
  peersVersion = 0;

  get awakeCount(): number {
    return this.awake.size;
  }

  /** The nodes that must hear that this thread lives. */
  peerNodes(): NodeName[] {
    const nodes = new Set<NodeName>();
    for (const each of this.peers.values()) for (const node of each) nodes.add(node);
    return [...nodes];
  }

  /** The member is hosted here, awake, with peers on these nodes. */
  join(name: string, nodes: readonly NodeName[]): void {
    this.peers.set(name, nodes);
    this.peersVersion++;
    this.awake.add(name);
  }

  /** Peers may take this thread's life for the member's from now on. */
  promise(name: string): void {
    this.reliedOn.add(name);
  }

  rest(name: string, lives: Iterable<number>): void {
    this.awake.delete(name);
    this.reliedOn.add(name);
    for (const life of lives) {
      const sleepers = this.sleepersOn.get(life) ?? new Set<string>();
      this.sleepersOn.set(life, sleepers.add(name));
    }
  }

  wake(name: string, lives: Iterable<number>): void {
    for (const life of lives) {
      const sleepers = this.sleepersOn.get(life);
      sleepers?.delete(name);
      if (sleepers?.size === 0) this.sleepersOn.delete(life);
    }
    if (this.peers.has(name)) this.awake.add(name);
  }

  /** The member forgot what it may have promised, or is no more. */
  lost(name: string): void {
    if (this.reliedOn.has(name)) this.newLife();
  }

  leave(name: string): void {
    this.peers.delete(name);
    this.peersVersion++;
    this.awake.delete(name);
  }

  heard(lives: readonly number[]): void {
    for (const life of lives) this.heardAt.set(life, this.turns);
  }

  /** Infinite for one that was never heard. */
  silentTicks(life: number): number {
    return this.turns - (this.heardAt.get(life) ?? Number.NEGATIVE_INFINITY);
  }

  /** After so many ticks of silence the next sleeper is in doubt; infinite if none can be. At least 1. */
  ticksToDoubt(): number {
    let ticks = Number.POSITIVE_INFINITY;
    for (const life of this.sleepersOn.keys()) {
      const at = this.heardAt.get(life);
      if (at !== undefined) ticks = Math.min(ticks, this.doubtTicks - (this.turns - at));
    }
    return Math.max(ticks, 1);
  }

  /** `ticks` have passed, and these lives were heard meanwhile. Returns who is to be ticked, and who is in doubt. */
  turn(
    ticks: number,
    heard: readonly number[] = [],
  ): { readonly tick: Iterable<string>; readonly doubt: readonly string[] } {
    this.turns += ticks;
    this.heard(heard);
    const doubt: string[] = [];
    for (const [life, at] of this.heardAt) {
      if (this.turns - at < this.doubtTicks) continue;
      doubt.push(...(this.sleepersOn.get(life) ?? []));
      this.sleepersOn.delete(life);
      if (this.turns - at > forgottenTicks) this.heardAt.delete(life);
    }
    return { tick: this.awake, doubt };
  }

  private newLife(): void {
    if (this.random === null) return;
    this.life = this.random.uint32() * 2 ** 16 + this.random.between(1, 2 ** 16 - 1);
    this.reliedOn.clear();
  }
}
