import { payloadBytes } from './messages';
import type { BatchOptions, PointInput } from './types';

type Points = Iterable<PointInput> | AsyncIterable<PointInput>;

/** Cuts a stream of points into requests by count and bytes. */
export async function* cut(points: Points, countMax: number, bytesMax: number): AsyncGenerator<PointInput[]> {
  let batch: PointInput[] = [];
  let bytes = 0;
  for await (const point of points) {
    const size = sizeOf(point);
    if (batch.length > 0 && (batch.length >= countMax || bytes + size > bytesMax)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(point);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

const sizeOf = ({ id, vector, payload }: PointInput): number =>
  id.length + vector.length * 4 + (payload === undefined ? 0 : payloadBytes(payload).length);

/**
 * Sends every batch, `concurrency` at a time; the source is read only as fast as that. After the first failure no more
 * are sent; those under way are awaited, and the failure is thrown. Resolves with how many points were acknowledged.
 */
export async function sendBatches(
  points: Points,
  options: BatchOptions,
  send: (batch: readonly PointInput[]) => Promise<number>,
): Promise<number> {
  const batches = cut(points, options.countMax ?? 256, options.bytesMax ?? 4 * 1024 * 1024);
  let count = 0;
  let failure: { readonly thrown: unknown } | null = null;
  const lane = async (): Promise<void> => {
    while (failure === null) {
      try {
        const next = await batches.next();
        if (next.done === true) return;
        // Not in one expression: that would read `count` before the other lanes have added theirs.
        const acknowledged = await send(next.value);
        count += acknowledged;
        options.onProgress?.(count);
      } catch (thrown) {
        failure ??= { thrown };
      }
    }
  };
  await Promise.all(Array.from({ length: options.concurrency ?? 4 }, lane));
  // Assigned in the lanes, which the compiler does not follow.
  const failed = failure as { readonly thrown: unknown } | null;
  if (failed !== null) throw failed.thrown;
  return count;
}
