import { bytesOfFloats, fromUtf8, utf8 } from '../../src/base/bytes';
import type { Prng } from '../../src/base/prng';
import type { Point } from '../../src/protocol/commands';
import type { StoredPoint } from '../../src/protocol/data-messages';
import type { SimCluster } from './cluster';

import type { SimOptions } from './options';
import { Oracle } from './oracle';
import { Violation } from './violation';

export const collection = 'sim';
export const dimension = 4;
const callTimeoutMs = 8_000;
/** A gateway sends a write again when an attempt is not answered for about this long. */
const retriedAfterMs = 400;

/** Clients that write, delete, read and search, each its own keys one call at a time, and tell the oracle. */
export class Workload {
  readonly oracle = new Oracle();
  readonly counts = { calls: 0, failed: 0, reads: 0, searches: 0 };
  private readonly random: Prng;
  private serial = 0;
  private active = true;
  private open = 0;

  constructor(
    private readonly cluster: SimCluster,
    private readonly options: SimOptions,
  ) {
    this.random = cluster.world.random.fork();
  }

  get idle(): boolean {
    return this.open === 0;
  }

  start(): void {
    for (let client = 0; client < this.options.clients; client++) this.next(client);
  }

  stop(): void {
    this.active = false;
  }

  private next(client: number): void {
    this.cluster.world.schedule(this.random.between(1, 200), 'client', null, () => {
      if (!this.active) return;
      const draw = this.random.float();
      if (draw < 0.35) this.upsert(client, this.ownKeys(client));
      else if (draw < 0.55) this.upsert(client, [`once-${client}-${this.serial + 1}`]);
      else if (draw < 0.65) this.remove(client, this.ownKeys(client)[0] as string);
      else if (draw < 0.9) this.read(client);
      else this.search(client);
    });
  }

  private ownKeys(client: number): string[] {
    const { keys, clients } = this.options;
    const own = Array.from({ length: keys }, (_, i) => i).filter((key) => key % clients === client);
    const wanted = Math.min(own.length, this.random.chance(0.3) ? this.random.between(2, 4) : 1);
    const chosen = new Set<number>();
    while (chosen.size < wanted) chosen.add(this.random.pick(own));
    return [...chosen].map((key) => `key-${key}`);
  }

  private begin(): number {
    this.counts.calls++;
    this.open++;
    return this.cluster.world.now;
  }

  /** Whether the call may have been sent twice. */
  private end(client: number, begunMs: number): boolean {
    this.open--;
    this.next(client);
    return this.cluster.world.now - begunMs > retriedAfterMs;
  }

  private upsert(client: number, keys: readonly string[]): void {
    const begunMs = this.begin();
    const serials = keys.map(() => ++this.serial);
    for (const [i, key] of keys.entries()) this.oracle.invoke(key, serials[i] as number, false);
    const points = keys.map((key, i) => this.point(key, serials[i] as number));
    this.cluster.call({ kind: 'upsert', collection, points }, callTimeoutMs, (outcome) => {
      const slow = this.end(client, begunMs);
      for (const [i, key] of keys.entries()) this.settle(key, serials[i] as number, outcome.ok, slow);
    });
  }

  private remove(client: number, key: string): void {
    const begunMs = this.begin();
    const serial = ++this.serial;
    this.oracle.invoke(key, serial, true);
    this.cluster.call({ kind: 'delete', collection, ids: [key] }, callTimeoutMs, (outcome) =>
      this.settle(key, serial, outcome.ok, this.end(client, begunMs)),
    );
  }

  private settle(key: string, serial: number, ok: boolean, slow: boolean): void {
    if (!ok) this.counts.failed++;
    this.oracle.finish(key, serial, ok ? 'acknowledged' : 'loose', slow);
  }

  private read(client: number): void {
    const begunMs = this.begin();
    const key = `key-${this.random.between(0, this.options.keys - 1)}`;
    const floor = this.oracle.floorOf(key);
    this.cluster.call({ kind: 'get', collection, ids: [key], level: 'linearizable' }, callTimeoutMs, (outcome) => {
      this.end(client, begunMs);
      if (!outcome.ok) return;
      this.counts.reads++;
      this.oracle.read(key, serialOf(outcome.answer.points[0]), floor, 'read');
    });
  }

  private search(client: number): void {
    const begunMs = this.begin();
    const vector = bytesOfFloats(vectorOf(this.random.between(1, 1_000)));
    const call = {
      kind: 'search',
      collection,
      vector,
      k: 5,
      ef: 0,
      exact: false,
      level: 'leader',
      includeVector: false,
      includePayload: false,
      allowPartial: false,
    } as const;
    this.cluster.call(call, callTimeoutMs, (outcome) => {
      this.end(client, begunMs);
      if (!outcome.ok) return;
      this.counts.searches++;
      const { scores } = { scores: outcome.answer.hits.map((hit) => hit.score) };
      if (scores.some((score, i) => i > 0 && score > (scores[i - 1] as number)))
        throw new Violation('hits out of order');
    });
  }

  private point(id: string, serial: number): Point {
    return { id, vector: bytesOfFloats(vectorOf(serial)), payload: utf8(JSON.stringify({ serial })) };
  }
}

export function serialOf(point: Pick<StoredPoint, 'payload'> | undefined): number | null {
  if (point === undefined) return null;
  return (JSON.parse(fromUtf8(point.payload)) as { serial: number }).serial;
}

export function vectorOf(serial: number): Float32Array {
  return Float32Array.from({ length: dimension }, (_, i) => Math.sin(serial * (i + 1)) + 1.5);
}
