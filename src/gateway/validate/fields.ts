import { bytesOfFloats, floatsOf, fromUtf8, utf8 } from '../../base/bytes';
import { invalid, VectronError } from '../../base/errors';
import {
  batchPointsMax,
  deadlineMsMax,
  dimensionMax,
  efConstructionMax,
  efMax,
  hnswMMax,
  nameLengthMax,
  oversamplingMax,
  payloadBytesMax,
  pointIdBytesMax,
  queriesMax,
  scrollPageMax,
  scrollSlicesMax,
  searchKMax,
  shardCountMax,
  ttlMsMax,
} from '../../base/limits';
import type { Life } from '../../protocol/commands';
import type { ReadLevel } from '../../protocol/data-messages';
import type { Metric } from '../../protocol/records';
import { defaultStorage, type StorageSettings } from '../../protocol/records';
import { type IndexedType, indexedTypes } from '../../protocol/schemas';
import { squaredLengthMax } from '../../vector/metrics';
import { checkJson, checkWholeNumbers, jsonDepthMax, parseJson } from './json';

/**
 * One check a field, the same for gRPC and HTTP. Each takes the value as it came and the field as the caller spells it,
 * and returns the value as the gateway uses it or throws INVALID_ARGUMENT naming the field.
 */
const namePattern = new RegExp(`^[A-Za-z0-9_-]{1,${nameLengthMax}}$`);
/** A vector longer than this could overflow float32 when two of them are compared: |a - b|² is at most 4 times it. */
const hnswMMin = 2;

export function collectionName(value: unknown, field: string): string {
  if (typeof value === 'string' && namePattern.test(value)) return value;
  throw invalid(field, `must be 1 to ${nameLengthMax} letters, digits, underscores or hyphens`);
}

export function wholeNumber(value: unknown, field: string, low: number, high: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value;
  throw invalid(field, `must be a whole number from ${low} to ${high}`);
}

export function flag(value: unknown, field: string, byDefault: boolean): boolean {
  if (value === undefined || value === null) return byDefault;
  if (typeof value === 'boolean') return value;
  throw invalid(field, 'must be true or false');
}

/** Absent and 0 mean the default. */
function orDefault(value: unknown, byDefault: number): unknown {
  return value === undefined || value === null || value === 0 ? byDefault : value;
}

export const dimension = (value: unknown): number => wholeNumber(value, 'dimension', 1, dimensionMax);
export const hnswM = (value: unknown): number => wholeNumber(orDefault(value, 16), 'hnsw.m', hnswMMin, hnswMMax);
export const efConstruction = (value: unknown): number =>
  wholeNumber(orDefault(value, 200), 'hnsw.ef_construction', 1, efConstructionMax);
/** Absent and empty mean the default. */
function oneOfNames<const T extends string>(value: unknown, field: string, byDefault: T, names: readonly T[]): T {
  if (value === undefined || value === null || value === '') return byDefault;
  if (names.includes(value as T)) return value as T;
  throw invalid(field, `must be ${names.join(' or ')}`);
}

export function storage(quantisation: unknown, originals: unknown): StorageSettings {
  const settings: StorageSettings = {
    quantisation: oneOfNames(quantisation, 'quantisation', defaultStorage.quantisation, ['int8', 'none']),
    originals: oneOfNames(originals, 'originals', defaultStorage.originals, ['memory', 'disk']),
  };
  if (settings.quantisation === 'int8' || settings.originals === 'memory') return settings;
  throw invalid(
    'originals',
    'on disk need quantisation int8: without codes a walk would read each vector from the disk',
  );
}
export const shardCount = (value: unknown, byDefault: number): number =>
  wholeNumber(orDefault(value, byDefault), 'shard_count', 1, shardCountMax);
export const topK = (value: unknown): number => wholeNumber(value ?? 10, 'top_k', 1, searchKMax);
export const ef = (value: unknown): number => wholeNumber(value ?? 0, 'ef', 0, efMax);
/** Null: none given. */
export function minScore(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw invalid('min_score', 'must be a number');
}

export const scrollLimit = (value: unknown): number => wholeNumber(value ?? 100, 'limit', 1, scrollPageMax);
/** Empty: none given. */
export const afterId = (value: unknown): string =>
  value === undefined || value === null || value === '' ? '' : pointId(value, 'after');

