import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { KeyHash } from '../../src/protocol/key-hash';
import { loadKeyHash } from '../../src/protocol/node/xxh3';
import { buildJudge, type Judgement } from '../history/judge';
import { markNames } from './all-marks';
import { commitHash, sampleOf, seedOf } from './commit-seeds';
import corpus from './corpus.json';
import { judgeSeed, runJudged } from './judged';
import { markRows, missedMarks } from './marks';
import { mutationNamed, mutations, openMutations } from './mutations';
import { checklist } from './mutations-checklist';
import { type PlantedRow, recordPlanted } from './planted-record';
import { runAll, serve } from './pool';
import { record, writeResult } from './results';
import { runSeed, type SimReport } from './run';
import { measureSpeed } from './speed';
import { figuresOf, shortfalls, summary } from './summary';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    /** The first seed; `commit`: one that the checkout's commit decides. */
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: String(Math.min(2, cpus().length)) },
    trace: { type: 'boolean', default: false },
    /**
     * Names, `all`, `open` or `sample`, which draws twenty by the checkout's commit: proves that each planted bug is
     * found within --max-seeds; with --seed, runs one with it.
     */
    mutations: { type: 'string' },
    'max-seeds': { type: 'string', default: '200' },
    /** With --seed: where the clients' history goes. */
    history: { type: 'string' },
    /** Judges the clients' history of every seed, also with --mutations; those that are not legal stay in out/histories. */
    judge: { type: 'boolean', default: false },
    /** Adds the run to docs/results/simulator.md. */
    record: { type: 'boolean', default: false },
    /** A file for the run's figures as JSON. */
    out: { type: 'string' },
    /** How much faster than real time one group, and a cluster with eight shards, are; red below the goals. */
    speed: { type: 'boolean', default: false },
    /** Prints how many seeds hit each coverage mark, and how often. */
    marks: { type: 'boolean', default: false },
    worker: { type: 'boolean', default: false },
  },
});
const first = values.first === 'commit' ? seedOf(commitHash()) : Number(values.first);
const sampleSize = 20;
const processCount = Number(values.jobs);
/** One seed in a hundred runs twice and must leave the same trace. */
const repeatEvery = 100;
const recordFile = join('docs', 'planted-bugs.md');

/** `judge`: the program; null: it is not asked for. */
interface SeedJob {
  readonly seed: number;
  readonly judge: string | null;
}
interface HuntJob {
  readonly mutation: string;
  readonly first: number;
  readonly seedsMax: number;
  readonly judge: string | null;
}
type Job = SeedJob | HuntJob;
interface Hunt {
  readonly mutation: string;
  /** Null: it survived. */
  readonly seed: number | null;
  readonly seedsRun: number;
  readonly violation: string;
}

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

async function replay(seed: number): Promise<void> {
  const mutation = values.mutations === undefined ? null : mutationNamed(values.mutations);
  const report = runSeed(seed, await loadKeyHash(), values.trace ? say : null, mutation, values.history);
  say(JSON.stringify(report));
  process.exitCode = report.violation === null ? 0 : 1;
}

async function work(): Promise<void> {
  const keyHash = await loadKeyHash();
  serve((job: Job) => ('seed' in job ? runTwice(job, keyHash) : hunt(job, keyHash)));
}

function runTwice({ seed, judge }: SeedJob, keyHash: KeyHash): SimReport {
  const report = judge === null ? runSeed(seed, keyHash, null) : runJudged(seed, keyHash, judge);
  const again = seed % repeatEvery === 0 ? runSeed(seed, keyHash, null).traceHash : report.traceHash;
  const drift = again === report.traceHash ? null : `not deterministic: trace ${report.traceHash}, then ${again}`;
  return { ...report, violation: report.violation ?? drift };
}

/** What each seed says without any planted bug: most bugs are found by the same few. */
const withoutBug = new Map<number, string | null>();

function isRedAnyway(seed: number, keyHash: KeyHash): boolean {
  const known = withoutBug.get(seed);
  const violation = known === undefined ? runSeed(seed, keyHash, null).violation : known;
  withoutBug.set(seed, violation);
  return violation !== null;
}

