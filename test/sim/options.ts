import { raftMemberTuning } from '../../src/actors/raft-member-options';
import { Prng } from '../../src/base/prng';
import { logUniform } from './log-uniform';

/**
 * What one seed decides before anything runs. Each fault kind is off in some seeds and wild in others, so that no kind
 * hides behind another (swarm testing).
 */
export interface SimOptions {
  readonly seed: number;
  readonly machines: number;
  /** Of each shard of the collection that clients use. */
  readonly replicas: number;
  readonly shards: number;
  /** Of a second collection that nobody asks for anything; 0: there is none. */
  readonly idleShards: number;
  readonly clients: number;
  /** Mean time between two steps of the client that creates and deletes collections; 0: there is none. */
  readonly churnEveryMs: number;
  readonly keys: number;
  readonly faultPhaseMs: number;
  readonly network: NetworkOptions;
  readonly disk: DiskOptions;
  readonly log: LogOptions;
  readonly nemesis: NemesisOptions;
  readonly time: TimeOptions;
  readonly versions: VersionOptions;
  /** A machine that is silent for so long loses its replicas to others. */
  readonly deadAfterMs: number;
}

export interface NetworkOptions {
  readonly delayMeanMs: number;
  readonly dropChance: number;
  readonly duplicateChance: number;
  /** Chance that a message arrives up to six seconds late, or again so late. */
  readonly lateCopyChance: number;
  /** Chance that what asks for answers meets old ones. */
  readonly echoChance: number;
  /** Chance that a message takes ten times its delay, which reorders it. */
  readonly straggleChance: number;
  /** Chance that a message arrives without its end. */
  readonly truncateChance: number;
}

export interface TimeOptions {
  /** How far clocks may be off: not at all, by a tenth, or by a factor of two. */
  readonly clocks: 'exact' | 'normal' | 'hostile';
  readonly pauseEveryMs: number;
  readonly stallEveryMs: number;
  readonly clogEveryMs: number;
  readonly wallJumpEveryMs: number;
  readonly linkLagEveryMs: number;
  /** How long a turn takes a thread that has more to do: what waits for its end comes late. */
  readonly turnMs: number;
}

/** Machines that begin with a program which knows no flags, and are upgraded one after the other. */
export interface VersionOptions {
  /** Share of the machines and placement drivers that begin so; 0: all run the same program. */
  readonly oldShare: number;
  /** Mean time between two upgrades. */
  readonly upgradeEveryMs: number;
}

export interface DiskOptions {
  /** How long a completion of the log writer is on its way: stands for the sync. */
  readonly syncMeanMs: number;
  /** Chance that a machine dies inside a write or a sync rather than between two events. */
  readonly crashInWriteChance: number;
  /** Chance that a crash is a power cut rather than the end of the process alone. */
  readonly powerLossChance: number;
  /** Chance that a loss of power takes a file of a graph that was never synced into its directory. */
  readonly lostFileChance: number;
  /** Chance that a replica takes seconds to start. */
  readonly slowStartChance: number;
  /** Between two readings of all records; in the many seeds where it is long, groups sleep undisturbed. */
  readonly scrubRestMs: number;
}

export interface LogOptions {
  /** Small enough, in many seeds, that who was away needs a snapshot. */
  readonly windowBytes: number;
  /** Small enough that a snapshot is many chunks, with writes and crashes between them. */
  readonly chunkBytes: number;
  readonly savesGraphs: boolean;
  /** Small enough, in some seeds, that a member is behind in applying what is committed. */
  readonly applyBytesMax: number;
  /** Small enough, in many seeds, that groups fall asleep between two writes. */
  readonly sleepAfterTicks: number;
  /** Small enough, in many seeds, that appends to a member wait for its answers. */
  readonly inflightBytesMax: number;
}

export interface NemesisOptions {
  readonly crashEveryMs: number;
  readonly downMeanMs: number;
  readonly partitionEveryMs: number;
  readonly partitionMeanMs: number;
  readonly actorKillEveryMs: number;
  readonly threadKillEveryMs: number;
  readonly placementCrashEveryMs: number;
  readonly gatewayRestartEveryMs: number;
  readonly diskErrorEveryMs: number;
  /** Mean time between two disks that are full for a while, two reads that fail, and two machines whose disk has lied. */
  readonly diskFullEveryMs: number;
  readonly readErrorEveryMs: number;
  readonly lieEveryMs: number;
  /** Mean time between two threads that hang, and two log threads that are replaced before they have ended or removed. */
  readonly hangEveryMs: number;
  readonly overtakeEveryMs: number;
  readonly removalFaultEveryMs: number;
  /** Mean time between two orders to move a replica, to hand leadership over, and two machines that lose their disks. */
  readonly moveEveryMs: number;
  readonly handOverEveryMs: number;
  readonly wipeEveryMs: number;
  /** Mean time between two damages to what is on disk, as many as leave two whole replicas of every shard; 0: none. */
  readonly damageEveryMs: number;
  /** Mean time before the next snapshot on its way loses its link, its receiver or its sender; 0: none does. */
  readonly snapshotFaultEveryMs: number;
  /** Mean time between two leaders that lose their peers and keep their clients. */
  readonly deposeEveryMs: number;
  /** Chance that a machine that starts ends again before it has found its place. */
  readonly crashInRecoveryChance: number;
}

