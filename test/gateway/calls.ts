import { VectronError } from '../../src/base/errors';
import type { CallOf, Outcome } from '../../src/gateway/calls';
import { plainWrite } from '../../src/protocol/commands';
import { pointsOf, vector } from './fake-cluster';

/** Presents no token. */
export const dial = { tokens: [], stalenessMs: 0 };
/** Calls on a collection `things` of two dimensions, and what tests do with outcomes. */
export const ids = Array.from({ length: 40 }, (_, i) => `id-${i}`);
export const upsert = (...names: string[]): CallOf<'upsert'> => ({
  kind: 'upsert',
  collection: 'things',
  points: pointsOf(...names),
  options: plainWrite,
});
export const get = (names: string[], level: CallOf<'get'>['level'] = 'linearizable'): CallOf<'get'> => ({
  kind: 'get',
  collection: 'things',
  ids: names,
  ...dial,
  level,
});
export const search = (fields: Partial<CallOf<'search'>> = {}): CallOf<'search'> => ({
  kind: 'search',
  collection: 'things',
  vector: vector(1, 0),
  k: 10,
  ef: 0,
  exact: false,
  ...dial,
  level: 'leader',
  includeVector: true,
  includePayload: true,
  allowPartial: false,
  oversampling: 1,
  rerank: 0,
  quantised: null,
  waitIndexedMs: 0,
  filter: null,
  minScore: null,
  ...fields,
});
export const errorOf = (outcome: Outcome<unknown>): VectronError => {
  if (outcome.ok) throw new Error('the call did not fail');
  return outcome.error;
};
