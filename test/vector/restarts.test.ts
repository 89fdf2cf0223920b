import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { createNativeEngine } from '../../src/vector/node/native-engine';
import type { IndexOptions, VectorIndex } from '../../src/vector/ports';
import { clusteredVectors } from './support';

const folder = mkdtempSync(join(tmpdir(), 'vectron-restarts-'));
afterAll(() => rmSync(folder, { recursive: true }));

const engine = createNativeEngine({ graphThreshold: 100 });
const dimension = 24;
const options = (key: string): IndexOptions => ({
  key,
  dimension,
  metric: 'euclidean',
  m: 8,
  efConstruction: 60,
  capacity: 32,
});

interface Change {
  readonly id: string;
  readonly version: number;
  /** Absent: a removal. */
  readonly vector: Float32Array | null;
}

const offer = (index: VectorIndex, { id, version, vector }: Change): number =>
  vector === null ? index.remove(id, version) : index.put(id, version, vector);

function linkAll(index: VectorIndex): void {
  while (index.link(10_000) > 0);
}

function recallOf(index: VectorIndex, queries: readonly Float32Array[]): number {
  let hits = 0;
  for (const query of queries) {
    const truth = new Set(index.exact(query, 10).ids);
    const found = index.search(query, 10, { ef: 60 });
    expect(found.strategy).toBe('graph');
    hits += found.ids.filter((id) => truth.has(id)).length;
  }
  return hits / (queries.length * 10);
}

/** Every id that the index finds, by asking for all of them. */
const idsOf = (index: VectorIndex, query: Float32Array): string[] =>
  [...index.exact(query, index.size + 10).ids].sort();

test('a hundred restarts from old files and the changes since keep every id and the recall', () => {
  const prng = new Prng(76);
  const make = clusteredVectors(prng, dimension);
  const queries = Array.from({ length: 100 }, make);
  const path = join(folder, 'restarted.graph');
  const log: Change[] = [];
  const change = (): Change => {
    const version = log.length + 1;
    const done = { id: `p${prng.between(0, 2_999)}`, version, vector: prng.chance(0.2) ? null : make() };
    log.push(done);
    return done;
  };
  let index = engine.open(options('restarted'), null);
  for (let i = 0; i < 3_000; i++) offer(index, change());
  linkAll(index);
  index.appliedIndex = log.length;
  index.save(path);
  const before = recallOf(index, queries);
  for (let cycle = 0; cycle < 100; cycle++) {
    for (let i = 0; i < 30; i++) offer(index, change());
    index.link(prng.between(0, 3_000));
    if (prng.chance(0.3)) {
      index.appliedIndex = log.length;
      index.save(path);
    }
    engine.drop('restarted');
    index = engine.open(options('restarted'), path);
    expect(index.appliedIndex).toBeGreaterThan(0);
    for (const missed of log.slice(index.appliedIndex)) offer(index, missed);
  }
  linkAll(index);
  const live = new Map(log.map(({ id, vector }) => [id, vector] as const));
  const wanted = [...live].filter(([, vector]) => vector !== null).map(([id]) => id);
  expect(idsOf(index, queries[0] as Float32Array)).toEqual(wanted.sort());
  expect(recallOf(index, queries)).toBeGreaterThanOrEqual(before - 0.005);
  index.destroy();
});
