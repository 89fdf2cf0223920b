import type { Originals, Quantisation } from '../protocol/records';

/** What an index is made of. */
export interface IndexShape {
  readonly points: number;
  readonly dimension: number;
  readonly m: number;
  /** Default: memory. */
  readonly originals?: Originals;
  /** Default: int8. */
  readonly quantisation?: Quantisation;
}

const floatBytes = 4;
const linkBytes = 4;
/** Codes are rows of 64 bytes, with four sums at their end. */
const rowBytes = 64;
const sumsBytes = 16;
/** Of a point: level, place in the lists, id, version, label; its entry in the table of ids, and the text of an id of usual length. */
const tableBytes = 36;
const idBytes = 128 + 16;

/**
 * Bytes of memory that an index of such points takes: vectors, 8-bit codes, links (2m on the ground level, in FAISS's array and in
 * the one that is walked, and with a chance of 1 in m m more on each level above), ids. With originals on disk neither the vectors
 * nor the second array; without quantisation a length instead of codes. What the native index measures is compared with it.
 */
export function predictedBytes(shape: IndexShape): number {
  const { points, dimension, m, originals = 'memory', quantisation = 'int8' } = shape;
  const rows = Math.ceil((dimension + sumsBytes) / rowBytes) * rowBytes;
  const codes = quantisation === 'none' ? floatBytes : rows;
  const inMemory = originals === 'disk' ? 0 : dimension * floatBytes + linkBytes * 2 * m;
  const links = linkBytes * (2 * m + (m * 5) / (4 * (m - 1)));
  return Math.ceil(points * (inMemory + codes + links + tableBytes + idBytes));
}

/** Of a process: what its indexes take, and what they may take. */
export interface IndexMemory {
  readonly bytes: number;
  readonly bytesMax: number;
}

/** Growing copies and rebuilds need room beside what they replace. */
const fullShare = 0.9;

/** What may still be taken. */
export const leftOf = ({ bytes, bytesMax }: IndexMemory): number =>
  Math.max(0, Math.floor(bytesMax * fullShare - bytes));

/** Whether so many points more may be taken: refused well before the limit, as what is refused later is refused by the kernel. */
export const admits = ({ bytes, bytesMax }: IndexMemory, more: IndexShape): boolean =>
  bytes + predictedBytes(more) <= bytesMax * fullShare;