export function slice(value: unknown, countAsked: unknown): { readonly index: number; readonly count: number } {
  const count = wholeNumber(orDefault(countAsked, 1), 'slice_count', 1, scrollSlicesMax);
  return { index: wholeNumber(value ?? 0, 'slice', 0, count - 1), count };
}

/** Of a collection: how long its points live. Absent and 0: for ever. */
export const ttlMs = (value: unknown): number => wholeNumber(orDefault(value, 0), 'ttl_ms', 0, ttlMsMax);
export const neededTtlMs = (value: unknown): number => wholeNumber(value, 'ttl_ms', 0, ttlMsMax);
/** 0: none given. */
export const timeoutMs = (value: unknown): number => wholeNumber(value ?? 0, 'timeout_ms', 0, deadlineMsMax);

export function replicationFactor(value: unknown, byDefault: number): number {
  const factor = orDefault(value, byDefault);
  if (factor === 1 || factor === 3 || factor === 5) return factor;
  throw invalid('replication_factor', 'must be 1, 3 or 5');
}

const metrics: readonly Metric[] = ['cosine', 'euclidean', 'dot'];

export function metric(value: unknown): Metric {
  const found = metrics.find((known) => known === value);
  if (found !== undefined) return found;
  throw invalid('distance', `must be one of ${metrics.join(', ')}`);
}

export function indexedType(value: unknown): IndexedType {
  const found = indexedTypes.find((known) => known === value);
  if (found !== undefined) return found;
  throw invalid('type', `must be one of ${indexedTypes.join(', ')}`);
}

/** 1: as many as asked for. */
export function oversampling(value: unknown): number {
  if (value === undefined || value === null || value === 0) return 1;
  if (typeof value === 'number' && value >= 1 && value <= oversamplingMax) return value;
  throw invalid('oversampling', `must be a number from 1 to ${oversamplingMax}`);
}

/** 0: as many as oversampling says. */
export function rerank(value: unknown, k: number): number {
  if (value === undefined || value === null || value === 0) return 0;
  return wholeNumber(value, 'rerank', k, searchKMax);
}

/** Null: as the collection is. */
export function quantised(value: unknown, exact: boolean): boolean | null {
  if (value === undefined || value === null) return null;
  const wanted = flag(value, 'quantised', true);
  if (wanted && exact) throw invalid('quantised', 'is given beside exact, which measures every vector itself');
  return wanted;
}

/** 0: the search does not wait. */
export const waitIndexedMs = (value: unknown): number => wholeNumber(value ?? 0, 'wait_indexed_ms', 0, deadlineMsMax);

const levels: readonly ReadLevel[] = ['linearizable', 'leader', 'session', 'bounded', 'eventual'];

export function readLevel(value: unknown, byDefault: ReadLevel): ReadLevel {
  if (value === undefined || value === null || value === '') return byDefault;
  const found = levels.find((known) => known === value);
  if (found !== undefined) return found;
  throw invalid('consistency', `must be one of ${levels.join(', ')}`);
}

/** Shards keep marks under ids that begin so (operations/by-filter). */
export const reservedIds = '\u0000vectron/mark/';

export function pointId(value: unknown, field: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(field, 'must be a string that is not empty');
  if (value.startsWith(reservedIds)) throw invalid(field, 'begins as no id of a point may');
  // A unit is at least one byte; at most three. Only in between must the bytes be counted.
  const tooLong =
    value.length > pointIdBytesMax || (value.length * 3 > pointIdBytesMax && utf8(value).length > pointIdBytesMax);
  if (tooLong) throw invalid(field, `is longer than ${pointIdBytesMax} bytes`);
  // Encoding would replace a lone surrogate, and two ids would become one.
  if (/\p{Surrogate}/u.test(value)) throw invalid(field, 'is not well-formed Unicode');
  return value;
}

/** Nothing if no point of the call has a life of its own. */
export function lives(values: readonly unknown[]): { readonly lives?: readonly Life[] } {
  const all = values.map((value, i): Life => {
    if (value === undefined || value === null) return { kind: 'default' };
    return { kind: 'given', ttlMs: wholeNumber(value, `points[${i}].ttl_ms`, 1, ttlMsMax) };
  });
  return all.every(({ kind }) => kind === 'default') ? {} : { lives: all };
}

