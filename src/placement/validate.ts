import { invalid, VectronError } from '../base/errors';
import { dimensionMax, efConstructionMax, hnswMMax, nameLengthMax, shardCountMax, ttlMsMax } from '../base/limits';
import type { WantedCollection } from './commands';

const namePattern = new RegExp(`^[A-Za-z0-9_-]{1,${nameLengthMax}}$`);
const replicationFactors: readonly number[] = [1, 3, 5];
/** Below two links a node, layers of the graph fall apart. */
const hnswMMin = 2;

/** What is wrong with a collection's description whatever else exists: INVALID_ARGUMENT naming the field as clients spell it, or null. */
export function collectionError(wanted: WantedCollection): VectronError | null {
  if (!namePattern.test(wanted.name)) {
    return invalid('name', `must be 1 to ${nameLengthMax} letters, digits, underscores or hyphens`);
  }
  if (!replicationFactors.includes(wanted.replicationFactor)) {
    return invalid('replication_factor', `must be one of ${replicationFactors.join(', ')}`);
  }
  return (
    rangeError('dimension', wanted.dimension, 1, dimensionMax) ??
    rangeError('hnsw.m', wanted.hnsw.m, hnswMMin, hnswMMax) ??
    rangeError('hnsw.ef_construction', wanted.hnsw.efConstruction, 1, efConstructionMax) ??
    rangeError('shard_count', wanted.shardCount, 1, shardCountMax) ??
    ttlError(wanted.ttlMs)
  );
}

export const ttlError = (ttlMs: number): VectronError | null => rangeError('ttl_ms', ttlMs, 0, ttlMsMax);

function rangeError(field: string, value: number, low: number, high: number): VectronError | null {
  return value >= low && value <= high ? null : invalid(field, `must be from ${low} to ${high}, not ${value}`);
}