const offOr = (random: Prng, offChance: number, value: () => number): number =>
  random.chance(offChance) ? 0 : value();

/** From soon enough to sleep between two writes to never. */
const sleepAfter = (random: Prng): number => random.pick([2, 4, 8, 40, 0]);

/** From one append at a time to what is never reached. */
const inflightBytes = (random: Prng): number => random.pick([1, 400, 2_000, raftMemberTuning.inflightBytesMax]);

const applyBytes = (random: Prng): number => (random.chance(0.3) ? 1 : raftMemberTuning.applyBytesMax);

const slowness = (random: Prng): Pick<TimeOptions, 'linkLagEveryMs' | 'turnMs'> => ({
  turnMs: random.chance(0.2) ? logUniform(random, 0.1, 3) : 0.005,
  linkLagEveryMs: offOr(random, 0.5, () => logUniform(random, 3_000, 20_000)),
});

/** Many groups in few seeds, as they cost time. */
const idleShards = (random: Prng): number => (random.chance(0.01) ? random.between(100, 130) : 0);

/** Seeds of the corpus stay what they were when they were red: here before there were upgrades, there when fault phases were longer. */
const oneVersion: ReadonlySet<number> = new Set([
  47, 54, 438, 1000, 1045, 2039, 2063, 5036, 7008, 7027, 10_182, 10_433, 20_793,
]);
const longFaults: ReadonlySet<number> = new Set([...oneVersion, 354, 392, 285_739_656, 285_739_809, 285_739_818]);
/** Those that were red before the worst moments were sought out. */
const mildMoments: ReadonlySet<number> = new Set([
  ...longFaults,
  ...[52, 94, 201, 264, 351, 660, 691, 942, 1_854, 1_867, 2_535, 6_029],
]);

/** Of its own numbers: the other options of a seed stay what they were. */
function versions(random: Prng): VersionOptions {
  const oldShare = random.chance(0.5) ? 0 : random.pick([0.2, 0.5, 1]);
  return { oldShare, upgradeEveryMs: logUniform(random, 1_500, 8_000) };
}

/** Each in two of five seeds. */
function threadAndDiskFaults(random: Prng) {
  const now = (low: number, high: number): number => offOr(random, 0.6, () => logUniform(random, low, high));
  return {
    diskFullEveryMs: now(8_000, 30_000),
    readErrorEveryMs: now(1_000, 15_000),
    lieEveryMs: now(8_000, 30_000),
    hangEveryMs: now(12_000, 40_000),
    overtakeEveryMs: now(4_000, 30_000),
    removalFaultEveryMs: now(1_000, 5_000),
  };
}

/** Each in half of the seeds. */
function worstMoments(seed: number, random: Prng) {
  const isOld = mildMoments.has(seed);
  const echoChance = offOr(random, 0.5, () => logUniform(random, 0.05, 0.7));
  const deposeEveryMs = offOr(random, 0.5, () => logUniform(random, 4_000, 15_000));
  return { echoChance: isOld ? 0 : echoChance, deposeEveryMs: isOld ? 0 : deposeEveryMs };
}

function faultPhase(seed: number, random: Prng): number {
  const drawnMs = random.between(38_000, 62_000);
  return longFaults.has(seed) ? drawnMs : 0.7 * drawnMs;
}

