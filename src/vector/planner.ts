import type { AllowedStrategy } from './ports';

/** What a search within a set of points is planned by. */
export interface PlanInput {
  /** Points of the set, and of the index. */
  readonly matches: number;
  readonly points: number;
  readonly k: number;
  /** Candidates that a walk without a set would keep. */
  readonly ef: number;
}

export interface SearchPlan {
  readonly strategy: AllowedStrategy;
  readonly ef: number;
  /** Distances after which a walk is given up. */
  readonly distancesMax: number;
}

/**
 * Measured by `npm run bench:filter` on 60,000 x 784 (docs/filters.md). A scan's distances run through memory in order and
 * cost about half of a walk's.
 */
const walkToScanCost = 2;
/** Distances that a walk computes for each candidate it keeps, about. */
const distancesPerCandidate = 9;
/** For distancesMax: a share of nothing is not divided by. */
const shareMin = 1e-6;

/**
 * Chooses between scanning the set and walking the graph. A walk has to keep ef candidates of the set, so that it looks at
 * about ef / share; where the set lies far from the query it needs more, and is given up once it has cost as much as the
 * scan would have: a wrong guess costs twice the scan at most.
 *
 * Walking in two hops is never chosen: measured where it would be cheapest, at 1 to 10 % of the points far from the query,
 * it misses the recall that is promised.
 */
export function planSearch({ matches, points, k, ef }: PlanInput): SearchPlan {
  const share = points === 0 ? 0 : matches / points;
  const wanted = Math.max(ef, k);
  const walk = (distancesPerCandidate * wanted * walkToScanCost) / Math.max(share, shareMin);
  const distancesMax = Math.ceil(matches / walkToScanCost);
  return { strategy: walk < matches ? 'walk' : 'scan', ef: wanted, distancesMax };
}
