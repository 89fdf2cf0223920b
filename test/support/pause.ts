import { setTimeout as after } from 'node:timers/promises';
import type { Prng } from '../../src/base/prng';

/**
 * A pause that belongs to the load of a test, drawn from its seed: faults and calls must not come in step. It is no way to
 * wait for something: whatever a test waits for is a condition with a deadline.
 */
export const seededPause = (random: Prng, leastMs: number, mostMs: number): Promise<void> =>
  after(random.between(leastMs, mostMs));