export function drawOptions(seed: number): SimOptions {
  const random = new Prng(seed);
  const options = {
    seed,
    machines: 3,
    shards: random.between(1, 3),
    idleShards: idleShards(new Prng(seed ^ 0x1d1e)),
    clients: random.between(2, 6),
    keys: random.between(8, 48),
    faultPhaseMs: faultPhase(seed, random),
    network: {
      delayMeanMs: logUniform(random, 0.2, 100),
      dropChance: offOr(random, 0.3, () => logUniform(random, 0.001, 0.3)),
      duplicateChance: offOr(random, 0.3, () => logUniform(random, 0.001, 0.5)),
      straggleChance: offOr(random, 0.3, () => logUniform(random, 0.001, 0.1)),
    },
    disk: {
      syncMeanMs: logUniform(random, 0.1, 20),
      crashInWriteChance: random.chance(0.5) ? 0.9 : 0,
      powerLossChance: random.pick([1, 0.8, 0.3]),
      scrubRestMs: new Prng(seed ^ 0x5c4b).chance(0.5) ? 4_000 : 600_000,
      slowStartChance: offOr(new Prng(seed ^ 0x510b), 0.5, () => 0.2),
    },
    nemesis: {
      crashEveryMs: logUniform(random, 3_000, 10_000),
      downMeanMs: logUniform(random, 200, 6_000),
      partitionEveryMs: logUniform(random, 3_000, 10_000),
      partitionMeanMs: logUniform(random, 300, 6_000),
      actorKillEveryMs: offOr(random, 0.4, () => logUniform(random, 3_000, 20_000)),
      threadKillEveryMs: offOr(random, 0.4, () => logUniform(random, 3_000, 20_000)),
      placementCrashEveryMs: offOr(random, 0.4, () => logUniform(random, 5_000, 20_000)),
      gatewayRestartEveryMs: offOr(random, 0.4, () => logUniform(random, 500, 20_000)),
      diskErrorEveryMs: offOr(random, 0.6, () => logUniform(random, 5_000, 20_000)),
    },
    log: {
      windowBytes: random.chance(0.4) ? raftMemberTuning.logWindowBytes : Math.floor(logUniform(random, 64, 4_096)),
      chunkBytes: Math.floor(logUniform(random, 128, 65_536)),
      savesGraphs: random.chance(0.5),
      sleepAfterTicks: sleepAfter(new Prng(seed ^ 0x51ee9)),
      applyBytesMax: applyBytes(new Prng(seed ^ 0xa991)),
      inflightBytesMax: inflightBytes(new Prng(seed ^ 0x1f1e)),
    },
    churnEveryMs: offOr(random, 0.6, () => logUniform(random, 500, 5_000)),
  };
  // Drawn last: the seeds of the corpus stay what they are.
  const damageEveryMs = offOr(random, 0.6, () => logUniform(random, 3_000, 15_000));
  const machines = random.pick([3, 3, 3, 4, 5]);
  // Above what a heartbeat every 5 s looks like between a slow clock and a fast one.
  const deadAfterMs = logUniform(random, 25_000, 60_000);
  const moveEveryMs = offOr(random, 0.4, () => logUniform(random, 1_000, 15_000));
  const handOverEveryMs = offOr(random, 0.4, () => logUniform(random, 500, 10_000));
  const wipeEveryMs = offOr(random, 0.5, () => logUniform(random, 5_000, 20_000));
  const snapshotFaultEveryMs = offOr(random, 0.6, () => logUniform(random, 3_000, 15_000));
  const truncateChance = offOr(random, 0.6, () => logUniform(random, 0.0005, 0.02));
  const crashInRecoveryChance = offOr(random, 0.5, () => logUniform(random, 0.1, 0.7));
  const rarely = (): number => offOr(random, 0.5, () => logUniform(random, 3_000, 20_000));
  const clocks = random.pick(['exact', 'exact', 'normal', 'normal', 'hostile'] as const);
  const times = { pauseEveryMs: rarely(), stallEveryMs: rarely(), clogEveryMs: rarely(), wallJumpEveryMs: rarely() };
  const more = {
    damageEveryMs,
    snapshotFaultEveryMs,
    moveEveryMs,
    handOverEveryMs,
    wipeEveryMs,
    crashInRecoveryChance,
  };
  const late = new Prng(seed ^ 0x1a7e);
  const lateCopyChance = offOr(late, 0.5, () => logUniform(late, 0.002, 0.2));
  const lostFileChance = offOr(late, 0.5, () => 0.3);
  const { echoChance, deposeEveryMs } = worstMoments(seed, new Prng(seed ^ 0x3057));
  return {
    ...options,
    machines,
    replicas: machines === 5 ? late.pick([3, 5]) : 3,
    deadAfterMs,
    network: { ...options.network, truncateChance, lateCopyChance, echoChance },
    disk: { ...options.disk, lostFileChance },
    nemesis: { ...options.nemesis, ...more, ...threadAndDiskFaults(late), deposeEveryMs },
    versions: oneVersion.has(seed) ? { oldShare: 0, upgradeEveryMs: 0 } : versions(new Prng(seed ^ 0xf1a65)),
    time: { clocks, ...times, ...slowness(new Prng(seed ^ 0x7042)) },
  };
}
