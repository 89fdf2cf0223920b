import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { loadKeyHash } from '../../src/protocol/node/xxh3';
import { runSeed, type SimReport } from './run';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: String(Math.min(2, cpus().length)) },
    trace: { type: 'boolean', default: false },
    worker: { type: 'boolean', default: false },
  },
});
const first = Number(values.first);
const count = Number(values.seeds);
const jobs = Number(values.jobs);
/** One seed in a hundred runs twice and must leave the same trace. */
const repeatEvery = 100;
const tellingShareMin = 0.95;

async function replay(seed: number): Promise<void> {
  const keyHash = await loadKeyHash();
  const report = runSeed(seed, keyHash, values.trace ? (line) => process.stdout.write(`${line}\n`) : null);
  process.stdout.write(`${JSON.stringify(report)}\n`);
  process.exitCode = report.violation === null ? 0 : 1;
}

/** In a child process: seeds come in, reports go out. */
async function serve(): Promise<void> {
  const keyHash = await loadKeyHash();
  process.on('message', (seed: number) => {
    const report = runSeed(seed, keyHash, null);
    const again = seed % repeatEvery === 0 ? runSeed(seed, keyHash, null).traceHash : report.traceHash;
    const drift = again === report.traceHash ? null : `not deterministic: trace ${report.traceHash}, then ${again}`;
    process.send?.({ ...report, violation: report.violation ?? drift });
  });
  process.send?.('ready');
}

function runAll(onReport: (report: SimReport) => void): Promise<void> {
  let next = first;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(__filename, ['--worker']);
      const feed = (): void => {
        if (next < first + count) child.send(next++);
        else child.disconnect();
      };
      child.on('message', (message: SimReport | 'ready') => {
        if (message !== 'ready') onReport(message);
        feed();
      });
      child.on('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`a simulator process ended with ${code}`)),
      );
    });
  return Promise.all(Array.from({ length: jobs }, one)).then(() => undefined);
}

async function main(): Promise<void> {
  const startedMs = performance.now();
  const reports: SimReport[] = [];
  await runAll((report) => {
    reports.push(report);
    if (report.violation !== null) {
      process.stdout.write(
        `seed ${report.seed}: ${report.violation}\n  replay: npm run sim -- --seed ${report.seed} --trace\n`,
      );
    }
  });
  const sum = (pick: (report: SimReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const elapsedMs = performance.now() - startedMs;
  const failed = reports.filter((report) => report.violation !== null).length;
  const telling = reports.filter((report) => report.telling).length / Math.max(1, reports.length);
  const enough = reports.length === count && telling >= tellingShareMin;
  process.stdout.write(
    `sim: ${reports.length} seeds, ${failed} red, ${(telling * 100).toFixed(1)} % telling, ` +
      `${sum((r) => r.acknowledged)} writes acknowledged, ${sum((r) => r.reads)} reads checked, ${sum((r) => r.crashes)} crashes, ` +
      `${sum((r) => r.partitions)} partitions, ${sum((r) => r.leaderChanges)} leader changes, ${sum((r) => r.threadKills)} thread kills, ` +
      `${sum((r) => r.actorKills)} actor kills, ${sum((r) => r.snapshotsInstalled)} snapshots installed, ${(sum((r) => r.simulatedMs) / elapsedMs).toFixed(0)}x real time, ${(elapsedMs / 1000).toFixed(0)} s\n`,
  );
  if (!enough) process.stdout.write(`sim: red, a run must be telling in ${tellingShareMin * 100} % of its seeds\n`);
  process.exitCode = failed === 0 && enough ? 0 : 1;
}

const task = values.worker ? serve() : values.seed !== undefined ? replay(Number(values.seed)) : main();
task.catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
