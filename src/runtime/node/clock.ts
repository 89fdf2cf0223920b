import { performance } from 'node:perf_hooks';
import { monotonicMs, wallMs } from '../../base/time';
import type { Clock } from '../actor-host';

/** The machine's clocks. Monotonic times of different threads are not comparable. */
export const systemClock: Clock = {
  now: () => monotonicMs(performance.now()),
  wall: () => wallMs(Date.now()),
};
