import { describe, expect, test } from '@jest/globals';
import { floatsOf } from '../../src/base/bytes';
import { replicaId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { Filter } from '../../src/protocol/filters';
import type { Schema } from '../../src/protocol/schemas';
import { destroyReplicaState } from '../../src/shard/destroy';
import { type ShardMachine } from '../../src/shard/shard-machine';
import { MemoryStore } from '../../src/storage/memory-store';
import { similarity } from '../../src/vector/metrics';
import { randomFilter } from '../vector/random-filter';
import { nearest, Pair, page } from './selecting-pair';
import { machineOf, settleIndex, vectorOf } from './shard-helpers';

const schema: Schema = {
  revision: 7,
  indexes: [
    { key: 'at', type: 'datetime' },
    { key: 'kind', type: 'keyword' },
    { key: 'n', type: 'integer' },
    { key: 'parts.n', type: 'float' },
    { key: 'tags', type: 'keyword' },
  ],
  ttlMs: 0,
};
const isRed: Filter = { kind: 'any', key: 'kind', values: ['red'] };

/** Asks for the same in every way there is, and compares with the list beside the shard. */
function check(pair: Pair, filter: Filter, strategies: Map<string, number>): void {
  const { random } = pair;
  const query = vectorOf(random);
  const k = random.pick([1, 10, 300]);
  const { hits, count, stored, strategy, estimate } = pair.select(filter, nearest(query, k), 10);
  strategies.set(strategy, (strategies.get(strategy) ?? 0) + 1);
  const wanted = pair
    .matching(filter)
    .map(({ id, vector }) => ({ id, score: Math.fround(similarity('euclidean', floatsOf(query), floatsOf(vector))) }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
  expect([count, stored]).toEqual([wanted.length, pair.live.size]);
  expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(wanted.slice(0, k));
  if (estimate !== null) expect(estimate >= 0 && estimate <= 1).toBe(true);
  expect(pair.select(filter, { kind: 'count' }, 10).count).toBe(pair.matching(filter).length);
  const seen: string[] = [];
  for (let afterId = '', done = false; !done; ) {
    const got = pair.select(filter, page({ afterId, countMax: 150 }), 1);
    seen.push(...got.points.map(({ id }) => id));
    afterId = seen[seen.length - 1] ?? afterId;
    done = got.done;
  }
  expect(new Set(seen).size).toBe(seen.length);
}

describe('a shard with payload indexes', () => {
  test.each([1, 2, 3])('gives what one without them gives, through restarts and other schemas (seed %i)', (seed) => {
    const pair = new Pair(new Prng(seed));
    const { random } = pair;
    for (let i = 0; i < 20; i++) pair.write(100);
    const strategies = new Map<string, number>();
    for (let round = 0; round < 30; round++) {
      if (round === 3) pair.setSchema(schema);
      if (round === 12) pair.setSchema({ ...schema, revision: 9, indexes: schema.indexes.slice(0, 2) });
      if (round === 16) pair.setSchema({ ...schema, revision: 10, indexes: [] });
      if (round === 20) pair.setSchema({ ...schema, revision: 11 });
      if (round % 7 === 6) pair.restart();
      if (round % 7 !== 6 && random.chance(0.8)) pair.settle();
      check(pair, randomFilter(random), strategies);
    }
    // Both ways must have been gone.
    expect(strategies.get('records')).toBeGreaterThan(3);
    expect(strategies.get('scan')).toBeGreaterThan(3);
  });

  test('answers from the index in the turn after a write', () => {
    const pair = new Pair(new Prng(4));
    for (let i = 0; i < 10; i++) pair.write(100);
    pair.setSchema(schema);
    pair.settle();
    for (let round = 0; round < 50; round++) {
      pair.write(20);
      const work = pair.machine.select(isRed, { kind: 'count' }, 'euclidean');
      expect(work.advance()).toBe(true);
      expect([work.result().visited, work.result().count]).toEqual([0, pair.matching(isRed).length]);
      work.close();
    }
    expect(pair.machine.payloadIndexBytes).toBeGreaterThan(1_000);
  });

  test('keeps its schema in snapshots, and takes none that is older', () => {
    const pair = new Pair(new Prng(5));
    for (let i = 0; i < 10; i++) pair.write(100);
    pair.setSchema(schema);
    const source = pair.machine.openSnapshot();
    const state = new MemoryStore();
    const other = machineOf(state, undefined, { replica: replicaId(12) });
    const meta = { index: source.index, term: source.term, configuration: other.configuration };
    const sink = other.openRestore(meta, 1);
    for (let n = 0, chunk = source.chunk(n); chunk !== null; chunk = source.chunk(++n)) sink.accept(chunk);
    expect(other.schema.revision).toBe(0);
    sink.finish();
    expect(other.schema).toEqual(schema);
    settleIndex(other);
    while (!other.buildPayloadIndexes());
    expect(countOf(other)).toEqual([pair.matching(isRed).length, 0]);
    const again = machineOf(state, undefined, { replica: replicaId(12) });
    expect(again.schema).toEqual(schema);
    expect(() => pair.setSchema({ ...schema, revision: 6, indexes: [] })).toThrow();
    expect(pair.machine.schema).toEqual(schema);
    destroyReplicaState(state, replicaId(12));
    expect(machineOf(state, undefined, { replica: replicaId(12) }).schema.revision).toBe(0);
  });
});

function countOf(machine: ShardMachine): readonly [number, number] {
  const work = machine.select(isRed, { kind: 'count' }, 'euclidean');
  while (!work.advance());
  const { count, visited } = work.result();
  work.close();
  return [count, visited];
}
