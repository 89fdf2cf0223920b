import { assert } from '../base/assert';
import type { NodeName, WorkerId } from '../base/ids';

/** A worker that may take replicas; `replicas` is how many it has. */
export interface Candidate {
  readonly worker: WorkerId;
  readonly node: NodeName;
  readonly zone: string;
  readonly rack: string;
  replicas: number;
}

/**
 * Different workers for the replicas of one shard: each next one in the zone that holds fewest of this shard's replicas,
 * then in the rack that does, then on the worker with the fewest replicas, then the lowest id. Counts what it chose in
 * `replicas`. `present` are those that have replicas of the shard already. The order of the candidates does not matter.
 */
export function chooseWorkers(
  candidates: readonly Candidate[],
  count: number,
  present: readonly Candidate[] = [],
): Candidate[] {
  assert(candidates.length >= count, `chooseWorkers: ${count} of ${candidates.length}`);
  const chosen: Candidate[] = [];
  while (chosen.length < count) {
    const best = candidates
      .filter((candidate) => !chosen.includes(candidate))
      .reduce((a, b) => (compare(a, b, [...present, ...chosen]) <= 0 ? a : b));
    best.replicas++;
    chosen.push(best);
  }
  return chosen;
}

function compare(a: Candidate, b: Candidate, chosen: readonly Candidate[]): number {
  return (
    crowd(a, chosen, sameZone) - crowd(b, chosen, sameZone) ||
    crowd(a, chosen, sameRack) - crowd(b, chosen, sameRack) ||
    a.replicas - b.replicas ||
    a.worker - b.worker
  );
}

type Same = (a: Candidate, b: Candidate) => boolean;
const sameZone: Same = (a, b) => a.zone === b.zone;
const sameRack: Same = (a, b) => a.zone === b.zone && a.rack === b.rack;
const crowd = (one: Candidate, chosen: readonly Candidate[], same: Same): number =>
  chosen.filter((other) => same(one, other)).length;
