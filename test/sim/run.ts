import type { KeyHash } from '../../src/protocol/key-hash';
import { defaultStorage } from '../../src/protocol/records';
import { HistoryWriter } from '../history/history-writer';
import { probes } from './all-marks';
import { CallHistory } from './call-history';
import { Churn } from './churn';
import { SimCluster } from './cluster';

import { checkFinalState, unsettled } from './final-check';
import { countMarks, type Counts as MarkCounts } from './marks';
import { type Mutation, withMutation } from './mutation';
import { Nemesis } from './nemesis';
import { drawOptions, type SimOptions } from './options';
import { disturbSleep } from './rest-faults';
import { collection, dimension, latest, shownOf } from './sim-client';
import { SleepWatch } from './sleep-watch';
import type { Counts, FaultKind } from './tally';
import { Violation } from './violation';
import { Workload } from './workload';

export interface SimReport {
  readonly seed: number;
  readonly violation: string | null;
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly rejected: number;
  readonly reads: number;
  readonly leaderChanges: number;
  readonly snapshotsInstalled: number;
  readonly snapshotsResumed: number;
  readonly quarantines: number;
  /** Members of shards that are not the ones they were created with. */
  readonly membersSettled: number;
  readonly injected: Counts<FaultKind>;
  /** Members that fell asleep, those that woke because a peer was gone, and the most that slept at a time. */
  readonly sleeps: number;
  readonly doubts: number;
  readonly sleepersMax: number;
  /** At least one crash, one partition, one leader change beyond the first elections, and 100 acknowledged writes. */
  readonly telling: boolean;
  /** How often each rare thing happened. */
  readonly marks: MarkCounts;
}

/** A run that has not told enough by the end of its fault phase goes on for at most this many times as long. */
const faultPhaseFactorMax = 8;
/** Clients that join then. */
const helpers = 8;
const acknowledgedMin = 100;
const setUpMsMax = 60_000;
const convergeMsMax = 60_000;
/** A removal that has lost its answer is repeated after seconds, of a slow clock even. */
const settleMsMax = 30_000;
const restMsMax = 60_000;
const sleepMs = 5_000;
const repairsMax = 3;

/** One seed, from an empty cluster through faults to a healed one that must agree with its clients. */
export function runSeed(
  seed: number,
  keyHash: KeyHash,
  trace: ((line: string) => void) | null,
  mutation: Mutation | null = null,
  historyFile: string | null = null,
): SimReport {
  return withMutation(mutation, () => {
    const options = drawOptions(seed);
    const cluster = new SimCluster(options, keyHash, trace);
    if (historyFile !== null) cluster.history = historyOf(cluster, seed, historyFile);
    const { result, marks } = countMarks(probes, () => runOnce(cluster, options));
    cluster.history?.close();
    return { ...result, marks };
  });
}

/** The same for a cluster of another shape than a seed would draw. */
export const runOptions = (options: SimOptions, keyHash: KeyHash): Omit<SimReport, 'marks'> =>
  runOnce(new SimCluster(options, keyHash, null), options);

function historyOf({ world }: SimCluster, seed: number, file: string): CallHistory {
  const meta = { model: 'register', seed, commit: '', clock: 'virtual time in ns' } as const;
  return new CallHistory(new HistoryWriter(file, meta, () => Math.round(world.now * 1e6)), collection);
}

