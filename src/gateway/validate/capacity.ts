import { invalid } from '../../base/errors';
import type { CallOf } from '../calls';
import * as check from './fields';

const pointsMax = 1e12;
const isGiven = (value: unknown): boolean => value !== undefined && value !== null && value !== '' && value !== 0;

export interface CapacityFields {
  readonly points?: unknown;
  readonly collection?: unknown;
  readonly dimension?: unknown;
  readonly m?: unknown;
  readonly originals?: unknown;
  readonly quantisation?: unknown;
  readonly replicationFactor?: unknown;
}

/** A collection's name, or the shape of one that is thought of. */
export function capacityOf(fields: CapacityFields): CallOf<'capacity'> {
  const { collection, dimension, m, replicationFactor } = fields;
  const points = check.wholeNumber(fields.points ?? 0, 'points', 0, pointsMax);
  if (!isGiven(collection)) {
    const storage = check.storage(fields.quantisation, fields.originals);
    const shape = { dimension: check.dimension(dimension), m: check.hnswM(m), ...storage };
    return {
      kind: 'capacity',
      points,
      of: { ...shape, replicationFactor: check.replicationFactor(replicationFactor, 3) },
    };
  }
  const { originals, quantisation } = fields;
  const shape = { dimension, m, originals, quantisation, replication_factor: replicationFactor };
  for (const [name, value] of Object.entries(shape)) {
    if (isGiven(value)) throw invalid(name, 'is given beside collection, which has its own');
  }
  return { kind: 'capacity', points, of: check.collectionName(collection, 'collection') };
}
