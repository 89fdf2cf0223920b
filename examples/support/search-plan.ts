import type { SearchResult } from '../../src/client/node';

type ShardStats = SearchResult['shards'][number];

/** `shard 4 graph, 812 distances of 6,231 points (13.0 %)`. */
export const shownPlan = (shards: readonly ShardStats[]): string =>
  shards
    .map(({ shard, strategy, distances, points }) => {
      const share = ((100 * distances) / Math.max(1, points)).toFixed(1);
      return `shard ${shard} by ${strategy}, ${distances} distances for ${points} points (${share} %)`;
    })
    .join('; ');

/** Sums up many searches, shard by shard. */
export class PlanSummary {
  private readonly shards = new Map<
    number,
    { searches: number; distances: number; points: number; strategies: Set<string> }
  >();

  add(stats: readonly ShardStats[]): void {
    for (const { shard, strategy, distances, points } of stats) {
      const sum = this.shards.get(shard) ?? { searches: 0, distances: 0, points, strategies: new Set<string>() };
      sum.searches++;
      sum.distances += distances;
      sum.points = points;
      sum.strategies.add(strategy);
      this.shards.set(shard, sum);
    }
  }

  /** Mean distances a search, and how it was answered, for each shard. */
  rows(): { readonly shard: number; readonly strategy: string; readonly distances: number; readonly points: number }[] {
    return [...this.shards]
      .sort(([a], [b]) => a - b)
      .map(([shard, { searches, distances, points, strategies }]) => ({
        shard,
        strategy: [...strategies].sort().join('+'),
        distances: Math.round(distances / searches),
        points,
      }));
  }
}
