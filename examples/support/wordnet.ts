import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

export const dimension = 384;
const rowBytes = 4 + dimension;

export interface Word {
  /** `elephant.n.01`: the first word of the synset, its part of speech, which sense of the word. */
  readonly id: string;
  readonly part: string;
  /** All words of the synset: `elephant`. */
  readonly words: string;
  readonly gloss: string;
  readonly vector: Float32Array;
}

export interface Query {
  readonly text: string;
  readonly vector: Float32Array;
}

/** The data that ships in examples/data; its README has the formats. */
export function loadWordNet(directory: string): { readonly words: Word[]; readonly queries: Query[] } {
  const lines = gunzipSync(readFileSync(join(directory, 'wordnet.points.tsv.gz')))
    .toString('utf8')
    .trimEnd()
    .split('\n');
  const rows = readFileSync(join(directory, 'wordnet.vectors.i8'));
  if (rows.length !== lines.length * rowBytes) throw new Error('wordnet.vectors.i8 does not fit wordnet.points.tsv.gz');
  const words = lines.map((line, index) => {
    const [id, part, shown, gloss] = line.split('\t') as [string, string, string, string];
    return { id, part, words: shown, gloss, vector: vectorOf(rows.subarray(index * rowBytes, (index + 1) * rowBytes)) };
  });
  const queries = JSON.parse(readFileSync(join(directory, 'queries.json'), 'utf8')) as {
    text: string;
    vector: string;
  }[];
  return {
    words,
    queries: queries.map(({ text, vector }) => ({ text, vector: vectorOf(Buffer.from(vector, 'base64')) })),
  };
}

/** A row is a float32 scale and int8 numbers, each to be multiplied by it. */
function vectorOf(row: Buffer): Float32Array {
  const scale = row.readFloatLE(0);
  return Float32Array.from({ length: dimension }, (_, index) => row.readInt8(4 + index) * scale);
}
