import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { bruteForce, type Dataset, loadDataset, writeDataset } from './ann/data';
import { plotOf } from './ann/plot';
import { type Built, compilerVersion, compileSearcher, type Figures, Searcher } from './ann/sides';
import { median } from './support/figures';

/**
 * Search in this process, called from JavaScript, against hnswlib compiled for this processor, and beside FAISS as packaged
 * on the graph that we exported: same data, same m and efConstruction, one thread each on one processor, rounds in turn,
 * medians.
 *
 *     npm run bench:ann -- [--dataset fashion-mnist|mnist|clustered-128] [--queries N] [--rounds N] [--plot]
 *
 * Claimed where AVX-512 is to be had, at recall@10 = .99 (interpolated): see `claims`. Below one the exit code is not 0.
 */
const claims: Readonly<Record<string, { readonly coded: number; readonly float: number }>> = {
  'fashion-mnist': { coded: 2.4, float: 1.25 },
  'clustered-128': { coded: 1.8, float: 1.25 },
};
const recallWanted = 0.99;
const k = 10;
const m = 16;
const efConstruction = 200;
const efs = [10, 14, 18, 22, 26, 30, 36, 44, 54, 68, 84, 110, 150, 200];

interface Side {
  readonly name: string;
  readonly searcher: Searcher;
  readonly mode: string;
}

