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
 * Measured by `npm run bench:filter` on 60,000 x 784 (docs/filters.md has the table). A scan's distances run through memory in order and cost
 * about half of a walk's.
 */
const walkToScanCost = 2;
/** Distances that a walk computes for each candidate it keeps, about. */
const distancesPerCandidate = 9;
/** Below this share of the points, the neighbours of a match's neighbours are too rarely matches for a walk to find its way. */
const walkShareMin = 0.2;

/**
 * Chooses between scanning the set and walking the graph. A walk keeps ef candidates of the set, so that it has to look at
 * about ef / share; where the set lies far from the query it needs more, and is given up once it has cost as much as the
 * scan would have: a wrong guess costs twice the scan at most.
 */
export function planSearch({ matches, points, k, ef }: PlanInput): SearchPlan {
  const share = points === 0 ? 0 : matches / points;
  const wanted = Math.max(ef, k);
  const walk = (distancesPerCandidate * wanted * walkToScanCost) / Math.max(share, 1e-6);
  const distancesMax = Math.ceil(matches / walkToScanCost);
  if (matches <= 4 * wanted || walk >= matches) return { strategy: 'scan', ef: wanted, distancesMax };
  return { strategy: share >= walkShareMin ? 'walk' : 'twoHop', ef: wanted, distancesMax };
}
