import { bytesOfFloats, fromUtf8, utf8 } from '../../src/base/bytes';
import { type ErrorCode, errorCatalogue } from '../../src/base/errors';
import type { Prng } from '../../src/base/prng';
import type { CallOf, Outcome, ReadDial, WriteAnswer } from '../../src/gateway/calls';
import { type Condition, type Point, plainWrite, type WriteOptions } from '../../src/protocol/commands';
import type { StoredPoint } from '../../src/protocol/data-messages';
import type { SimCluster } from './cluster';
import type { Fate, Oracle, Shown } from './oracle';
import { wallAtStartMs } from './sim-thread';
import { must } from './violation';

export const collection = 'sim';
/** Points whose ids begin so are checked by who writes them, and by nobody else. */
export const apart = 'apart-';
export const dimension = 4;
export const callTimeoutMs = 8_000;
export const latest: ReadDial = { level: 'linearizable', tokens: [], stalenessMs: 0 };
const attemptsMax = 5;
const longWindowMs = 600_000;
const shortWindowMs = 4_000;

export interface Item {
  readonly key: string;
  readonly serial: number;
  readonly condition?: Condition;
}

export interface Write {
  readonly deletes: boolean;
  readonly items: readonly Item[];
}

/**
 * Writes as a careful client does, and tells the oracle what became of them. Two thirds of the writes have a key of the
 * client's own: when their outcome is unknown, the client repeats them, now and then after their window. Some that are
 * settled it repeats all the same, between its later writes: the answer must be the first one.
 */
export class SimClient {
  private keyNext = 0;
  private echoing = 0;

  constructor(
    private readonly cluster: SimCluster,
    private readonly oracle: Oracle,
    private readonly random: Prng,
  ) {}

  get idle(): boolean {
    return this.echoing === 0;
  }

  write(write: Write, done: (fate: Fate, answer: WriteAnswer | null) => void): void {
    for (const { key, serial } of write.items) this.oracle.invoke(key, serial, write.deletes);
    this.attempt(write, this.optionsOf(write), 1, done);
  }

  get(key: string, dial: ReadDial, done: (shown: Shown | null) => void, failed: () => void): void {
    this.cluster.call({ kind: 'get', collection, ids: [key], ...dial }, callTimeoutMs, (outcome) => {
      if (outcome.ok) done(shownOf(outcome.answer.points[0]));
      else failed();
    });
  }

  private optionsOf({ items }: Write): WriteOptions {
    const conditions = items.map(({ condition }): Condition => condition ?? { kind: 'none' });
    if (this.random.chance(0.33)) return { ...plainWrite, conditions };
    const windowMs = this.random.chance(0.3) ? shortWindowMs : longWindowMs;
    const issuedMs = wallAtStartMs + Math.floor(this.cluster.world.now);
    return { key: `own-${++this.keyNext}`, issuedMs, windowMs, conditions, returnPrevious: this.random.chance(0.2) };
  }

  private attempt(write: Write, options: WriteOptions, attempt: number, done: Parameters<SimClient['write']>[1]): void {
    this.cluster.call(callOf(write, options), callTimeoutMs, (outcome) => {
      const fate = fateOf(write, outcome, attempt);
      if (fate !== 'unknown' || options.key === '' || attempt >= attemptsMax || this.random.chance(0.15)) {
        this.settle(write, fate, outcome);
        if (fate !== 'unknown' && options.windowMs === longWindowMs) this.echo(write, options, outcome);
        done(fate, outcome.ok ? outcome.answer : null);
        return;
      }
      const delayMs = this.random.chance(0.2) ? this.random.between(2_000, 8_000) : this.random.between(10, 500);
      const again = (): void => this.attempt(write, options, attempt + 1, done);
      const inParts = write.items.length > 1 && this.random.chance(0.3);
      this.cluster.world.schedule(delayMs, 'repeat', null, () =>
        inParts ? this.part(write, options, again) : again(),
      );
    });
  }

  /** A client may cut a call that it repeats in another way: here its first point goes ahead alone. */
  private part({ deletes, items }: Write, options: WriteOptions, then: () => void): void {
    const conditions = options.conditions.slice(0, 1);
    const first = callOf({ deletes, items: items.slice(0, 1) }, { ...options, conditions });
    this.cluster.call(first, callTimeoutMs, then);
  }

  private echo(write: Write, options: WriteOptions, first: Outcome<WriteAnswer>): void {
    if (!this.random.chance(0.2) || (!first.ok && first.error.code !== 'FAILED_PRECONDITION')) return;
    this.echoing++;
    this.cluster.world.schedule(this.random.between(10, 10_000), 'echo', null, () =>
      this.cluster.call(callOf(write, options), callTimeoutMs, (outcome) => {
        this.echoing--;
        const wrong = contradiction(first, outcome);
        must(wrong === null, () => `${options.key} of ${write.items[0]?.key}: ${wrong}`);
      }),
    );
  }

  private settle({ items }: Write, fate: Fate, outcome: Outcome<WriteAnswer>): void {
    for (const [i, { key, serial }] of items.entries()) {
      this.oracle.finish(key, serial, fate, outcome.ok ? (outcome.answer.versions[i] ?? null) : null);
    }
  }
}

/** In what a repetition's answer differs from the first; null: in nothing. */
function contradiction(first: Outcome<WriteAnswer>, second: Outcome<WriteAnswer>): string | null {
  if (!first.ok) return second.ok ? 'it had failed for good, and then was written' : null;
  if (!second.ok) {
    const { code } = second.error;
    const isVerdict = code === 'FAILED_PRECONDITION' || code === 'INVALID_ARGUMENT' || code === 'IDEMPOTENCY_EXPIRED';
    return isVerdict ? `it had been written, and then had ${code}` : null;
  }
  const said = ({ count, versions }: WriteAnswer): string => `${count} at ${versions.join(',')}`;
  const [before, after] = [said(first.answer), said(second.answer)];
  if (!second.answer.replayed) return 'it was written twice';
  return before === after ? null : `it said ${before}, and then ${after}`;
}

function callOf({ deletes, items }: Write, options: WriteOptions): CallOf<'upsert'> | CallOf<'delete'> {
  if (deletes) return { kind: 'delete', collection, ids: items.map(({ key }) => key), options };
  const points = items.map(({ key, serial }) => pointOf(key, serial));
  return { kind: 'upsert', collection, points, options };
}

/** A condition that failed is decided for good; a `safe` code says that no attempt of this call reached a log. */
function fateOf({ items }: Write, outcome: Outcome<WriteAnswer>, attempt: number): Fate {
  if (outcome.ok) return 'acknowledged';
  const code: ErrorCode = outcome.error.code;
  if (items.length > 1) return 'unknown';
  const isSafe = errorCatalogue[code].retry === 'safe' && attempt === 1;
  return code === 'FAILED_PRECONDITION' || isSafe ? 'rejected' : 'unknown';
}

export const pointOf = (id: string, serial: number): Point => ({
  id,
  vector: bytesOfFloats(vectorOf(serial)),
  payload: utf8(JSON.stringify({ serial })),
});

export function serialOf(point: Pick<StoredPoint, 'payload'> | undefined): number | null {
  if (point === undefined) return null;
  return (JSON.parse(fromUtf8(point.payload)) as { serial: number }).serial;
}

export function shownOf(point: StoredPoint | undefined): Shown | null {
  const serial = serialOf(point);
  return point === undefined || serial === null ? null : { serial, version: point.version };
}

export function vectorOf(serial: number): Float32Array {
  return Float32Array.from({ length: dimension }, (_, i) => Math.sin(serial * (i + 1)) + 1.5);
}
