import type { Images } from './idx';

/** The k nearest by euclidean distance, nearest first, by comparing with each: what the server's answers are held to. */
export function nearestByHand(images: Images, count: number, query: Float32Array, k: number): number[] {
  const distances = Float64Array.from({ length: count }, (_, index) => squaredDistance(images.vector(index), query));
  return [...distances.keys()].sort((a, b) => (distances[a] ?? 0) - (distances[b] ?? 0) || a - b).slice(0, k);
}

function squaredDistance(left: Float32Array, right: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < left.length; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    sum += difference * difference;
  }
  return sum;
}

/** Of the true ids, the share that was found. */
export const recall = (found: readonly string[], truth: readonly string[]): number =>
  truth.filter((id) => found.includes(id)).length / truth.length;
