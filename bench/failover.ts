/**
 * How long nobody is served when a shard's leader dies: from the kill to the next acknowledged write.
 *
 *     npm run bench:failover -- [--kills N] [--rate R] [--victims process,thread | link] [--seed S]
 *
 * Three placement drivers, three workers and three gateways, each a process; one shard of three replicas with the shipped
 * settings. A client writes through one gateway at a fixed rate, whether or not it is answered, and its latencies count
 * from when a write was due. The victim is whatever leads: its process (kill -9), its shard thread, or the link thread of
 * its process. Fails when p50 or p99 of the pause is above its goal, or when an acknowledged write is not there at the end.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../src/base/prng';
import { connect } from '../src/client/node';
import { ProcessCluster } from '../src/server/process-cluster';
import { killThread, threadKillHook } from '../test/chaos/targets';
import { OpenLoop } from './failover/open-loop';
import { judge, type Pause, spread, type Victim, victimsOf } from './failover/verdict';
import { optionsOf } from './support/options';

const collection = 'failover';
const callMsMax = 20_000;
const pauseMsMax = 60_000;
const settledMsMax = 60_000;
/** A follower this close to its leader is as good a successor as any. */
const entriesBehindMax = 50;

const entryFiles: Readonly<Record<Victim, string>> = { process: '', thread: 'piscina', link: 'link-thread' };

interface Settings {
  readonly kills: number;
  readonly rate: number;
  readonly victims: readonly Victim[];
  readonly seed: number;
}

function settings(): Settings {
  const defaults = { kills: 20, rate: 50, victims: 'process,thread', seed: 1 } as const;
  const { victims, ...others } = optionsOf(process.argv.slice(2), defaults);
  return { ...others, victims: victimsOf(victims) };
}

async function startCluster(dataDirectory: string, victims: readonly Victim[]): Promise<ProcessCluster> {
  const only = victims.map((victim) => entryFiles[victim]).find((file) => file !== '') ?? '';
  const environment = { NODE_OPTIONS: threadKillHook, THREAD_KILL_ONLY: only, VECTRON_SHARD_THREADS: '1' };
  return await ProcessCluster.start({ dataDirectory, environment });
}

interface Kill {
  readonly orderedMs: number;
  bringBack(): Promise<void>;
}

/** Kills what leads; resolves when it is gone. Threads come back by themselves. */
async function kill(cluster: ProcessCluster, victim: Victim): Promise<Kill> {
  const node = cluster.process((await cluster.leaderOf(collection, 0)).node);
  const orderedMs = performance.now();
  if (victim === 'process') await node.kill9();
  else await killThread(node);
  return { orderedMs, bringBack: () => node.restart() };
}

/** Resolves when three replicas answer, one of them leads, and none is far behind. */
async function settled(cluster: ProcessCluster): Promise<void> {
  const untilMs = performance.now() + settledMsMax;
  for (;;) {
    const views = await cluster.replicasOf(collection).catch(() => []);
    const leader = views.find(({ role }) => role === 'leader');
    const isLevel = views.every(
      (view) => view.role !== '' && view.appliedIndex + entriesBehindMax > (leader?.appliedIndex ?? 0),
    );
    if (leader !== undefined && views.length === 3 && isLevel) return;
    if (performance.now() > untilMs) throw new Error(`the replicas did not catch up within ${settledMsMax} ms`);
    await sleep(100);
  }
}

async function measure(cluster: ProcessCluster, load: OpenLoop, { kills, victims, seed }: Settings): Promise<Pause[]> {
  const random = new Prng(seed);
  const pauses: Pause[] = [];
  for (let n = 0; n < kills; n++) {
    await settled(cluster);
    // So that kills fall anywhere between two heartbeats.
    await sleep(random.between(500, 1_500));
    const victim = victims[n % victims.length] as Victim;
    const { orderedMs, bringBack } = await kill(cluster, victim);
    const pauseMs = (await load.acknowledgedSince(performance.now(), pauseMsMax)) - orderedMs;
    pauses.push({ victim, pauseMs });
    console.error(`kill ${n + 1} of ${kills}: ${victim}, ${pauseMs.toFixed(0)} ms`);
    await bringBack();
  }
  return pauses;
}

/** Prints the figures; true if they are what they have to be. */
function report(pauses: readonly Pause[], load: OpenLoop, lost: number, { victims }: Settings): boolean {
  const verdict = judge(pauses, victims, lost);
  for (const text of verdict.lines) console.log(text);
  console.log(`writes from when they were due: ${spread(load.latenciesMs)}`);
  for (const [message, count] of load.failures) console.log(`${count} writes failed: ${message}`);
  console.log(`${load.ackedCount} writes acknowledged, ${lost} of them lost`);
  console.log(`${availableParallelism()} processors, load ${loadavg()[0]?.toFixed(1)}, node ${process.version}`);
  return verdict.isGreen;
}

async function main(): Promise<boolean> {
  const chosen = settings();
  const folder = mkdtempSync(join(tmpdir(), 'vectron-failover-'));
  const cluster = await startCluster(folder, chosen.victims);
  const client = connect({ url: cluster.grpcAddresses[0] ?? '', apiKey: cluster.apiKey, timeoutMs: callMsMax });
  try {
    await client.createCollection({ name: collection, dimension: 2, distance: 'euclidean', shardCount: 1 });
    const load = new OpenLoop(client, collection, chosen.rate);
    load.start();
    const pauses = await measure(cluster, load, chosen);
    await load.stop();
    return report(pauses, load, await load.lostCount(), chosen);
  } finally {
    client.close();
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

main()
  .then((isGreen) => {
    if (!isGreen) console.error('failover: red');
    process.exitCode = isGreen ? 0 : 1;
  })
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