/** 1 to batchPointsMax distinct ids. `spell` gives the name of a position's id. */
export function distinctIds(ids: readonly string[], spell: (position: number) => string): void {
  const seen = new Map<string, number>();
  for (const [position, id] of ids.entries()) {
    const first = seen.get(id);
    if (first !== undefined) throw invalid(spell(position), `is the same as ${spell(first)}; an id may occur once`);
    seen.set(id, position);
  }
}

export function batch(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid(field, 'must be a list with at least one element');
  if (value.length > batchPointsMax)
    throw invalid(field, `has ${value.length} elements, the limit is ${batchPointsMax}`);
  return value;
}

/** 1 to queriesMax searches, each named by its place. */
export function searches<T>(value: unknown, one: (search: unknown) => T): T[] {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid('searches', 'must be a list with at least one element');
  if (value.length > queriesMax) throw invalid('searches', `has ${value.length} elements, the limit is ${queriesMax}`);
  return value.map((search: unknown, i) => within(`searches[${i}]`, () => one(search)));
}

/** What a check says of a field, with the place of the object that has it. */
function within<T>(at: string, check: () => T): T {
  try {
    return check();
  } catch (thrown) {
    if (!(thrown instanceof VectronError) || thrown.field === undefined) throw thrown;
    const field = thrown.field === 'body' ? at : `${at}.${thrown.field}`;
    throw invalid(field, thrown.message.slice(thrown.message.indexOf(': ') + 2));
  }
}

/** float32 little-endian. Whether the dimension is the collection's is checked where collections are known. */
export function vectorBytes(value: Uint8Array, field: string): Uint8Array {
  if (value.length === 0) throw invalid(field, 'is missing or empty');
  if (value.length % 4 !== 0) throw invalid(field, `has ${value.length} bytes, which is not a multiple of 4`);
  if (value.length > dimensionMax * 4) throw invalid(field, `has more than ${dimensionMax} dimensions`);
  checkNumbers(floatsOf(value), field);
  return value;
}

export function vectorNumbers(value: unknown, field: string): Uint8Array {
  if (!Array.isArray(value) || value.length === 0) throw invalid(field, 'must be a list of numbers that is not empty');
  if (value.length > dimensionMax) throw invalid(field, `has more than ${dimensionMax} dimensions`);
  const floats = new Float32Array(value.length);
  for (let i = 0; i < floats.length; i++) {
    const number: unknown = value[i];
    if (typeof number !== 'number') throw invalid(`${field}[${i}]`, 'is not a number');
    floats[i] = number;
  }
  checkNumbers(floats, field);
  return bytesOfFloats(floats);
}

/** Not-a-number and infinity survive in the sum, so that one pass over the numbers finds both and the length. */
function checkNumbers(floats: Float32Array, field: string): void {
  let normSquared = 0;
  for (let i = 0; i < floats.length; i++) normSquared += (floats[i] as number) ** 2;
  if (normSquared <= squaredLengthMax) return;
  const at = floats.findIndex((number) => !Number.isFinite(number));
  if (at < 0) throw invalid(field, `is too long: its squared length is above ${squaredLengthMax}`);
  throw invalid(`${field}[${at}]`, 'is not a finite float32 number');
}

/** A JSON object in UTF-8, kept as it came. Empty: none. */
export function payloadBytes(value: Uint8Array, field: string): Uint8Array {
  if (value.length === 0) return value;
  if (value.length > payloadBytesMax) throw invalid(field, `is longer than ${payloadBytesMax} bytes`);
  checkPayload(parseJson(textOf(value, field), field, jsonDepthMax), field);
  return value;
}

export function payloadObject(value: unknown, field: string): Uint8Array {
  if (value === undefined || value === null) return new Uint8Array(0);
  checkPayload(value, field);
  checkWholeNumbers(value as object, field);
  const bytes = utf8(JSON.stringify(value));
  if (bytes.length > payloadBytesMax) throw invalid(field, `is longer than ${payloadBytesMax} bytes`);
  return bytes;
}

function checkPayload(value: unknown, field: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(field, 'must be a JSON object');
  checkJson(value, field);
}

function textOf(value: Uint8Array, field: string): string {
  try {
    return fromUtf8(value);
  } catch (cause) {
    throw new VectronError('INVALID_ARGUMENT', `${field}: is not UTF-8`, { field, cause });
  }
}
