export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** Runs `work` once for each number below `count`, `clients` at a time, and measures each. */
export async function measure(
  count: number,
  clients: number,
  work: (index: number) => Promise<void>,
): Promise<Measured> {
  const tookMs: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const startedMs = performance.now();
      await work(index);
      tookMs.push(performance.now() - startedMs);
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: clients }, lane));
  const seconds = (performance.now() - startedMs) / 1000;
  tookMs.sort((a, b) => a - b);
  const at = (share: number): number => tookMs[Math.min(count - 1, Math.floor(share * count))] ?? 0;
  return { perSecond: count / seconds, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}

export const shownLatency = ({ perSecond, p50Ms, p95Ms, p99Ms }: Measured): string =>
  `${Math.round(perSecond)} queries/s, p50 ${p50Ms.toFixed(2)} ms, p95 ${p95Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`;
