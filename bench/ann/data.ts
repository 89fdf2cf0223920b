import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Prng } from '../../src/base/prng';

/** Vectors in rows, one after the other; those for cosine have length one. */
export interface Dataset {
  readonly metric: 'euclidean' | 'cosine';
  readonly dimension: number;
  readonly base: Float32Array;
  readonly queries: Float32Array;
}

/** Images of a gzipped IDX file as vectors of their pixels. */
function idxImages(path: string, countMax: number): { dimension: number; rows: Float32Array } {
  const bytes = gunzipSync(readFileSync(path));
  const dimension = bytes.readUInt32BE(8) * bytes.readUInt32BE(12);
  const count = Math.min(countMax, bytes.readUInt32BE(4));
  return { dimension, rows: Float32Array.from(bytes.subarray(16, 16 + count * dimension)) };
}

/**
 * What stands in for learned embeddings where none can be had: 200 centres with normal components, and about each as
 * many points by chance, whose components lie a normal deviate of the same size off it; all then made of length one.
 * Seed 128. Queries are drawn the same way and are none of the points.
 */
function clustered(dimension: number, count: number, queryCount: number): Dataset {
  const prng = new Prng(128);
  const centres = Array.from({ length: 200 }, () => Float32Array.from({ length: dimension }, () => prng.gaussian()));
  const rows = (howMany: number): Float32Array => {
    const out = new Float32Array(howMany * dimension);
    for (let i = 0; i < howMany; i++) {
      const centre = prng.pick(centres);
      for (let j = 0; j < dimension; j++) out[i * dimension + j] = (centre[j] as number) + prng.gaussian();
    }
    return normalised(out, dimension);
  };
  return { metric: 'cosine', dimension, base: rows(count), queries: rows(queryCount) };
}

function normalised(rows: Float32Array, dimension: number): Float32Array {
  for (let at = 0; at < rows.length; at += dimension) {
    const row = rows.subarray(at, at + dimension);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    for (let j = 0; j < dimension; j++) row[j] = (row[j] as number) / length;
  }
  return rows;
}

export function loadDataset(name: string, folder: string, queryCount: number): Dataset {
  if (name === 'clustered-128') return clustered(128, 60_000, queryCount);
  const base = idxImages(join(folder, name, 'train-images-idx3-ubyte.gz'), Number.POSITIVE_INFINITY);
  const queries = idxImages(join(folder, name, 't10k-images-idx3-ubyte.gz'), queryCount);
  return { metric: 'euclidean', dimension: base.dimension, base: base.rows, queries: queries.rows };
}

/** The files that both searchers read. */
export function writeDataset(folder: string, data: Dataset): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'base.f32'), new Uint8Array(data.base.buffer));
  writeFileSync(join(folder, 'queries.f32'), new Uint8Array(data.queries.buffer));
}

/** The exact k nearest rows by float64 sums, nearest first (of vectors of length one also by cosine): slow on purpose, a check of the fast one. */
export function bruteForce(data: Dataset, query: number, k: number): number[] {
  const { dimension, base, queries } = data;
  const distances: [number, number][] = [];
  for (let row = 0; row < base.length / dimension; row++) {
    let sum = 0;
    for (let j = 0; j < dimension; j++) {
      const difference = (base[row * dimension + j] as number) - (queries[query * dimension + j] as number);
      sum += difference * difference;
    }
    distances.push([sum, row]);
  }
  return distances
    .sort((a, b) => a[0] - b[0])
    .slice(0, k)
    .map(([, row]) => row);
}
