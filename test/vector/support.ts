import type { Prng } from '../../src/base/prng';

/** Draws vectors around a few random centres. */
export function clusteredVectors(prng: Prng, dimension: number): () => Float32Array {
  const centres = Array.from({ length: 10 }, () => Float32Array.from({ length: dimension }, () => prng.gaussian()));
  return () => prng.pick(centres).map((component) => component + 0.3 * prng.gaussian());
}
