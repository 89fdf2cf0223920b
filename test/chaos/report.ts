import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname } from 'node:path';
import type { Judgement } from '../history/judge';
import { type ChaosOptions, unknownShareMax } from './options';

export interface Figures {
  readonly options: ChaosOptions;
  readonly commit: string;
  readonly verdict: Judgement['verdict'];
  readonly counts: { readonly ok: number; readonly fail: number; readonly info: number };
  readonly windows: readonly {
    readonly victim: string;
    readonly acked: number;
    readonly t: number;
    readonly end: number;
  }[];
  /** By key: writes of which nobody knows. */
  readonly unknown: ReadonlyMap<string, number>;
  readonly loadMs: number;
  readonly replicaCount: number;
  /** Where replicas and last reads differ. */
  readonly wrong: readonly string[];
}

const ackedInWindows = ({ windows }: Figures): number => windows.reduce((sum, { acked }) => sum + acked, 0);
const unknownWrites = ({ unknown }: Figures): number => [...unknown.values()].reduce((sum, count) => sum + count, 0);

/** Why a run is red; empty: it is green. */
export function shortfalls(figures: Figures): string[] {
  const { options, counts, windows, wrong, verdict } = figures;
  const reasons = wrong.slice(0, 5).map((what) => `replicas: ${what}`);
  const expect = (holds: boolean, reason: string): void => {
    if (!holds) reasons.push(reason);
  };
  expect(verdict === 'legal', `the history is ${verdict}`);
  expect(windows.length >= options.killsMin, `${windows.length} kills, ${options.killsMin} are asked for`);
  expect(counts.ok >= options.ackedMin, `${counts.ok} operations acknowledged, ${options.ackedMin} are asked for`);
  const inside = ackedInWindows(figures);
  expect(
    inside >= options.ackedInWindowsMin,
    `${inside} acknowledged inside fault windows, ${options.ackedInWindowsMin} are asked for`,
  );
  expect(
    windows.every(({ acked }) => acked > 0),
    'a fault window without one acknowledged operation',
  );
  const share = unknownWrites(figures) / (counts.ok + counts.info + counts.fail);
  expect(share <= unknownShareMax, `${(share * 100).toFixed(2)} % unknown writes`);
  return reasons;
}

const killsOf = ({ windows }: Figures): string => {
  const kinds = [...new Set(windows.map(({ victim }) => victim))];
  return kinds.map((kind) => `${windows.filter(({ victim }) => victim === kind).length} ${kind}`).join(', ');
};

export function figuresLine(figures: Figures): string {
  const { options, counts, windows, verdict, replicaCount, wrong, loadMs, commit } = figures;
  const total = counts.ok + counts.fail + counts.info;
  const longestMs = Math.max(0, ...windows.map(({ t, end }) => (end - t) / 1e6));
  return (
    `chaos: ${options.profile}, seed ${options.seed}: ${verdict}, ${total} ops (${counts.ok} acked, ${counts.info} info of which ` +
    `${unknownWrites(figures)} writes, ${counts.fail} fail), ${options.clients} clients, ${options.keys} keys, ${windows.length} kills ` +
    `(${killsOf(figures)}), ${ackedInWindows(figures)} acked inside fault windows (longest ${(longestMs / 1000).toFixed(1)} s), ` +
    `${replicaCount} replicas equal, ${wrong.length} differences, ${Math.round(total / (loadMs / 1000))} ops/s, ${(loadMs / 1000).toFixed(0)} s, ` +
    `load ${loadavg()[0]?.toFixed(1)}, commit ${commit}`
  );
}

const results = 'docs/results/judged-histories.md';
const head = `# Judged histories of real clusters

Each row is one run of \`npm run chaos\`: clients on shared registers while parts of the cluster are killed, and the judge's
verdict on what they were told ([how](../judge.md)). A zero of n kills bounds the true rate at 3/n with 95 % confidence.

| date | commit | profile, seed | clients, keys | operations: acked / unknown / refused | kills | acked inside fault windows | ops/s | verdict | machine |
|---|---|---|---|---|---|---|---|---|---|
`;

/** Adds the run as a row; a red one too. */
export function record(figures: Figures, reasons: readonly string[]): void {
  const { options, counts, windows, loadMs, commit, verdict } = figures;
  if (!existsSync(results)) {
    mkdirSync(dirname(results), { recursive: true });
    writeFileSync(results, head);
  }
  const machine = `${cpus().length} cores ${cpus()[0]?.model ?? ''}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, load ${loadavg()[0]?.toFixed(1)}`;
  const cells = [
    new Date().toISOString().slice(0, 10),
    commit,
    `${options.profile}, ${options.seed}`,
    `${options.clients}, ${options.keys}`,
    `${counts.ok} / ${counts.info} / ${counts.fail}`,
    `${windows.length}: ${killsOf(figures)}`,
    String(ackedInWindows(figures)),
    String(Math.round((counts.ok + counts.fail + counts.info) / (loadMs / 1000))),
    reasons.length === 0 ? verdict : `red: ${reasons.join('; ')}`,
    machine,
  ];
  appendFileSync(results, `| ${cells.map((cell) => cell.replace(/\|/g, '/')).join(' | ')} |\n`);
}
