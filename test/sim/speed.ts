import type { KeyHash } from '../../src/protocol/key-hash';
import { drawOptions, type SimOptions } from './options';
import { runOptions } from './run';
import { Violation } from './violation';

export interface Speed {
  readonly what: string;
  /** Simulated time by the time that one core spent. */
  readonly ratio: number;
  readonly goal: number;
}

const firstSeed = 4;
const measuredSeeds = 8;
/** These and the measured ones, so that what runs often has been compiled: a run of 2,000 seeds pays for that once. */
const warmUpSeeds = firstSeed - 1 + measuredSeeds;

/** Faults as drawn, the shape of the cluster as asked for. */
const shapes: readonly { readonly what: string; readonly goal: number; readonly of: Partial<SimOptions> }[] = [
  {
    what: 'one shard of three replicas, beside its placement driver',
    goal: 500,
    of: { machines: 3, replicas: 3, shards: 1, clients: 1, churnEveryMs: 0 },
  },
  {
    what: 'three workers, placement driver and eight shards',
    goal: 60,
    of: { machines: 3, replicas: 3, shards: 8, clients: 4, churnEveryMs: 0 },
  },
];

/** Whole runs, from the empty cluster to the last check. */
export function measureSpeed(keyHash: KeyHash): Speed[] {
  return shapes.map(({ what, goal, of }) => {
    run(keyHash, of, 1, warmUpSeeds);
    const before = process.cpuUsage();
    const simulatedMs = run(keyHash, of, firstSeed, measuredSeeds);
    const { user, system } = process.cpuUsage(before);
    return { what, goal, ratio: simulatedMs / ((user + system) / 1000) };
  });
}

function run(keyHash: KeyHash, shape: Partial<SimOptions>, first: number, count: number): number {
  let simulatedMs = 0;
  for (let seed = first; seed < first + count; seed++) {
    const report = runOptions({ ...drawOptions(seed), ...shape }, keyHash);
    if (report.violation !== null) throw new Violation(`seed ${seed}: ${report.violation}`);
    simulatedMs += report.simulatedMs;
  }
  return simulatedMs;
}