function runOnce(cluster: SimCluster, options: SimOptions): Omit<SimReport, 'marks'> {
  const workload = new Workload(cluster, options);
  const churn = new Churn(cluster, options.churnEveryMs);
  const nemesis = new Nemesis(cluster, options);
  const watch = new SleepWatch(cluster, options);
  let violation: string | null = null;
  try {
    setUp(cluster, options);
    const leadersBefore = cluster.leaderChanges;
    workload.start();
    churn.start();
    nemesis.start();
    const { world } = cluster;
    const enough = (): boolean => isTelling(cluster, workload, nemesis, leadersBefore);
    world.runUntil(world.now + options.faultPhaseMs);
    if (!enough()) workload.reinforce(helpers);
    world.runUntil(world.now + options.faultPhaseMs * faultPhaseFactorMax, enough);
    nemesis.stop();
    converge(cluster, workload, churn);
    if (restsAtLast(options)) {
      rest(cluster, watch);
      disturbSleep(cluster, watch, options.seed);
    }
    return report(cluster, workload, nemesis, watch, options, null, leadersBefore);
  } catch (error) {
    violation =
      error instanceof Violation
        ? error.message
        : error instanceof Error
          ? (error.stack ?? error.message)
          : String(error);
    return report(cluster, workload, nemesis, watch, options, violation, 0);
  }
}

function setUp(cluster: SimCluster, options: SimOptions): void {
  create(cluster, collection, options.shards, options.replicas === 5 ? 5 : 3);
  if (options.idleShards > 0) create(cluster, 'idle', options.idleShards);
}

function create(cluster: SimCluster, name: string, shardCount: number, replicationFactor: 3 | 5 = 3): void {
  let created = false;
  const attempt = (): void => {
    cluster.call(
      {
        kind: 'createCollection',
        name,
        dimension,
        metric: 'euclidean',
        hnsw: { m: 8, efConstruction: 32 },
        storage: defaultStorage,
        ttlMs: 0,
        shardCount,
        replicationFactor,
      },
      10_000,
      (outcome) => {
        created = outcome.ok || outcome.error.code === 'ALREADY_EXISTS';
        if (!created) cluster.world.schedule(500, 'create again', null, attempt);
      },
    );
  };
  attempt();
  if (!cluster.world.runUntil(cluster.world.now + setUpMsMax, () => created)) {
    throw new Violation(`no collection after ${setUpMsMax} ms`);
  }
}

/** The liveness phase: everything runs and no fault comes any more. */
function converge(cluster: SimCluster, workload: Workload, churn: Churn): void {
  const { world } = cluster;
  const before = workload.oracle.acknowledgedCount;
  if (!world.runUntil(world.now + convergeMsMax, () => workload.oracle.acknowledgedCount >= before + 5)) {
    throw new Violation(`no writes acknowledged within ${convergeMsMax} ms after the faults ended`);
  }
  workload.stop();
  churn.stop();
  if (!world.runUntil(world.now + convergeMsMax, () => workload.idle && churn.idle)) {
    throw new Violation(workload.idle ? 'collections cannot be deleted' : 'a call never ended');
  }
  if (!world.runUntil(world.now + convergeMsMax, () => cluster.agrees())) {
    throw new Violation(`replicas do not agree after ${convergeMsMax} ms: ${cluster.disagreement()}`);
  }
  readBack(cluster, workload);
  if (!world.runUntil(world.now + settleMsMax, () => unsettled(cluster) === null)) {
    throw new Violation(`not at rest after ${settleMsMax} ms: ${unsettled(cluster)}`);
  }
  checkFinalState(cluster);
}

/**
 * Nothing keeps its groups awake within the time that is waited for it. On the slowest clocks the longest waits take too long: that of
 * a member for a snapshot's stream which nobody continues is a minute of its own clock.
 */
const restsAtLast = ({ log, disk, time }: SimOptions): boolean =>
  log.sleepAfterTicks > 0 && disk.scrubRestMs > restMsMax && time.clocks !== 'hostile';

