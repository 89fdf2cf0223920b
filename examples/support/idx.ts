import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

export interface Images {
  readonly count: number;
  readonly dimension: number;
  /** Pixels from 0 to 255, as float32. */
  vector(index: number): Float32Array;
}

const imagesMagic = 0x803;
const headerBytes = 16;

/** Reads a file of images in IDX form, gzipped or not: big-endian magic, count, rows, columns, then a byte a pixel. */
export function readImages(directory: string, name: string): Images {
  const path = [`${name}.gz`, name].map((file) => join(directory, file)).find((file) => existsSync(file));
  if (path === undefined) throw new Error(`${join(directory, name)}.gz does not exist`);
  const raw = readFileSync(path);
  const bytes = path.endsWith('.gz') ? gunzipSync(raw) : raw;
  if (bytes.readUInt32BE(0) !== imagesMagic) throw new Error(`${path} is not an IDX file of images`);
  const count = bytes.readUInt32BE(4);
  const dimension = bytes.readUInt32BE(8) * bytes.readUInt32BE(12);
  if (bytes.length !== headerBytes + count * dimension) throw new Error(`${path} is cut short`);
  const start = (index: number): number => headerBytes + index * dimension;
  return { count, dimension, vector: (index) => new Float32Array(bytes.subarray(start(index), start(index + 1))) };
}
