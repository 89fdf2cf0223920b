import { VectronError } from '../../src/base/errors';
import type { CallOf, Outcome } from '../../src/gateway/calls';
import { pointsOf, vector } from './fake-cluster';

/** Calls on a collection `things` of two dimensions, and what tests do with outcomes. */
export const ids = Array.from({ length: 40 }, (_, i) => `id-${i}`);
export const upsert = (...names: string[]): CallOf<'upsert'> => ({
  kind: 'upsert',
  collection: 'things',
  points: pointsOf(...names),
});
export const get = (names: string[], level: CallOf<'get'>['level'] = 'linearizable'): CallOf<'get'> => ({
  kind: 'get',
  collection: 'things',
  ids: names,
  level,
});
export const search = (fields: Partial<CallOf<'search'>> = {}): CallOf<'search'> => ({
  kind: 'search',
  collection: 'things',
  vector: vector(1, 0),
  k: 10,
  ef: 0,
  exact: false,
  level: 'leader',
  includeVector: true,
  includePayload: true,
  allowPartial: false,
  ...fields,
});
export const errorOf = (outcome: Outcome<unknown>): VectronError => {
  if (outcome.ok) throw new Error('the call did not fail');
  return outcome.error;
};
