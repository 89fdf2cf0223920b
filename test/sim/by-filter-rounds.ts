import { utf8 } from '../../src/base/bytes';
import type { Prng } from '../../src/base/prng';
import type { AnswerOf, CallKind, CallOf, Outcome } from '../../src/gateway/calls';
import { plainWrite, type WriteOptions } from '../../src/protocol/commands';
import type { Filter } from '../../src/protocol/filters';
import { parsedPayload } from '../../src/vector/filter-match';
import type { SimCluster } from './cluster';
import { apart, callTimeoutMs, collection, latest, pointOf } from './sim-client';
import { wallAtStartMs } from './sim-thread';
import { must } from './violation';

const attemptsMax = 6;
const everyMsMax = 4_000;

/**
 * A client that changes points by filter, repeats that as careful clients do, and looks at what came of it. Each round has
 * points of its own, which nobody else touches, so that it knows all that may happen to them:
 *
 *  1. Once it is acknowledged, every point that was acknowledged before is changed, whatever was lost on the way.
 *  2. What is written after that is not touched when the call comes once more under its key.
 *
 * A round of which a write or read is left without an outcome is given up: of such a thing there is nothing to say.
 */
export class ByFilterRounds {
  rounds = 0;
  private active = true;
  private open = false;
  private serial = 0;

  constructor(
    private readonly cluster: SimCluster,
    private readonly random: Prng,
  ) {}

  get idle(): boolean {
    return !this.open;
  }

  start(): void {
    this.cluster.world.schedule(this.random.between(1, everyMsMax), 'by filter', null, () => {
      if (!this.active) return;
      this.open = true;
      const round = this.newRound();
      this.write(round, 'first', () => this.change(round, 1, () => this.afterFirst(round)));
    });
  }

  stop(): void {
    this.active = false;
  }

  private newRound(): Round {
    const serial = ++this.serial;
    const ids = Array.from({ length: this.random.between(1, 8) }, (_, i) => `${apart}${serial}-${i}`);
    const issuedMs = wallAtStartMs + Math.floor(this.cluster.world.now);
    const options = { ...plainWrite, key: `filter-${serial}`, issuedMs, windowMs: 600_000 };
    const mine: Filter = { kind: 'hasId', ids };
    // Not what was changed already: a repetition must know that by itself.
    const filter: Filter = this.random.chance(0.5) ? mine : { kind: 'any', key: 'round', values: [serial] };
    return { serial, ids, options, filter, deletes: this.random.chance(0.5) };
  }

  private afterFirst(round: Round): void {
    this.look(round, (payloads) => {
      const asMeant = round.deletes ? payloads.length === 0 : payloads.every(({ mark }) => mark === round.serial);
      const isAll = round.deletes || payloads.length === round.ids.length;
      must(asMeant && isAll, () => `${nameOf(round)} left ${JSON.stringify(payloads)}`);
      this.write(round, 'second', () => this.change(round, 1, () => this.afterSecond(round)));
    });
  }

  private afterSecond(round: Round): void {
    this.look(round, (payloads) => {
      const isKept = payloads.length === round.ids.length && payloads.every(({ mark }) => mark === 'second');
      must(isKept, () => `${nameOf(round)}, repeated, left ${JSON.stringify(payloads)}`);
      this.rounds++;
      this.end();
    });
  }

  private write({ serial, ids }: Round, mark: string, then: () => void): void {
    const points = ids.map((id) => ({
      ...pointOf(id, serial),
      payload: utf8(JSON.stringify({ round: serial, mark })),
    }));
    this.ask({ kind: 'upsert', collection, points, options: plainWrite }, () => then());
  }

  private look({ ids }: Round, then: (payloads: readonly { readonly mark?: unknown }[]) => void): void {
    this.ask({ kind: 'get', collection, ids, ...latest }, ({ points }) =>
      then(points.map(({ payload }) => parsedPayload(payload) as { mark?: unknown })),
    );
  }

  /** Again under its key until it is acknowledged. */
  private change(round: Round, attempt: number, then: () => void): void {
    const { filter, options, deletes, serial } = round;
    const change = { set: { mark: serial }, remove: [], replace: false };
    const done = (outcome: Outcome<unknown>): void => {
      if (outcome.ok) return then();
      if (attempt < attemptsMax) this.change(round, attempt + 1, then);
      else this.end();
    };
    if (deletes) this.cluster.call({ kind: 'deleteByFilter', collection, filter, options }, callTimeoutMs, done);
    else this.cluster.call({ kind: 'setPayloadByFilter', collection, filter, change, options }, callTimeoutMs, done);
  }

  private ask<K extends CallKind>(call: CallOf<K>, then: (answer: AnswerOf<K>) => void): void {
    this.cluster.call(call, callTimeoutMs, (outcome) => {
      if (outcome.ok) then(outcome.answer);
      else this.end();
    });
  }

  private end(): void {
    this.open = false;
    this.start();
  }
}

interface Round {
  readonly serial: number;
  readonly ids: readonly string[];
  readonly options: WriteOptions;
  readonly filter: Filter;
  readonly deletes: boolean;
}

const nameOf = ({ serial, deletes }: Round): string =>
  `round ${serial}: a ${deletes ? 'deletion' : 'change of payloads'} by filter`;
