import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadDataset } from './ann/data';
import { median } from './support/figures';

/**
 * How much faster a graph is built by several threads, and whether it is as good: the addon's builders, one process a
 * build, numbers of threads in turn, medians.
 *
 *     npm run bench:build -- [--dataset fashion-mnist|mnist|clustered-128] [--threads 1,2] [--rounds N]
 */
const [k, ef, queryCount, m, efConstruction] = [10, 32, 1_000, 16, 200] as const;

interface Built {
  readonly putSeconds: number;
  readonly linkSeconds: number;
  readonly recall: number;
}

/** In a process of its own, whose addon has the number of builders that VECTRON_BUILDERS says. */
function build(name: string, folder: string): Built {
  const { createNativeEngine } =
    require('../src/vector/node/native-engine') as typeof import('../src/vector/node/native-engine');
  const { base, queries, dimension, metric } = loadDataset(name, folder, queryCount);
  const count = base.length / dimension;
  const index = createNativeEngine().open(
    { key: 'bench', dimension, metric, m, efConstruction, capacity: count },
    null,
  );
  const start = performance.now();
  for (let i = 0; i < count; i++) index.put(String(i), 1, base.subarray(i * dimension, (i + 1) * dimension));
  const put = performance.now();
  index.linkInBackground();
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  while (index.unlinked > 0) Atomics.wait(nobody, 0, 0, 5);
  const linked = performance.now();
  let found = 0;
  for (let q = 0; q < queryCount; q++) {
    const query = queries.subarray(q * dimension, (q + 1) * dimension);
    const exact = new Set(index.exact(query, k).ids);
    found += index.search(query, k, { ef }).ids.filter((id) => exact.has(id)).length;
  }
  return { putSeconds: (put - start) / 1_000, linkSeconds: (linked - put) / 1_000, recall: found / (k * queryCount) };
}

function built(threads: number, name: string, folder: string): Built {
  const env = { ...process.env, VECTRON_BUILDERS: String(threads) };
  const done = spawnSync(process.execPath, [__filename, '--one', '--dataset', name, '--data', folder], {
    env,
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(`a build failed:\n${done.stderr}`);
  return JSON.parse(done.stdout) as Built;
}

function compare(name: string, folder: string, threads: readonly number[], rounds: number): void {
  const builds = threads.map((): Built[] => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, count] of threads.entries()) builds[i]?.push(built(count, name, folder));
  const figure = (i: number, of: (one: Built) => number): number => median((builds[i] ?? []).map(of));
  const first = figure(0, (one) => one.linkSeconds);
  for (const [i, count] of threads.entries()) {
    const seconds = figure(i, (one) => one.linkSeconds);
    console.log(
      `bench:build: ${name}, ${count} of ${availableParallelism()} processors: ${seconds.toFixed(2)} s to link (${(first / seconds).toFixed(2)}x), ` +
        `${figure(i, (one) => one.putSeconds).toFixed(2)} s to put, recall@${k} ${figure(i, (one) => one.recall).toFixed(4)} at ef ${ef}; ${rounds} rounds`,
    );
  }
}

function projectRoot(): string {
  for (let folder = __dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  throw new Error('no package.json above this file');
}

const { values } = parseArgs({
  options: {
    dataset: { type: 'string', default: 'fashion-mnist' },
    data: { type: 'string', default: join(projectRoot(), '../shared/data') },
    threads: { type: 'string', default: `1,${availableParallelism()}` },
    rounds: { type: 'string', default: '3' },
    one: { type: 'boolean', default: false },
  },
});
const { dataset, data, threads, rounds, one } = values;
if (one) console.log(JSON.stringify(build(dataset, data)));
else compare(dataset, data, threads.split(',').map(Number), Number(rounds));
