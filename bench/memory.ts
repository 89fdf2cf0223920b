/**
 * What one replica's index takes of a process, with its vectors in memory and with them on disk.
 *
 *     npm run bench:memory -- [--points N] [--dimension D] [--m M] [--originals memory|disk|both] [--dir DIR]
 *
 * Each way is a process of its own: anonymous memory (RssAnon) with the addon loaded and nothing else is subtracted from that
 * with N clustered vectors (300,000 x 768) put, linked, searched and, on disk, saved. The measure is raw vectors: at most 1.5
 * times those all in memory, at most 0.4 times with 8-bit codes in memory and the originals on disk. Fails when a bar is missed,
 * or when a search does not find what it should.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Prng } from '../src/base/prng';
import type { Originals } from '../src/protocol/records';
import { createNativeEngine } from '../src/vector/node/native-engine';
import type { VectorIndex } from '../src/vector/ports';
import { optionsOf } from './support/options';
import { Vectors } from './support/vectors';

const defaults = { points: 300_000, dimension: 768, m: 16, originals: 'both', dir: '', role: '' } as const;
type Options = ReturnType<typeof optionsOf<typeof defaults>>;

/** Of what raw vectors take. */
const sharesMax: Readonly<Record<Originals, number>> = { memory: 1.5, disk: 0.4 };
/** How links are chosen takes time and no memory. */
const efConstruction = 60;
const queries = 200;
const recallMin = 0.9;
const linkMsMax = 3_600_000;
const pollMs = 200;

interface Figures {
  readonly megabytes: number;
  readonly reported: number;
  readonly buildSeconds: number;
  readonly recall: number;
}

function anonymousBytes(): number {
  globalThis.gc?.();
  const found = /RssAnon:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
  if (found === null) throw new Error('no RssAnon in /proc/self/status');
  return Number(found[1]) * 1024;
}

async function linked(index: VectorIndex): Promise<void> {
  const untilMs = performance.now() + linkMsMax;
  for (index.linkInBackground(); index.unlinked > 0; ) {
    if (performance.now() > untilMs) throw new Error('not linked in an hour');
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Points find themselves. */
function recallOf(index: VectorIndex, vectors: Vectors, points: number): number {
  const random = new Prng(3);
  let found = 0;
  for (let i = 0; i < queries; i++) {
    const at = random.between(0, points - 1);
    found += index.search(vectors.at(at), 10, { ef: 100 }).ids[0] === `p${at}` ? 1 : 0;
  }
  return found / queries;
}

async function measure({ points, dimension, m, dir }: Options, originals: Originals): Promise<Figures> {
  const engine = createNativeEngine();
  const vectors = new Vectors(dimension);
  vectors.at(0);
  const before = anonymousBytes();
  const startedMs = performance.now();
  const path = join(dir, `${originals}.graph`);
  const shape = { key: originals, dimension, metric: 'euclidean', m, efConstruction, capacity: 0, originals } as const;
  const index = engine.open(shape, path);
  for (let i = 0; i < points; i++) index.put(`p${i}`, i + 1, vectors.at(i));
  await linked(index);
  if (originals === 'disk') index.save(path);
  const buildSeconds = (performance.now() - startedMs) / 1000;
  const recall = recallOf(index, vectors, points);
  const megabytes = (anonymousBytes() - before) / 1e6;
  return { megabytes, reported: index.bytes / 1e6, buildSeconds, recall };
}

function inOwnProcess(options: Options, dir: string, originals: Originals): Promise<Figures> {
  const args = Object.entries({ ...options, dir, role: originals }).flatMap(([name, value]) => [
    `--${name}`,
    `${value}`,
  ]);
  return new Promise((resolve, reject) => {
    const child = fork(__filename, args, { execArgv: ['--expose-gc'] });
    child.once('message', (figures) => resolve(figures as Figures));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the measuring process ended with ${code}`)));
  });
}

async function main(): Promise<boolean> {
  const options = optionsOf(process.argv.slice(2), defaults);
  if (options.role !== '') {
    const figures = await measure(options, options.role as Originals);
    process.send?.(figures);
    return true;
  }
  const { points, dimension, m } = options;
  const raw = (points * dimension * 4) / 1e6;
  const dir = mkdtempSync(join(options.dir === '' ? tmpdir() : options.dir, 'vectron-memory-'));
  let isGood = true;
  try {
    for (const originals of ['memory', 'disk'] as const) {
      if (options.originals !== 'both' && options.originals !== originals) continue;
      const { megabytes, reported, buildSeconds, recall } = await inOwnProcess(options, dir, originals);
      const share = megabytes / raw;
      isGood &&= share <= sharesMax[originals] && recall >= recallMin;
      console.log(
        `memory: ${points} x ${dimension}, m ${m}, originals ${originals === 'disk' ? 'on disk' : 'in memory'}: ` +
          `${megabytes.toFixed(0)} MB anonymous of ${raw.toFixed(0)} MB raw = ${share.toFixed(2)}x (at most ${sharesMax[originals]}x), ` +
          `${reported.toFixed(0)} MB by its own count, built in ${buildSeconds.toFixed(0)} s, ${(recall * 100).toFixed(1)} % of points find themselves`,
      );
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
  return isGood;
}

main().then(
  (isGood) => {
    process.exitCode = isGood ? 0 : 1;
  },
  (thrown: unknown) => {
    console.error(thrown);
    process.exitCode = 1;
  },
);
