import { ReplicaUpkeep, upkeepKey } from '../../src/actors/replica-index';
import { replicaOptions } from '../../src/actors/replica-options';
import { Prng } from '../../src/base/prng';
import { monotonicMs } from '../../src/base/time';
import type { ActorContext } from '../../src/runtime/actor';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import type { VectorIndex } from '../../src/vector/ports';
import { untilNative } from '../support/native-wait';

const dimension = 8;
const points = 400;
const random = new Prng(1);
const vector = (): Float32Array => Float32Array.from({ length: dimension }, () => random.gaussian());

/** A machine whose index is level with its store, and nothing else to do. */
const machine = {
  indexReady: true,
  indexIsWorkable: true,
  payloadIndexesReady: true,
  collectGarbage: () => true,
} as unknown as ShardMachine;

/** Everything that upkeep does for a change, and then for a report. */
function upkeepOf(index: VectorIndex, ingest: boolean): ReplicaUpkeep {
  const upkeep = new ReplicaUpkeep(machine, index, 'nowhere', { ...replicaOptions, ingest }, () => undefined);
  const context = { now: monotonicMs(0), later: () => undefined } as unknown as ActorContext;
  upkeep.changed(points, context);
  expect(upkeep.signalled({ signal: 'work', key: upkeepKey }, context)).toBe(true);
  upkeep.saveIfDue(context);
  return upkeep;
}

test('in ingest mode nothing is linked or saved, everything is found; without it all is linked', () => {
  const shape = { key: 'ingest', dimension, metric: 'euclidean', m: 8, efConstruction: 40, capacity: 0 } as const;
  const index = createNativeEngine({ graphThreshold: 50 }).open(shape, null);
  const vectors = Array.from({ length: points }, vector);
  vectors.forEach((each, i) => {
    index.put(`p${i}`, i + 1, each);
  });
  const linked = jest.spyOn(index, 'linkInBackground');
  const saved = jest.spyOn(index, 'saveInBackground');
  expect(upkeepOf(index, true).isBusy).toBe(false);
  expect([linked.mock.calls.length, saved.mock.calls.length, index.unlinked]).toEqual([0, 0, points]);
  for (const at of [0, 7, points - 1]) {
    const { ids, strategy } = index.search(vectors[at] as Float32Array, 1);
    expect([ids[0], strategy]).toEqual([`p${at}`, 'scan']);
  }
  const upkeep = upkeepOf(index, false);
  expect(linked).toHaveBeenCalled();
  untilNative('everything is linked', () => !upkeep.isBusy);
  expect([upkeep.isBusy, index.unlinked]).toEqual([false, 0]);
  expect(index.search(vectors[7] as Float32Array, 1)).toMatchObject({ ids: ['p7'], strategy: 'graph' });
  index.destroy();
});

test('a change wakes a builder only if there is something to link; a report always does', () => {
  const shape = { key: 'small', dimension, metric: 'euclidean', m: 8, efConstruction: 40, capacity: 0 } as const;
  const index = createNativeEngine({ graphThreshold: 20 }).open(shape, null);
  const linked = jest.spyOn(index, 'linkInBackground').mockImplementation(() => undefined);
  const upkeep = new ReplicaUpkeep(machine, index, 'nowhere', replicaOptions, () => undefined);
  const context = { now: monotonicMs(0), later: () => undefined } as unknown as ActorContext;
  const change = (count: number): number => {
    for (let i = 0; i < count; i++) index.put(`p${i}`, 1, vector());
    upkeep.changed(count, context);
    upkeep.signalled({ signal: 'work', key: upkeepKey }, context);
    return linked.mock.calls.length;
  };
  expect(change(10)).toBe(0);
  upkeep.saveIfDue(context);
  expect(linked.mock.calls.length).toBe(1);
  expect(change(30)).toBe(2);
  index.destroy();
});
