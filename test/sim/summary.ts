import type { SimReport } from './run';
import { faultKindNames, faultKinds, sumOf } from './tally';

export const tellingShareMin = 0.95;
/** Runs of at least so many seeds must have injected every kind of fault in a tenth as many. */
const fullSeedsMin = 100;
const injectedShareMin = 0.1;

export interface RunFigures {
  readonly seeds: number;
  readonly red: readonly number[];
  readonly telling: number;
  readonly acknowledged: number;
  readonly rejected: number;
  readonly unknown: number;
  readonly reads: number;
  readonly leaderChanges: number;
  readonly snapshotsInstalled: number;
  readonly snapshotsResumed: number;
  readonly quarantines: number;
  readonly membersSettled: number;
  readonly sleeps: number;
  readonly doubts: number;
  readonly sleepersMax: number;
  readonly simulatedMs: number;
  readonly events: number;
  readonly elapsedMs: number;
  readonly injected: Readonly<Record<string, number>>;
}

export function figuresOf(reports: readonly SimReport[], elapsedMs: number): RunFigures {
  const sum = (pick: (report: SimReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  return {
    seeds: reports.length,
    red: reports.filter((report) => report.violation !== null).map(({ seed }) => seed),
    telling: sum((r) => (r.telling ? 1 : 0)),
    acknowledged: sum((r) => r.acknowledged),
    rejected: sum((r) => r.rejected),
    unknown: sum((r) => r.unknown),
    reads: sum((r) => r.reads),
    leaderChanges: sum((r) => r.leaderChanges),
    snapshotsInstalled: sum((r) => r.snapshotsInstalled),
    snapshotsResumed: sum((r) => r.snapshotsResumed),
    quarantines: sum((r) => r.quarantines),
    membersSettled: sum((r) => r.membersSettled),
    sleeps: sum((r) => r.sleeps),
    doubts: sum((r) => r.doubts),
    sleepersMax: Math.max(0, ...reports.map((r) => r.sleepersMax)),
    simulatedMs: sum((r) => r.simulatedMs),
    events: sum((r) => r.events),
    elapsedMs,
    injected: sumOf(reports.map(({ injected }) => injected)),
  };
}

/** Why a run proves too little, whatever its seeds have found; empty: it proves enough. */
export function shortfalls(figures: RunFigures, seedsWanted: number): string[] {
  const { seeds, telling, injected } = figures;
  const reasons: string[] = [];
  if (seeds < seedsWanted) reasons.push(`${seeds} seeds ran, ${seedsWanted} were to run`);
  // One seed of few says nothing of the others.
  if (seeds >= fullSeedsMin && telling < tellingShareMin * seeds) {
    reasons.push(`${telling} of ${seeds} seeds were telling, ${tellingShareMin * 100} % must be`);
  }
  const least = seeds < fullSeedsMin ? 0 : Math.ceil(seeds * injectedShareMin);
  for (const kind of faultKindNames) {
    const count = injected[kind] ?? 0;
    if (count < least)
      reasons.push(`${kind} (${faultKinds[kind]}) was injected ${count} times, ${least} are asked for`);
  }
  return reasons;
}

/** Means of a seed and how much faster than real time. */
export const speedLine = ({ seeds, simulatedMs, elapsedMs }: RunFigures): string =>
  `${(simulatedMs / Math.max(1, seeds) / 1000).toFixed(1)} simulated s a seed, ` +
  `${(simulatedMs / elapsedMs).toFixed(0)}x real time, ${(elapsedMs / 1000).toFixed(0)} s`;

export const injectedLine = (injected: RunFigures['injected']): string =>
  faultKindNames.map((kind) => `${injected[kind] ?? 0} ${kind}`).join(', ');

/** The last lines of a run: what the seeds went through, so that a green run shows what it is worth. */
export function summary(figures: RunFigures): string {
  const parts = [
    `${figures.seeds} seeds`,
    `${figures.red.length} red`,
    `${((figures.telling / Math.max(1, figures.seeds)) * 100).toFixed(1)} % telling`,
    `${figures.acknowledged} writes acknowledged`,
    `${figures.rejected} rejected`,
    `${figures.unknown} unknown`,
    `${figures.reads} reads checked`,
    `${figures.leaderChanges} leader changes`,
    `${figures.snapshotsInstalled} snapshots installed`,
    `${figures.snapshotsResumed} taken up again`,
    `${figures.quarantines} replicas in quarantine`,
    `${figures.membersSettled} members replaced at last`,
    `${figures.sleeps} fell asleep (${figures.sleepersMax} at a time), ${figures.doubts} woke in doubt`,
    speedLine(figures),
  ];
  return `sim: injected ${injectedLine(figures.injected)}\nsim: ${parts.join(', ')}`;
}
