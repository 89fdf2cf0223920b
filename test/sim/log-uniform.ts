import type { Prng } from '../../src/base/prng';

/**
 * A log-uniform draw, so that small and large values are equally at home. By logarithm and exponential, whose last bits are
 * the same in every version of V8; those of powers are not, and a seed must mean the same everywhere.
 */
export function logUniform(random: Prng, low: number, high: number): number {
  return low * Math.exp(Math.log(high / low) * random.float());
}
