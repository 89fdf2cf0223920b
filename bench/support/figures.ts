/** The value that a share `q` of all lies below, rounded up to one that was measured; NaN of nothing. */
export const quantile = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? Number.NaN;

export const median = (values: readonly number[]): number => quantile(values, 0.5);

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`;