function projectRoot(): string {
  for (let folder = __dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  throw new Error('no package.json above this file');
}

/** The truth all are measured by was found by our exact search: check some of it with plain float64 sums. */
function checkTruth(folder: string, data: Dataset): void {
  const bytes = readFileSync(join(folder, 'truth.i32'));
  const truth = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let same = 0;
  const checked = 20;
  for (let q = 0; q < checked; q++) {
    const found = new Set(truth.subarray(q * k, (q + 1) * k));
    for (const row of bruteForce(data, q, k)) if (found.has(row)) same++;
  }
  if (same < checked * k - 1) throw new Error(`exact search is wrong: ${same} of ${checked * k}`);
}

/** Queries a second at a recall, between the two measured points around it (linear in recall and log of the rate). */
function rateAt(recall: number, curve: readonly Figures[]): number {
  const above = curve.findIndex((point) => point.recall >= recall);
  const high = curve[above];
  if (high === undefined) return Number.NaN;
  const low = curve[above - 1];
  const rate = (point: Figures): number => 1e6 / point.micros;
  if (low === undefined) return rate(high);
  const share = (recall - low.recall) / (high.recall - low.recall);
  return Math.exp(Math.log(rate(low)) + share * (Math.log(rate(high)) - Math.log(rate(low))));
}

/** For each side a point for each ef. The first round warms caches and the compiler. */
async function curvesOf(sides: readonly Side[], rounds: number): Promise<readonly Figures[][]> {
  const samples = sides.map(() => efs.map((): Figures[] => []));
  for (let round = 0; round <= rounds; round++) {
    for (const [at, ef] of efs.entries()) {
      for (const [side, { searcher, mode }] of sides.entries()) {
        const figures = await searcher.search(`${ef}${mode}`);
        if (round > 0) samples[side]?.[at]?.push(figures);
      }
    }
  }
  return samples.map((curve) =>
    curve.map((points) => ({ ...(points[0] as Figures), micros: median(points.map(({ micros }) => micros)) })),
  );
}

function print(sides: readonly Side[], curves: readonly Figures[][]): void {
  console.log(`   ef | ${sides.map(({ name }) => `${name} recall, QPS`.padEnd(24)).join(' | ')}`);
  for (const [at, ef] of efs.entries()) {
    const cells = curves.map((curve) => {
      const { recall, micros, distances } = curve[at] as Figures;
      const measured = distances === undefined ? '' : ` ${distances.toFixed(0)} dist.`;
      return `${recall.toFixed(4)} ${(1e6 / micros).toFixed(0).padStart(6)}${measured}`.padEnd(24);
    });
    console.log(`${String(ef).padStart(5)} | ${cells.join(' | ')}`);
  }
}

interface Verdict {
  readonly line: string;
  readonly holds: boolean;
}

function verdict(name: string, built: readonly Built[], curves: readonly Figures[][]): Verdict {
  const [coded = 0, float = 0, theirs = 0, faiss = 0] = curves.map((curve) => rateAt(recallWanted, curve));
  const kernel = built[0]?.kernel ?? '';
  const claim = kernel === 'avx512' ? claims[name] : undefined;
  const bar = (least: number | undefined): string => (least === undefined ? '' : ` (at least ${least})`);
  const builds = built.slice(0, 2).map(({ buildMicros }) => buildMicros.toFixed(0));
  const bytes = built.map((side) => side.bytes.toFixed(0));
  const ours = curves.slice(0, 2).flat();
  if (ours.some((point) => point.graph !== 1)) throw new Error('not every search went through the graph');
  const line =
    `bench:ann: ${name}, ${kernel}, at recall@10 ${recallWanted}: ${(coded / theirs).toFixed(2)}x hnswlib${bar(claim?.coded)}, ` +
    `float32 only ${(float / theirs).toFixed(2)}x${bar(claim?.float)}, FAISS ${(faiss / theirs).toFixed(2)}x; ` +
    `${coded.toFixed(0)}, ${float.toFixed(0)}, ${theirs.toFixed(0)} (hnswlib) and ${faiss.toFixed(0)} queries/s; ` +
    `build ${builds.join(' against ')} µs, ${bytes.join(' against ')} (FAISS) bytes a vector`;
  const holds = claim === undefined || (coded / theirs >= claim.coded && float / theirs >= claim.float);
  return { line, holds };
}

function plot(root: string, name: string, line: string, sides: readonly Side[], curves: readonly Figures[][]): void {
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout.trim();
  const machine = `${cpus()[0]?.model.trim()}, ${compilerVersion()}, Node ${process.version}, commit ${commit}`;
  const drawn = sides.map((side, i) => ({ name: side.name, points: curves[i] ?? [] }));
  const [head = '', tail = ''] = line.split('; build');
  const title = `${name}: queries a second over recall@10, one thread`;
  const path = join(root, 'docs', 'results', `ann-${name}.svg`);
  writeFileSync(path, plotOf(title, [`${machine}; build${tail}`, head], drawn));
  console.log(`drawn: ${path}`);
}

async function compare(root: string, folder: string, name: string, data: Dataset, rounds: number, draw: boolean) {
  const running: Searcher[] = [];
  const start = async (command: string, ...args: readonly string[]): Promise<[Searcher, Built]> => {
    const searcher = new Searcher(command, args);
    running.push(searcher);
    return [searcher, await searcher.next<Built>()];
  };
  try {
    const [count, queries] = [data.base, data.queries].map((rows) => rows.length / data.dimension);
    const sizes = [count, queries, data.dimension, k, m, efConstruction].map(String);
    const args = [folder, data.metric, ...sizes];
    console.log(
      `${name}: ${count} x ${data.dimension}, ${data.metric}, ${queries} queries, m ${m}, efConstruction ${efConstruction}`,
    );
    const [ours, ourBuilt] = await start(process.execPath, join(__dirname, 'ann/searcher.js'), ...args);
    checkTruth(folder, data);
    const [theirs, theirBuilt] = await start(compileSearcher(root, folder, 'hnswlib'), ...args);
    const [faiss, faissBuilt] = await start(compileSearcher(root, folder, 'faiss'), ...args);
    const sides: readonly Side[] = [
      { name: 'Vectron', searcher: ours, mode: '' },
      { name: 'Vectron float32', searcher: ours, mode: ' float' },
      { name: 'hnswlib', searcher: theirs, mode: '' },
      { name: 'FAISS', searcher: faiss, mode: '' },
    ];
    const curves = await curvesOf(sides, rounds);
    print(sides, curves);
    const { line, holds } = verdict(name, [ourBuilt, theirBuilt, faissBuilt], curves);
    if (draw) plot(root, name, line, sides, curves);
    console.log(line);
    if (!holds) process.exitCode = 1;
  } finally {
    for (const searcher of running) searcher.stop();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      dataset: { type: 'string', default: 'fashion-mnist' },
      data: { type: 'string' },
      queries: { type: 'string', default: '2000' },
      rounds: { type: 'string', default: '7' },
      plot: { type: 'boolean', default: false },
    },
  });
  const root = projectRoot();
  const { dataset } = values;
  const data = loadDataset(dataset, values.data ?? join(root, '../shared/data'), Number(values.queries));
  const folder = mkdtempSync(join(tmpdir(), 'vectron-ann-'));
  try {
    writeDataset(folder, data);
    await compare(root, folder, dataset, data, Number(values.rounds), values.plot);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
