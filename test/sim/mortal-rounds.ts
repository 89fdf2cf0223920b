import type { Prng } from '../../src/base/prng';
import { plainWrite } from '../../src/protocol/commands';
import type { SimCluster } from './cluster';
import { apart, callTimeoutMs, collection, latest, pointOf } from './sim-client';
import { must } from './violation';

const everyMsMax = 3_000;
const looksMax = 40;
/** A leader that has much to do stamps its writes with the moment at which its turn began. */
const stampLatenessMs = 1_000;

/**
 * A client whose points end, and that goes on looking at them. They are its own, so that it knows:
 *
 *  1. What a linearizable read has shown to be gone never comes back.
 *  2. Where clocks are right, no point is gone much before its time.
 */
export class MortalRounds {
  /** Points that were seen to be gone. */
  ended = 0;
  private active = true;
  private open = false;
  private serial = 0;

  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
    /** Wall clocks are those of the world, always. */
    private readonly isExact: boolean,
  ) {}

  get idle(): boolean {
    return !this.open;
  }

  start(): void {
    this.cluster.world.schedule(this.random.between(1, everyMsMax), 'mortal', null, () => {
      if (!this.active) return;
      this.open = true;
      this.write();
    });
  }

  stop(): void {
    this.active = false;
  }

  private write(): void {
    const serial = ++this.serial;
    const ids = Array.from({ length: this.random.between(1, 6) }, (_, i) => `${apart}mortal-${serial}-${i}`);
    const ends = new Map(ids.map((id) => [id, this.cluster.world.now + this.random.between(1, 6_000)]));
    const lives = ids.map((id) => ({
      kind: 'given' as const,
      ttlMs: Math.max(1, Math.floor((ends.get(id) ?? 0) - this.cluster.world.now)),
    }));
    const points = ids.map((id) => pointOf(id, serial));
    this.cluster.call({ kind: 'upsert', collection, points, lives, options: plainWrite }, callTimeoutMs, (outcome) =>
      outcome.ok ? this.look(ends, new Set(), 0) : this.end(),
    );
  }

  private look(ends: ReadonlyMap<string, number>, gone: Set<string>, looks: number): void {
    if (!this.active || looks >= looksMax || gone.size === ends.size) return this.end();
    this.cluster.world.schedule(this.random.between(1, 1_000), 'mortal', null, () =>
      this.cluster.call({ kind: 'get', collection, ids: [...ends.keys()], ...latest }, callTimeoutMs, (outcome) => {
        if (outcome.ok) this.check(ends, gone, new Set(outcome.answer.points.map(({ id }) => id)));
        this.look(ends, gone, looks + 1);
      }),
    );
  }

  private check(ends: ReadonlyMap<string, number>, gone: Set<string>, shown: ReadonlySet<string>): void {
    const { now } = this.cluster.world;
    for (const [id, endMs] of ends) {
      must(!(gone.has(id) && shown.has(id)), () => `${id} had ended, and is there again`);
      if (gone.has(id) || shown.has(id)) continue;
      must(
        !this.isExact || now >= endMs - stampLatenessMs,
        () => `${id} was to end at ${endMs}, and was gone at ${now}`,
      );
      gone.add(id);
      this.ended++;
    }
  }

  private end(): void {
    this.open = false;
    this.start();
  }
}
