import type { Branded } from './ids';

/** Milliseconds of a clock that never goes back; its zero means nothing. For time-outs and deadlines. */
export type MonotonicMs = Branded<number, 'MonotonicMs'>;
/** Milliseconds since 1970 in UTC. Only ever proposed through a log, never read in an apply (DESIGN D14). */
export type WallMs = Branded<number, 'WallMs'>;

export const monotonicMs = (value: number): MonotonicMs => value as MonotonicMs;
export const wallMs = (value: number): WallMs => value as WallMs;
