import { utf8Length } from '../base/bytes';
import { asVectronError, VectronError } from '../base/errors';
import {
  idempotencyKeyBytesMax,
  idempotencyWindowMsMax,
  payloadBytesMax,
  pointIdBytesMax,
  ttlMsMax,
} from '../base/limits';
import type { Life, Point, ShardOperation, WriteOptions } from '../protocol/commands';
import { checkVector, floatsCopied } from '../vector/metrics';

export const idsOf = (operation: ShardOperation): readonly string[] =>
  operation.kind === 'delete' ? operation.ids : operation.points.map((point) => point.id);

/** Why options can never be those of `operation`, or null. Checked at propose and again at apply. */
export function optionsFault(options: WriteOptions, operation: ShardOperation): VectronError | null {
  const { key, issuedMs, windowMs, conditions } = options;
  const ids = idsOf(operation);
  if (utf8Length(key) > idempotencyKeyBytesMax) {
    return fault('idempotency_key', `is longer than ${idempotencyKeyBytesMax} bytes`);
  }
  if (!Number.isFinite(issuedMs) || issuedMs < 0) return fault('issued_ms', 'is not a time');
  if (windowMs > idempotencyWindowMsMax) return fault('idempotency_window_ms', `is above ${idempotencyWindowMsMax}`);
  if (conditions.length !== 0 && conditions.length !== ids.length) {
    return fault('conditions', `${conditions.length} for ${ids.length} points`);
  }
  const isPlain = key === '' && conditions.length === 0;
  return isPlain || new Set(ids).size === ids.length ? null : fault('points', 'an id occurs twice');
}

/** Why an operation can never be applied to a shard of this dimension, or null. Checked at propose and again at apply. */
export function operationFault(operation: ShardOperation, dimension: number): VectronError | null {
  if (operation.kind === 'delete') return firstFault(operation.ids, (id, at) => idFault(id, `ids[${at}]`));
  const points: readonly Point[] = operation.points;
  const bad = firstFault(points, (point, at) => pointFault(point, dimension, `points[${at}]`));
  if (bad !== null || operation.kind === 'upsert') return bad;
  return firstFault(operation.points, ({ life }, at) => lifeFault(life, `points[${at}]`));
}

function firstFault<T>(items: readonly T[], check: (item: T, at: number) => VectronError | null): VectronError | null {
  for (let at = 0; at < items.length; at++) {
    const fault = check(items[at] as T, at);
    if (fault !== null) return fault;
  }
  return null;
}

function idFault(id: string, field: string): VectronError | null {
  const length = id.length > pointIdBytesMax ? id.length : utf8Length(id);
  return length >= 1 && length <= pointIdBytesMax
    ? null
    : fault(`${field}.id`, `must have 1 to ${pointIdBytesMax} bytes, has ${length}`);
}

function pointFault(point: Point, dimension: number, field: string): VectronError | null {
  const bad = idFault(point.id, field) ?? vectorFault(point.vector, dimension, `${field}.vector`);
  if (bad !== null || point.payload.length <= payloadBytesMax) return bad;
  return fault(`${field}.payload`, `has ${point.payload.length} bytes, at most ${payloadBytesMax} are allowed`);
}

function lifeFault(life: Life, field: string): VectronError | null {
  if (life.kind !== 'given' || (life.ttlMs >= 1 && life.ttlMs <= ttlMsMax)) return null;
  return fault(`${field}.ttl_ms`, `is not from 1 to ${ttlMsMax}`);
}

/** Also for the vector of a query. */
export function vectorFault(vector: Uint8Array, dimension: number, field: string): VectronError | null {
  if (vector.length !== dimension * 4) return fault(field, `has ${vector.length / 4} components, not ${dimension}`);
  try {
    checkVector(floatsCopied(vector), dimension, field);
    return null;
  } catch (thrown) {
    return asVectronError(thrown);
  }
}

const fault = (field: string, message: string): VectronError =>
  new VectronError('INVALID_ARGUMENT', `${field}: ${message}`, { field });
