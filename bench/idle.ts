import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect } from '../src/client/node';
import { ProcessCluster } from '../src/server/process-cluster';

/**
 * What groups cost that nobody asks for anything: three workers, each with one replica of every group. The bar: under 1 %
 * of a core and under 1 MB of memory a group, on every worker. Ends with one line of figures, and with 1 if one is missed.
 *
 *   npm run bench:idle -- [--groups 1000] [--seconds 30]
 */
const { values } = parseArgs({
  options: { groups: { type: 'string', default: '1000' }, seconds: { type: 'string', default: '30' } },
});
const groups = Number(values.groups);
const seconds = Number(values.seconds);
const coreShareMax = 0.01;
const groupBytesMax = 1024 * 1024;
const createMsMax = 300_000;
/** Until the first checksums are compared and every group has fallen asleep. */
const calmMs = 30_000;

const ticksASecond = Number(execFileSync('getconf', ['CLK_TCK']).toString());

interface Usage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

/** Of a process and all its threads (proc(5)). */
function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // After the name, which may hold spaces: field 14 is utime, field 15 stime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / ticksASecond;
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { cpuSeconds, rssBytes: Number(rss) * 1024 };
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(2);
const percent = (share: number): string => (share * 100).toFixed(2);

async function measure(cluster: ProcessCluster): Promise<boolean> {
  const pids = cluster.workers.map(({ pid }) => pid as number);
  const empty = pids.map(usageOf);
  const client = connect({ url: cluster.grpcAddresses[0] ?? '', apiKey: cluster.apiKey });
  const startedMs = performance.now();
  await client.createCollection(
    { name: 'idle', dimension: 8, distance: 'euclidean', shardCount: groups, replicationFactor: 3 },
    { timeoutMs: createMsMax },
  );
  client.close();
  say(`${groups} groups created and led after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  await sleep(calmMs);
  const before = pids.map(usageOf);
  const beforeMs = performance.now();
  await sleep(seconds * 1000);
  const after = pids.map(usageOf);
  const elapsed = (performance.now() - beforeMs) / 1000;
  const shares = after.map(({ cpuSeconds }, i) => (cpuSeconds - (before[i]?.cpuSeconds ?? 0)) / elapsed);
  const bytes = after.map(({ rssBytes }, i) => (rssBytes - (empty[i]?.rssBytes ?? 0)) / groups);
  for (const [i, { node }] of cluster.workers.entries()) {
    say(`${node}: ${percent(shares[i] ?? 0)} % of a core, ${mebibytes(bytes[i] ?? 0)} MB a group`);
  }
  const worstShare = Math.max(...shares);
  const worstBytes = Math.max(...bytes);
  const holds = worstShare < coreShareMax && worstBytes < groupBytesMax;
  const figures = `${percent(worstShare)} % of a core (bar 1), ${mebibytes(worstBytes)} MB a group (bar 1)`;
  say(`bench:idle ${holds ? 'ok' : 'MISSED'}: ${groups} groups a worker, ${figures}, over ${seconds} s`);
  return holds;
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