/** A healed cluster that nobody asks for anything falls asleep as a whole, sleeps on, and wakes without an election. */
function rest(cluster: SimCluster, watch: SleepWatch): void {
  const { world } = cluster;
  // Scrubs and moves of replicas may wake some for a while.
  let quietSinceMs = world.now;
  const isAtRest = (): boolean => {
    if (watch.awake() !== null) quietSinceMs = world.now;
    return world.now - quietSinceMs > sleepMs;
  };
  let revision = cluster.records()?.revision;
  // A repair that begins only now, of a machine that was silent for long, is work too; but repairs must come to an end.
  for (let turn = 0; !world.runUntil(world.now + restMsMax, isAtRest); turn++) {
    const isMoving = revision !== cluster.records()?.revision;
    revision = cluster.records()?.revision;
    if (isMoving && turn < repairsMax) continue;
    throw new Violation(`replica ${watch.awake()} is awake after ${restMsMax} ms without work`);
  }
  const before = cluster.leaderChanges;
  let answered = false;
  const ids = Array.from({ length: 20 }, (_, i) => `sleeper-${i}`);
  cluster.call({ kind: 'get', collection, ids, ...latest }, 20_000, ({ ok }) => {
    answered = ok;
  });
  world.runUntil(world.now + sleepMs);
  if (!answered) throw new Violation('a read of a sleeping shard was not answered');
  if (cluster.leaderChanges !== before) throw new Violation('waking cost an election');
}

/** Every key through the gateway, linearizable, against what its client was told. */
function readBack(cluster: SimCluster, workload: Workload): void {
  let waiting = 0;
  const failures: string[] = [];
  for (const key of workload.oracle.allKeys()) {
    waiting++;
    const floor = workload.oracle.floorOf(key);
    cluster.call({ kind: 'get', collection, ids: [key], ...latest }, 20_000, (outcome) => {
      waiting--;
      if (!outcome.ok) failures.push(`${key}: ${outcome.error.message}`);
      else {
        const shown = shownOf(outcome.answer.points[0]);
        workload.oracle.read(key, shown, floor, 'final read');
        workload.races.checkEnd(key, shown?.serial ?? null);
      }
    });
  }
  cluster.world.runUntil(cluster.world.now + 30_000, () => waiting === 0);
  if (waiting > 0 || failures.length > 0)
    throw new Violation(`final reads: ${waiting} unanswered, ${failures[0] ?? ''}`);
}

function settledCount(cluster: SimCluster): number {
  const shards = cluster.records()?.shards() ?? [];
  return shards.reduce((sum, { epoch }) => sum + (epoch.confVersion - 1) / 4, 0);
}

function isTelling(cluster: SimCluster, workload: Workload, nemesis: Nemesis, leadersBefore: number): boolean {
  const crashes = cluster.world.tally.of('crash');
  const { count: partitions } = nemesis.partitions;
  const changes = cluster.leaderChanges - leadersBefore;
  return crashes > 0 && partitions > 0 && changes > 0 && workload.oracle.acknowledgedCount >= acknowledgedMin;
}

function report(
  cluster: SimCluster,
  workload: Workload,
  nemesis: Nemesis,
  watch: SleepWatch,
  options: SimOptions,
  violation: string | null,
  leadersBefore: number,
): Omit<SimReport, 'marks'> {
  const leaderChanges = cluster.leaderChanges - leadersBefore;
  const acknowledged = workload.oracle.acknowledgedCount;
  return {
    seed: options.seed,
    violation,
    traceHash: cluster.world.traceHash(),
    simulatedMs: cluster.world.now,
    events: cluster.world.eventCount,
    acknowledged,
    rejected: workload.oracle.rejectedCount,
    unknown: workload.oracle.unknownCount,
    reads: workload.counts.reads,
    leaderChanges,
    snapshotsInstalled: cluster.snapshotsInstalled,
    snapshotsResumed: cluster.snapshotsResumed,
    quarantines: cluster.damage.quarantineCount,
    membersSettled: settledCount(cluster),
    injected: { ...cluster.world.tally.all(), damage: cluster.damage.count },
    sleeps: watch.sleeps,
    doubts: watch.doubts,
    sleepersMax: watch.sleepersMax,
    telling: isTelling(cluster, workload, nemesis, leadersBefore),
  };
}
