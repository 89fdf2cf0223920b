import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createNativeEngine, extractFaissFile, loadAddon } from '../../src/vector/node/native-engine';
import type { VectorIndex } from '../../src/vector/ports';

/**
 * Vectron's side of the comparison, a process of its own so that it can be pinned. Same arguments and protocol as
 * bench/hnswlib/searcher.cc; in addition it writes truth.i32 by exact search, and the graph as index.faiss, before it says
 * that it is built, and takes `EF float` for a walk in float32.
 */
const [folder = '', metric = '', ...sizes] = process.argv.slice(2);
const [points = 0, queryCount = 0, dimension = 0, k = 0, m = 0, efConstruction = 0] = sizes.map(Number);

function floats(name: string): Float32Array {
  const bytes = readFileSync(join(folder, name));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

const say = (figures: object): void => {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
};

function build(): { index: VectorIndex; buildMicros: number } {
  const base = floats('base.f32');
  if (metric !== 'euclidean' && metric !== 'cosine') throw new Error(`no metric: ${metric}`);
  const options = { key: 'bench', dimension, metric, m, efConstruction, capacity: points } as const;
  const index = createNativeEngine().open(options, null);
  const start = performance.now();
  for (let i = 0; i < points; i++) index.put(String(i), 1, base.subarray(i * dimension, (i + 1) * dimension));
  while (index.link(5_000) > 0);
  return { index, buildMicros: ((performance.now() - start) * 1_000) / points };
}

function measure(index: VectorIndex, queries: readonly Float32Array[], truth: Int32Array, asked: string): object {
  const [ef, mode] = asked.split(' ');
  const options = { ef: Number(ef), quantised: mode !== 'float' };
  const found: (readonly string[])[] = [];
  let distances = 0;
  let graph = 0;
  const start = performance.now();
  for (const query of queries) {
    const result = index.search(query, k, options);
    found.push(result.ids);
    distances += result.distances;
    if (result.strategy === 'graph') graph++;
  }
  const micros = ((performance.now() - start) * 1_000) / queries.length;
  let hits = 0;
  for (const [q, ids] of found.entries()) {
    const wanted = new Set(truth.subarray(q * k, (q + 1) * k));
    for (const id of ids) if (wanted.has(Number(id))) hits++;
  }
  return {
    micros,
    recall: hits / (queries.length * k),
    distances: distances / queries.length,
    graph: graph / queries.length,
  };
}

function main(): void {
  const { kernel } = loadAddon();
  const { index, buildMicros } = build();
  const flat = floats('queries.f32');
  const queries = Array.from({ length: queryCount }, (_, q) => flat.subarray(q * dimension, (q + 1) * dimension));
  const truth = Int32Array.from(queries.flatMap((query) => index.exact(query, k).ids.map(Number)));
  writeFileSync(join(folder, 'truth.i32'), new Uint8Array(truth.buffer));
  index.save(join(folder, 'graph'));
  extractFaissFile(join(folder, 'graph'), join(folder, 'index.faiss'));
  say({ buildMicros, bytes: index.bytes / index.size, kernel });
  createInterface({ input: process.stdin }).on('line', (line) => say(measure(index, queries, truth, line)));
}

main();
