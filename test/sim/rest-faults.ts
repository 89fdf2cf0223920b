import { Prng } from '../../src/base/prng';
import type { SimCluster } from './cluster';
import type { SleepWatch } from './sleep-watch';

const kinds = ['process', 'hang'] as const;

/**
 * The end of a run in which everything sleeps and nobody asks for anything: one who sleeps falls silent, with its process or
 * with its thread alone, and stays so. Whoever relied on it must wake by himself, which the watch sees to.
 */
export function disturbSleep(cluster: SimCluster, watch: SleepWatch, seed: number): void {
  const random = new Prng(seed ^ 0x51ee4);
  const { world } = cluster;
  const sleepers = cluster.workers.flatMap((machine) =>
    [...machine.replicas.values()]
      .filter(({ actor }) => actor.member?.isAsleep === true)
      .map(({ actor, thread }) => ({ machine, thread, leads: actor.member?.isLeader === true })),
  );
  const leaders = sleepers.filter(({ leads }) => leads);
  const candidates = leaders.length > 0 && random.chance(0.7) ? leaders : sleepers;
  if (candidates.length === 0) return;
  watch.expectPromptness();
  const { machine, thread } = random.pick(candidates);
  const kind = random.pick(kinds);
  world.note(`SILENCE ${kind} ${machine.name}/${thread.name}`);
  if (kind === 'hang') thread.isHung = true;
  else machine.node.kill();
  world.runUntil(world.now + watch.promptMs + silentMs);
}

/** The watch looks now and then. */
const silentMs = 500;
