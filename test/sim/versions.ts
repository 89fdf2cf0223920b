import { Prng } from '../../src/base/prng';
import { type FlagRange, flagRange } from '../../src/protocol/flags';
import type { SimCluster } from './cluster';
import type { SimOptions } from './options';
import { must } from './violation';

/**
 * Clusters whose machines begin with different programs and are upgraded one after the other:
 *
 *  1. No program ever meets a level, a command or a format that it does not know: flags come on after all have said so.
 *  2. Replicas of a shard are at the same level, and hold the same, at the same applied index (ConsensusChecker).
 *  3. Once all run the newest program, every flag comes on everywhere.
 */
const earlier: FlagRange = { oldest: 0, newest: 0 };

/** What the machines run at first, in the order they are made. */
export function firstPrograms({ seed, versions }: SimOptions): () => FlagRange {
  const random = new Prng(seed ^ 0xf1a66);
  return () => (random.chance(versions.oldShare) ? earlier : flagRange);
}

/** A replica or placement driver that has stopped because its program is too old. */
export function checkProgram(failure: string | null, where: string): void {
  const isOutdated = failure !== null && /of a later version of this program|this program supports/.test(failure);
  must(!isOutdated, () => `${where}: ${failure}`);
}

/** A group that is not at the newest level; null: all are. */
export function lowLevel({ placement, workers }: SimCluster): string | null {
  const { newest } = flagRange;
  for (const { name, actor } of placement) {
    if (actor?.machine.level !== newest) return `${name} is at level ${actor?.machine.level}`;
  }
  for (const { name, replicas } of workers) {
    for (const { actor, spec } of replicas.values()) {
      if (actor.machine !== null && actor.machine.level !== newest) {
        return `shard ${spec.shard.id} on ${name} is at level ${actor.machine.level}`;
      }
    }
  }
  return null;
}
