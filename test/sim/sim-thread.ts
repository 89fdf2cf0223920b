import { monotonicMs, wallMs } from '../../src/base/time';
import { addressText } from '../../src/protocol/envelope';
import { ActorHost } from '../../src/runtime/actor-host';
import type { SimNode } from './world';

export const wallAtStartMs = 1_700_000_000_000;

/** One thread: an actor host driven by the event queue. Messages to another thread keep their order. */
export class SimThread {
  readonly host: ActorHost;
  alive = true;
  /** What a killed thread had sent still arrives, this much later: after its exit, and after its successor's first words. */
  afterlifeMs = 0;
  /** Called once, when it has sent something to the log thread: the moment at which a death leaves most behind. */
  whenItWrites: (() => void) | null = null;
  /** Nobody hears what it says: its peers have been told that it is gone. */
  silenced = false;
  /** It lives, runs nothing and will never run anything again. */
  isHung = false;
  private stalledUntilMs = 0;
  /** The next sync ends only then; 0: when it likes. */
  private syncUntilMs = 0;
  private wakeAtMs: number | null = null;
  /** When events of this thread will come, the earliest last. */
  private readonly pending: number[] = [];
  private readonly due = (): void => this.turn();
  private readonly lastArrivalMs = new Map<string, number>();

  constructor(
    readonly node: SimNode,
    readonly name: string,
    private readonly completionDelayMs: number,
  ) {
    const { world } = node;
    this.host = new ActorHost({
      node: node.name,
      clock: {
        now: () => monotonicMs(world.tickClock() * node.clockRate),
        wall: () => wallMs(wallAtStartMs + Math.floor(world.now) + node.skewMs),
      },
      random: world.random.fork(),
      outbound: (to, from, message, lane) => node.route(this, to, from, message, lane),
      onEnded: (address, reason, error) => {
        if (!this.alive) return;
        world.note(`ended ${addressText(address)}: ${reason}`);
        world.hooks.onThrown(node, this, address.actor, error);
      },
      elsewhere: (actor) => node.threadOf(actor) !== undefined,
      onWork: () => this.wake(),
    });
  }

  /**
   * How long a message to another thread takes. Order is kept. To and from the log thread that is half of its sync: one
   * that dies with its machine has written nothing in the first half, and told nobody in the second.
   */
  channelDelay(target: SimThread): number {
    const { now, random } = this.node.world;
    const meanMs = (this.completionDelayMs + target.completionDelayMs) / 2;
    const drawn = -Math.log(1 - random.float()) * meanMs;
    const arrival = Math.max(now + drawn, (this.lastArrivalMs.get(target.name) ?? 0) + 0.0001);
    this.lastArrivalMs.set(target.name, arrival);
    return arrival - now;
  }

  wrote(): void {
    const { whenItWrites } = this;
    this.whenItWrites = null;
    if (whenItWrites !== null) this.node.world.schedule(0, 'thread kill', this.node, whenItWrites);
  }

  /** Of a log thread: the next sync lasts until then, and what comes meanwhile is the next one's. */
  syncUntil(atMs: number): void {
    this.syncUntilMs = atMs;
  }

  hasSynced(): void {
    const { syncUntilMs } = this;
    this.syncUntilMs = 0;
    if (syncUntilMs <= this.node.world.now) return;
    for (const name of this.node.threads.keys()) this.lastArrivalMs.set(name, syncUntilMs);
    this.stallUntil(syncUntilMs + this.completionDelayMs);
  }

  /** Nothing of it runs before then. */
  stallUntil(atMs: number): void {
    this.stalledUntilMs = Math.max(this.stalledUntilMs, atMs);
  }

  get isStalled(): boolean {
    return this.isHung || this.stalledUntilMs > this.node.world.now;
  }

  wake(delayMs = 0.005): void {
    if (!this.alive) return;
    const atMs = this.node.world.now + Math.max(delayMs, 0.001);
    if (this.wakeAtMs !== null && this.wakeAtMs <= atMs) return;
    this.wakeAtMs = atMs;
    this.arm(atMs);
  }

  /** One pending event that is not too late is enough: it arms the next. */
  private arm(atMs: number): void {
    const earliest = this.pending.at(-1);
    if (earliest !== undefined && earliest <= atMs) return;
    this.pending.push(atMs);
    this.node.world.scheduleTurn(atMs, this.due);
  }

  private turn(): void {
    this.pending.pop();
    const { alive, wakeAtMs } = this;
    if (!alive || wakeAtMs === null) return;
    const { world } = this.node;
    if (this.isHung) return;
    const fromMs = Math.max(wakeAtMs, this.stalledUntilMs);
    if (fromMs > world.now) return this.arm(fromMs);
    this.wakeAtMs = null;
    world.turning = this.node;
    const left = this.host.run(2);
    world.turning = null;
    if (this.alive) {
      const due = this.host.nextDue();
      if (left) this.wake(world.turnMs);
      else if (due !== null) this.wake(due / this.node.clockRate - world.now);
    }
    world.hooks.onEvent(this.node, this);
  }
}