/** Runs seeds with a planted bug until one is red, in the eyes of the judge alone if there is one. */
function hunt({ mutation: name, first: from, seedsMax, judge }: HuntJob, keyHash: KeyHash): Hunt {
  const mutation = mutationNamed(name);
  for (let i = 0; i < seedsMax; i++) {
    const seed = from + i;
    const violation =
      judge === null
        ? runSeed(seed, keyHash, null, mutation).violation
        : verdictOf(judgeSeed(seed, keyHash, judge, mutation).judgement);
    // A seed that is red without the bug has not found it.
    if (violation === null || isRedAnyway(seed, keyHash)) continue;
    return { mutation: name, seed, seedsRun: i + 1, violation };
  }
  return { mutation: name, seed: null, seedsRun: seedsMax, violation: '' };
}

/** What is illegal is found; what cannot be judged is not. */
const verdictOf = ({ verdict, output }: Judgement): string | null =>
  verdict === 'illegal' ? `the judge: ${output.trim()}` : null;

async function runSeeds(): Promise<void> {
  const judge = values.judge ? buildJudge() : null;
  const startedMs = performance.now();
  const fresh = Array.from({ length: Number(values.seeds) }, (_, i) => first + i);
  const jobs = [...corpus.filter((seed) => !fresh.includes(seed)), ...fresh].map((seed) => ({ seed, judge }));
  const reports: SimReport[] = [];
  await runAll<Job, SimReport>(__filename, processCount, jobs, (report) => {
    reports.push(report);
    if (report.violation === null) return;
    say(`seed ${report.seed}: ${report.violation}\n  replay: npm run sim -- --seed ${report.seed} --trace`);
  });
  const figures = figuresOf(reports, performance.now() - startedMs);
  const rows = markRows(
    markNames,
    reports.map(({ marks }) => marks),
  );
  const missed = missedMarks(rows, reports.length);
  if (values.marks) for (const { name, seeds, hits } of rows) say(`${name.padEnd(48)} ${seeds} seeds ${hits} times`);
  const unmarked = missed.length === 0 ? [] : [`no seed of ${reports.length} has hit ${missed.join(', ')}`];
  const setting = {
    first,
    processes: processCount,
    marks: { known: rows.length, hit: rows.filter(({ seeds }) => seeds > 0).length },
    shortfalls: [...shortfalls(figures, jobs.length), ...unmarked],
  };
  for (const reason of setting.shortfalls) say(`sim: red, ${reason}`);
  if (values.record) record(figures, setting);
  if (values.out !== undefined) writeResult(values.out, figures, setting);
  say(summary(figures));
  process.exitCode = figures.red.length === 0 && setting.shortfalls.length === 0 ? 0 : 1;
}

async function speed(): Promise<void> {
  const found = measureSpeed(await loadKeyHash());
  for (const { what, ratio, goal } of found)
    say(`sim: ${what}: ${ratio.toFixed(0)}x real time on one core, goal ${goal}x`);
  process.exitCode = found.every(({ ratio, goal }) => ratio >= goal) ? 0 : 1;
}

function namesWanted(wanted: string): string[] {
  const known = mutations.map(({ name }) => name);
  if (wanted === 'all') return known;
  if (wanted === 'sample') return sampleOf(known, sampleSize, commitHash());
  return wanted === 'open' ? openMutations.map(({ name }) => name) : wanted.split(',');
}

async function hunts(wanted: string): Promise<void> {
  const names = namesWanted(wanted);
  const seedsMax = Number(values['max-seeds']);
  const order = [...mutations, ...openMutations].map(({ name }) => name);
  let survived = 0;
  const rows: PlantedRow[] = [];
  const judge = values.judge ? buildJudge() : null;
  const jobs = names.map((mutation) => ({ mutation, first, seedsMax, judge }));
  await runAll<Job, Hunt>(__filename, processCount, jobs, ({ mutation, seed, seedsRun, violation }) => {
    if (seed === null) survived++;
    const { what } = mutationNamed(mutation);
    rows.push({ name: mutation, what, numbers: checklist[mutation] ?? '', seed, seedsRun, first, by: violation });
    const found = seed === null ? `SURVIVED ${seedsRun} seeds` : `seed ${seed}: ${violation.split('\n')[0]}`;
    say(`${mutation.padEnd(28)} ${found}`);
    // At once: a hunt takes long, and what it has found stays found if it is cut off.
    if (values.record) recordPlanted(recordFile, order, rows);
  });
  say(`sim: ${names.length} planted bugs, ${names.length - survived} found, ${survived} survived`);
  process.exitCode = survived === 0 ? 0 : 1;
}

function main(): Promise<void> {
  if (values.worker) return work();
  if (values.speed) return speed();
  if (values.seed !== undefined) return replay(Number(values.seed));
  return values.mutations === undefined ? runSeeds() : hunts(values.mutations);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
