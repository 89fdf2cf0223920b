import { Prng } from '../../src/base/prng';

/** Vectors about a hundred centres: a graph of pure noise would be slower to build than any real one. */
export class Vectors {
  private readonly centres: readonly Float32Array[];

  constructor(
    private readonly dimension: number,
    random = new Prng(7),
  ) {
    this.centres = Array.from({ length: 100 }, () => this.drawn(random, 1));
  }

  at(i: number): Float32Array {
    const centre = this.centres[i % this.centres.length] as Float32Array;
    return this.drawn(new Prng(i + 1000), 0.3).map((value, d) => value + (centre[d] as number));
  }

  private drawn(random: Prng, spread: number): Float32Array {
    return Float32Array.from({ length: this.dimension }, () => (random.float() - 0.5) * spread);
  }
}
