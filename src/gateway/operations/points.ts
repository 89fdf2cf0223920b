import { assert } from '../../base/assert';
import { floatsOf } from '../../base/bytes';
import { invalid, VectronError } from '../../base/errors';
import { failureTokensMax, idempotencyWindowMsMax, requestBytesMax } from '../../base/limits';
import type { MonotonicMs } from '../../base/time';
import type { Life, Point, ShardOperation, WriteOptions } from '../../protocol/commands';
import type { StoredPoint } from '../../protocol/data-messages';
import type { CollectionRecord } from '../../protocol/records';
import type { DrawnKey } from '../../protocol/session-key';
import { type AnswerOf, type CallOf, type Done, type WriteAnswer, WriteFailedError } from '../calls';
import type { Reply } from '../group-calls';
import { type Core, findCollection } from './core';
import { dialOf, Served } from './dial';
import { type KeyedResult, runKeyed } from './keyed';
import { WriteEffects } from './write-effects';

const writeAttemptMs = 750;
const readAttemptMs = 500;
/** By how much the gateway's clock and the leaders' may differ before writes are refused. */
const clockSlackMs = 120_000;
/** Below this length squared a direction is rounding error. */
const normSquaredMin = 1e-36;

export function upsert(core: Core, call: CallOf<'upsert'>, until: MonotonicMs, done: Done<WriteAnswer>): void {
  const { points, lives, options } = call;
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) return done({ ok: false, error: collection });
    const error = firstError(points, (point, i) => vectorError(collection, point.vector, `points[${i}].vector`));
    if (error !== null) return done({ ok: false, error });
    write(core, collection, until, done, {
      ids: points.map((point) => point.id),
      list: 'points',
      options,
      bytesOf: (i) => (points[i]?.vector.length ?? 0) + (points[i]?.payload.length ?? 0) + 64,
      operation: (positions) => {
        if (lives === undefined) return { kind: 'upsert', points: pick(points, positions) };
        return { kind: 'put', points: positions.map((i) => ({ ...(points[i] as Point), life: lives[i] as Life })) };
      },
    });
  });
}

export function remove(core: Core, call: CallOf<'delete'>, until: MonotonicMs, done: Done<WriteAnswer>): void {
  const { ids, options } = call;
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) return done({ ok: false, error: collection });
    write(core, collection, until, done, {
      ids,
      list: 'ids',
      options,
      bytesOf: (i) => (ids[i]?.length ?? 0) + 64,
      operation: (positions) => ({ kind: 'delete', ids: pick(ids, positions) }),
    });
  });
}

export interface Write {
  readonly ids: readonly string[];
  /** As the caller spells the list of what is written. */
  readonly list: 'points' | 'ids';
  readonly options: WriteOptions;
  bytesOf(position: number): number;
  operation(positions: readonly number[]): ShardOperation;
}

function write(
  core: Core,
  collection: CollectionRecord,
  until: MonotonicMs,
  done: Done<WriteAnswer>,
  asked: Write,
): void {
  writeParts(core, collection, until, asked, (effects, { error, failed }) => {
    if (error === null) done({ ok: true, answer: effects.answer });
    else {
      const commit = effects.answer.commit.slice(0, failureTokensMax);
      done({ ok: false, error: new WriteFailedError(error, asked.ids.length - failed.length, failed, commit) });
    }
  });
}

/** `done` hears of what was written also if some parts failed. */
export function writeParts(
  core: Core,
  collection: CollectionRecord,
  until: MonotonicMs,
  { ids, list, bytesOf, operation, options: asked }: Write,
  done: (effects: WriteEffects, result: KeyedResult) => void,
): void {
  const drawn = asked.key === '' ? core.writeKeys.next() : null;
  const options = drawn === null ? asked : withKey(core, asked, drawn, until);
  const { conditions } = options;
  const effects = new WriteEffects(collection.id, ids.length);
  runKeyed(core, {
    collection,
    count: ids.length,
    ask: 'leader',
    until,
    attemptMs: writeAttemptMs,
    idOf: (i) => ids[i] as string,
    bytesOf,
    message: (header, positions) => ({
      kind: 'data.write',
      ...header,
      operation: operation(positions),
      options: conditions.length === 0 ? options : { ...options, conditions: pick(conditions, positions) },
    }),
    accept: (reply, positions) => effects.add(reply, positions),
    explain: (error, reply, positions) => conflictError(error, reply, positions, list),
    done: (result) => {
      if (drawn !== null) core.writeKeys.finished(drawn);
      done(effects, result);
    },
  });
}

