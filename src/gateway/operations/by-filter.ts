import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { LogIndex } from '../../base/ids';
import type { MonotonicMs } from '../../base/time';
import { type Condition, type MortalPoint, plainWrite, type WriteOptions } from '../../protocol/commands';
import type { CommitToken } from '../../protocol/commit-token';
import type { StoredPoint } from '../../protocol/data-messages';
import { type HashRange, inRange, type KeyHash } from '../../protocol/key-hash';
import type { CollectionRecord, ShardRecord } from '../../protocol/records';
import type { DrawnKey } from '../../protocol/session-key';
import { matches, parsedPayload } from '../../vector/filter-match';
import type { ByFilterAnswer, CallOf, Done, ReadDial } from '../calls';
import { reservedIds } from '../validate/fields';
import { type Core, findCollection } from './core';
import { changedPayload } from './payload-change';
import { get, type Write, withKey, writeParts } from './points';
import { Scatter } from './scatter';
import { scroll } from './select';
import type { WriteEffects } from './write-effects';

/** Points that one step reads and writes. */
const stepPoints = 256;
const attemptMs = 1_000;
const pauseMs = 50;

type ByFilter = CallOf<'deleteByFilter'> | CallOf<'setPayloadByFilter'>;

/**
 * Deletes the points that match a filter, or changes their payloads (docs/decisions/0019).
 *
 *  1. First each shard's log gets a mark under the call's key: it says which points are meant, those that are as of there. A
 *     repetition is answered with the first mark, so that it never touches what was written after that.
 *  2. Then pages of points are read and written, each point under the condition that it is still the version that was read.
 *  3. One that has another version by then is looked at again; by a repetition it is left alone.
 */
export function changeByFilter(core: Core, call: ByFilter, until: MonotonicMs, done: Done<ByFilterAnswer>): void {
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) done({ ok: false, error: collection });
    else new ByFilterRun(core, collection, call, until, done).begin();
  });
}

interface Mark {
  readonly range: HashRange;
  /** The shard had it from an earlier attempt. */
  readonly replayed: boolean;
  readonly index: LogIndex;
}

/** Of one call; of use to changeByFilter() alone. */
export class ByFilterRun {
  private readonly marks: Mark[] = [];
  private count = 0;
  private afterId = '';
  private readonly tokens = new Map<number, CommitToken>();
  private readonly drawn: DrawnKey | null;
  private readonly options: WriteOptions;

  constructor(
    private readonly core: Core,
    private readonly collection: CollectionRecord,
    private readonly call: ByFilter,
    private readonly until: MonotonicMs,
    private readonly done: Done<ByFilterAnswer>,
  ) {
    const { options } = call;
    this.drawn = options.key === '' ? core.writeKeys.next() : null;
    this.options = this.drawn === null ? options : withKey(core, options, this.drawn, until);
  }

  begin(): void {
    const { core, collection, until, options } = this;
    const scatter = new Scatter(core, {
      ...{ collection, until, attemptMs, read: leading, allowPartial: false },
      message: (header) => {
        const ids = [markId(core, header.shard)];
        return { kind: 'data.write', ...header, operation: { kind: 'delete', ids }, options };
      },
      done: (gathered) => {
        if (gathered instanceof VectronError) return this.fail(gathered);
        for (const { shard, reply } of gathered.answers) {
          assert(reply.kind === 'data.written', () => `a mark was answered by ${reply.kind}`);
          this.marks.push({ range: shard.range, replayed: reply.replayed, index: reply.index });
          this.learn({ collection: collection.id, shard: shard.id, index: reply.index });
        }
        this.page();
      },
    });
    scatter.start();
  }

  private page(): void {
    const { core, call, afterId } = this;
    const slice = { index: 0, count: 1 };
    const read = { filter: call.filter, afterId, limit: stepPoints, slice, order: null, ...this.dial };
    scroll(core, { kind: 'scroll', collection: call.collection, ...read }, this.until, (outcome) => {
      if (!outcome.ok) return this.fail(outcome.error);
      const { points, next } = outcome.answer;
      const meant = points.filter(({ id, version }) => version <= (this.markOf(id)?.index ?? 0));
      this.change(meant, () => {
        if (next === null) return this.finish();
        this.afterId = next;
        this.page();
      });
    });
  }

  private change(points: readonly StoredPoint[], then: () => void): void {
    if (points.length === 0) return then();
    let write: Write;
    try {
      write = this.writeOf(points);
    } catch (thrown) {
      if (!(thrown instanceof VectronError)) throw thrown;
      return this.fail(thrown);
    }
    writeParts(this.core, this.collection, this.until, write, (effects, { error, failed }) => {
      this.took(effects);
      if (error === null) return then();
      const left = failed.map((position) => points[position] as StoredPoint);
      if (error.code === 'FAILED_PRECONDITION') this.lookAgain(left, then);
      else if (error.code === 'RESOURCE_EXHAUSTED' && error.field === undefined) this.pause(error, left, then);
      else this.fail(error);
    });
  }

