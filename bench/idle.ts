import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../src/client/node';
import { ProcessCluster } from '../src/server/process-cluster';
import { median } from './support/figures';
import { optionsOf } from './support/options';

/**
 * What groups cost that nobody asks for anything: three workers, each with one replica of every group. The bar: under 1 %
 * of a core, the median of some windows, and under 1 MB of memory a group, on every worker. Ends with one line of figures,
 * and with 1 if one is missed. With 0 groups it shows what a worker costs that has none.
 *
 *   npm run bench:idle -- [--groups 1000] [--windows 5] [--seconds 20]
 */
const { groups, windows, seconds } = optionsOf(process.argv.slice(2), { groups: 1_000, windows: 5, seconds: 20 });
const coreShareMax = 0.01;
const groupBytesMax = 1024 * 1024;
const createMsMax = 600_000;
/** Until the first checksums are compared, every group has fallen asleep, and what will be compiled has been. */
const calmMs = 45_000;

const ticksASecond = Number(execFileSync('getconf', ['CLK_TCK']).toString());

interface Usage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
  /** Times a thread went to sleep and was woken. */
  readonly wakeUps: number;
}

/** Of a process and all its threads (proc(5)). */
function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // After the name, which may hold spaces: field 14 is utime, field 15 stime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / ticksASecond;
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const wakeUps = readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + wakeUpsOf(pid, task), 0);
  return { cpuSeconds, rssBytes: Number(rss) * 1024, wakeUps };
}

function wakeUpsOf(pid: number, task: string): number {
  const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]);
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(2);
const percent = (share: number): string => (share * 100).toFixed(2);

async function createGroups(cluster: ProcessCluster): Promise<void> {
  if (groups === 0) return;
  const client = connect({ url: cluster.grpcAddresses[0] ?? '', apiKey: cluster.apiKey });
  const startedMs = performance.now();
  await client.createCollection(
    { name: 'idle', dimension: 8, distance: 'euclidean', shardCount: groups, replicationFactor: 3 },
    { timeoutMs: createMsMax },
  );
  client.close();
  say(`${groups} groups created and led after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
}

/** The share of a core that each process used, and its wake-ups a second. */
async function window(pids: readonly number[]): Promise<{ readonly share: number; readonly wakeUps: number }[]> {
  const before = pids.map(usageOf);
  const beforeMs = performance.now();
  await sleep(seconds * 1000);
  const after = pids.map(usageOf);
  const elapsed = (performance.now() - beforeMs) / 1000;
  return after.map(({ cpuSeconds, wakeUps }, i) => ({
    share: (cpuSeconds - (before[i]?.cpuSeconds ?? 0)) / elapsed,
    wakeUps: (wakeUps - (before[i]?.wakeUps ?? 0)) / elapsed,
  }));
}

async function measure(cluster: ProcessCluster): Promise<boolean> {
  const pids = cluster.nodes.map(({ pid }) => pid as number);
  const empty = pids.map((pid) => usageOf(pid).rssBytes);
  await createGroups(cluster);
  await sleep(calmMs);
  const seen: Awaited<ReturnType<typeof window>>[] = [];
  for (let i = 0; i < windows; i++) seen.push(await window(pids));
  const figures = cluster.nodes.map(({ node, kind, pid }, i) => {
    const shares = seen.map((each) => each[i]?.share ?? 0);
    const share = median(shares);
    const wakeUps = median(seen.map((each) => each[i]?.wakeUps ?? 0));
    const bytes = (usageOf(pid as number).rssBytes - (empty[i] ?? 0)) / Math.max(groups, 1);
    const range = `${percent(Math.min(...shares))} to ${percent(Math.max(...shares))}`;
    const memory = kind === 'worker' && groups > 0 ? `, ${mebibytes(bytes)} MB a group` : '';
    say(`${node}: ${percent(share)} % of a core (${range}), ${wakeUps.toFixed(0)} wake-ups a second${memory}`);
    return { kind, share, bytes };
  });
  const workers = figures.filter(({ kind }) => kind === 'worker');
  const worstShare = Math.max(...workers.map(({ share }) => share));
  const worstBytes = Math.max(...workers.map(({ bytes }) => bytes));
  const holds = worstShare < coreShareMax && worstBytes < groupBytesMax;
  const verdict = `${percent(worstShare)} % of a core (bar 1), ${mebibytes(worstBytes)} MB a group (bar 1)`;
  const over = `the median of ${windows} windows of ${seconds} s`;
  say(`bench:idle ${holds || groups === 0 ? 'ok' : 'MISSED'}: ${groups} groups a worker, ${verdict}, ${over}`);
  return holds || groups === 0;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'vectron-idle-'));
  const cluster = await ProcessCluster.start({ dataDirectory: folder });
  try {
    if (!(await measure(cluster))) process.exitCode = 1;
  } finally {
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
