/** Every kind of fault that a run injects, and what it is. docs/simulator.md groups them. */
export const faultKinds = {
  drop: 'a message is lost',
  duplicate: 'a message arrives twice',
  lateCopy: 'a message arrives up to six seconds late, or again so late',
  echo: 'an old answer arrives again just when a new one is asked for',
  straggle: 'a message takes ten times as long, which reorders it',
  truncate: 'a message arrives cut short, which its reader must refuse',
  cut: 'a message is lost on a link that is cut',
  clog: 'a link holds everything back for up to five seconds',
  isolate: 'a node loses all its links',
  isolateLeader: 'a node that leads a group loses all its links',
  halves: 'the nodes fall into two halves',
  ring: 'every node hears only its two neighbours',
  bridge: 'two halves hear one common node and not each other',
  pair: 'two nodes do not hear each other',
  oneWayOut: 'a node hears and is not heard',
  oneWayIn: 'a node is heard and does not hear',
  deposed: 'a leader loses its peers and keeps its clients, until others have led',
  longSync: 'a sync takes until after its entries have been replaced',
  flap: 'a node loses its links and has them back, again and again',
  crash: 'a machine ends between two events',
  crashInWrite: 'a machine ends in the middle of a write or a sync',
  crashInRecovery: 'a machine ends while it is still starting',
  powerLoss: 'what was not synced may be gone, each batch whole or not at all',
  clusterCrash: 'all machines end at once',
  placementCrash: 'a node of the placement driver ends',
  pause: 'a process stands still and goes on as if nothing had been',
  stall: 'one shard thread stands still: applies are late',
  slowDisk: 'the log thread stands still: writes and syncs are late',
  linkLag: 'a machine’s graphs fall behind: its leaders refuse writes for a while',
  snapshotFault: 'a snapshot on its way loses its link, its sender or its receiver',
  actorKill: 'a replica’s actor ends',
  threadKill: 'a thread dies',
  hang: 'a thread lives and runs nothing any more, until its owner ends it',
  overtaken: 'a log thread that was replaced still runs once, and tries to write',
  removalFault: 'the log thread dies when a replica’s log is to be removed',
  lateWords: 'what a dead thread had sent arrives after its successor’s first words',
  gatewayRestart: 'the gateway ends with all its calls and starts again',
  diskError: 'a write or a sync fails',
  diskFull: 'a write finds no room, and so do all that follow for a while',
  readError: 'a read fails',
  lie: 'a machine starts with stores that lack what had been synced',
  lostFile: 'a file of a graph is gone after a loss of power',
  damage: 'a stored record, a log or a state is changed behind everybody’s back',
  move: 'the placement driver is told to move a replica',
  handOver: 'the placement driver is told to hand leadership over',
  wipe: 'a machine loses its disks and comes back with empty ones',
  clockRate: 'a node’s clock runs fast or slow for the whole run',
  wallJump: 'a node’s wall clock jumps',
  upgrade: 'a machine with an earlier program starts again with the newest one',
  churn: 'a collection is created: replicas come, and go later',
} as const;

export type FaultKind = keyof typeof faultKinds;
export const faultKindNames = Object.keys(faultKinds) as readonly FaultKind[];
export type Counts<K extends string = string> = Readonly<Partial<Record<K, number>>>;

/** Counts by name. */
export class Tally<K extends string> {
  private readonly counts: Partial<Record<K, number>> = {};

  add(name: K): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }

  of(name: K): number {
    return this.counts[name] ?? 0;
  }

  all(): Counts<K> {
    return { ...this.counts };
  }
}

export function sumOf<K extends string>(each: readonly Counts<K>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const counts of each) {
    for (const [name, count] of Object.entries<number | undefined>(counts))
      sums[name] = (sums[name] ?? 0) + (count ?? 0);
  }
  return sums;
}