  /** The shards have more to do than they may take: this is work that can wait. */
  private pause(error: VectronError, points: readonly StoredPoint[], then: () => void): void {
    const { scope } = this.core;
    if (scope.now + pauseMs >= this.until) return this.fail(error);
    scope.after(error.retryAfterMs ?? pauseMs, () => this.change(points, then));
  }

  /** Some of these are not what was read, and keep the others of their part from being written. */
  private lookAgain(points: readonly StoredPoint[], then: () => void): void {
    const { core, call, until } = this;
    const versions = new Map(points.map(({ id, version }) => [id, version]));
    const ids = [...versions.keys()];
    get(core, { kind: 'get', collection: call.collection, ids, ...this.dial }, until, (outcome) => {
      if (!outcome.ok) return this.fail(outcome.error);
      const still = outcome.answer.points.filter((point) => {
        if (versions.get(point.id) === point.version) return true;
        return (
          this.markOf(point.id)?.replayed === false && matches(call.filter, point.id, parsedPayload(point.payload))
        );
      });
      this.change(still, then);
    });
  }

  private writeOf(points: readonly StoredPoint[]): Write {
    const { call } = this;
    const ids = points.map(({ id }) => id);
    const conditions = points.map(({ version }): Condition => ({ kind: 'version', version }));
    const options = { ...plainWrite, conditions };
    if (call.kind === 'deleteByFilter') {
      const operation = (positions: readonly number[]) => {
        return { kind: 'delete' as const, ids: positions.map((i) => ids[i] as string) };
      };
      return { ids, list: 'ids', options, bytesOf: (i) => (ids[i]?.length ?? 0) + 64, operation };
    }
    const changed = points.map(({ id, vector, payload }) => {
      return { id, vector, payload: changedPayload(id, payload, call.change), life: { kind: 'kept' as const } };
    });
    return {
      ...{ ids, list: 'points', options },
      bytesOf: (i) => (changed[i]?.vector.length ?? 0) + (changed[i]?.payload.length ?? 0) + 64,
      operation: (positions) => ({ kind: 'put', points: positions.map((i) => changed[i] as MortalPoint) }),
    };
  }

  private took(effects: WriteEffects): void {
    const { count, commit } = effects.answer;
    this.count += count;
    for (const token of commit) this.learn(token);
  }

  private learn(token: CommitToken): void {
    const known = this.tokens.get(token.shard);
    if (known === undefined || known.index < token.index) this.tokens.set(token.shard, token);
  }

  /** Nothing that was there at the marks may be missed, nor what this call itself has done. */
  private get dial(): ReadDial {
    return { ...leading, tokens: [...this.tokens.values()] };
  }

  private markOf(id: string): Mark | undefined {
    const hash = this.core.keyHash(id);
    return this.marks.find(({ range }) => inRange(range, hash));
  }

  private finish(): void {
    this.settle();
    const { count, marks } = this;
    const replayed = marks.every((mark) => mark.replayed);
    this.done({ ok: true, answer: { count, replayed, commit: [...this.tokens.values()] } });
  }

  /** What was changed stays so: a code that says otherwise must not be given. */
  private fail(error: VectronError): void {
    this.settle();
    const { count } = this;
    const message = `${count} points were changed before: ${error.message}`;
    if (count === 0) this.done({ ok: false, error });
    else if (error.retry === 'unsure')
      this.done({ ok: false, error: new VectronError(error.code, message, { cause: error }) });
    else this.done({ ok: false, error: new VectronError('OUTCOME_UNKNOWN', message, { cause: error }) });
  }

  private settle(): void {
    if (this.drawn !== null) this.core.writeKeys.finished(this.drawn);
  }
}

const leading: ReadDial = { level: 'leader', tokens: [], stalenessMs: 0 };

/** Of a point that no client can write, in the shard's own range: always the same, so that a shard keeps one mark at most. */
function markId({ table, keyHash }: Pick<Core, 'table' | 'keyHash'>, shard: ShardRecord['id']): string {
  const range = table.shard(shard)?.range;
  return range === undefined ? reservedIds : idWithin(range, keyHash);
}

function idWithin(range: HashRange, keyHash: KeyHash): string {
  for (let n = 0; ; n++) {
    const id = `${reservedIds}${n}`;
    if (inRange(range, keyHash(id))) return id;
  }
}