/** A key that nobody else knows is needed only while we ourselves repeat, and a little longer for clocks that differ. */
export function withKey({ scope }: Core, options: WriteOptions, { key }: DrawnKey, until: MonotonicMs): WriteOptions {
  const windowMs = Math.min(Math.ceil(until - scope.now) + clockSlackMs, idempotencyWindowMsMax);
  return { ...options, key, issuedMs: scope.wall, windowMs };
}

/** A failed condition, at its place in the caller's list. */
function conflictError(error: VectronError, reply: Reply | null, positions: readonly number[], list: string) {
  if (reply?.kind !== 'data.written' || reply.conflict === null) return error;
  const { position, version } = reply.conflict;
  const field = `${list}[${positions[position] ?? 0}]`;
  return new VectronError(error.code, `${field}: ${error.message}`, { field, currentVersion: version, cause: error });
}

export function get(core: Core, call: CallOf<'get'>, until: MonotonicMs, done: Done<AnswerOf<'get'>>): void {
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) return done({ ok: false, error: collection });
    const error = answerSizeError(collection, call.ids.length, 'ids');
    if (error !== null) return done({ ok: false, error });
    const found = new Map<string, StoredPoint>();
    const dial = dialOf(core, collection, call);
    const served = new Served(dial);
    runKeyed(core, {
      collection,
      count: call.ids.length,
      ask: dial.ask,
      until,
      attemptMs: readAttemptMs,
      idOf: (i) => call.ids[i] as string,
      bytesOf: () => collection.dimension * 4 + 1024,
      message: (header, positions) => ({
        kind: 'data.get',
        ...header,
        ids: pick(call.ids, positions),
        ...dial.fieldsFor(header.shard),
      }),
      accept: (reply) => collect(reply, found, served),
      done: (result) => {
        if (result.error !== null) return done({ ok: false, error: result.error });
        const points = call.ids.map((id) => found.get(id)).filter((point) => point !== undefined);
        done({ ok: true, answer: { points, served: served.list } });
      },
    });
  });
}

function collect(reply: Reply, found: Map<string, StoredPoint>, served: Served): void {
  assert(reply.kind === 'data.got', () => `a read was answered by ${reply.kind}`);
  served.add(reply);
  for (const point of reply.points) found.set(point.id, point);
}

const pick = <T>(items: readonly T[], positions: readonly number[]): T[] => positions.map((i) => items[i] as T);

function firstError<T>(items: readonly T[], check: (item: T, i: number) => VectronError | null): VectronError | null {
  for (const [i, item] of items.entries()) {
    const error = check(item, i);
    if (error !== null) return error;
  }
  return null;
}

/** What is wrong with a vector for this collection, its numbers being finite; null: nothing. */
export function vectorError(collection: CollectionRecord, vector: Uint8Array, field: string): VectronError | null {
  const { name, dimension, metric } = collection;
  if (vector.length !== dimension * 4) {
    return invalid(field, `has ${vector.length / 4} dimensions, collection ${name} has ${dimension}`);
  }
  if (metric === 'cosine' && normSquared(floatsOf(vector)) < normSquaredMin) {
    return invalid(field, 'a vector of length zero has no direction to compare by cosine');
  }
  return null;
}

/** Stops once the length is known not to be zero. */
function normSquared(vector: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < vector.length && sum < normSquaredMin; i++) sum += (vector[i] as number) ** 2;
  return sum;
}

/** Vectors are most of an answer: one that would not fit into a message is refused before it is made. */
export function answerSizeError(collection: CollectionRecord, count: number, field: string): VectronError | null {
  const countMax = Math.floor(requestBytesMax / (collection.dimension * 4));
  if (count <= countMax) return null;
  return invalid(field, `at most ${countMax} vectors of ${collection.dimension} dimensions fit into an answer`);
}
