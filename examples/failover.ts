/**
 * Kill the leader while points are written, and lose nothing. Always on a cluster of its own: kills are not on the wire.
 *
 *     npm run example:failover                        actor, thread, machine: one after the other
 *     npm run example:failover -- --kills 10          ten leader threads, at random moments
 *     npm run example:failover -- --kills 10 --of machine --seed 7 --writers 8
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Prng } from '../src/base/prng';
import { connect } from '../src/client/node';
import type { DevCluster, KilledReplica } from '../src/server/dev-cluster-types';
import { startOwnCluster, stopOwnCluster } from './support/cluster';
import { recreateCollection } from './support/collections';
import { compareReplicas, waitUntilEqual } from './support/compare-replicas';
import { dimension, Ledger } from './support/ledger';
import { runExample } from './support/run-example';
import { Writers } from './support/writers';

const collection = 'failover';
const shardCount = 2;
const pauseMsMax = 6_000;

type Victim = 'actor' | 'thread' | 'machine';

interface Options {
  readonly victims: readonly Victim[];
  readonly writers: number;
  readonly seed: number;
}

async function main(): Promise<boolean> {
  const options = optionsOf(process.argv.slice(2));
  const folder = await mkdtemp(join(tmpdir(), 'vectron-ledger-'));
  const cluster = await startOwnCluster();
  try {
    return await story(cluster, new Ledger(join(folder, 'acknowledged'), options.seed), options);
  } finally {
    await stopOwnCluster(cluster);
    await rm(folder, { recursive: true });
  }
}

function optionsOf(args: string[]): Options {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args, options: { kills: text, of: text, writers: text, seed: text } });
  const of = values.of ?? 'thread';
  if (of !== 'actor' && of !== 'thread' && of !== 'machine') throw new Error('--of must be actor, thread or machine');
  const kills = Number(values.kills ?? 0);
  const [writers, seed] = [Number(values.writers ?? 8), Number(values.seed ?? 1)];
  if (![kills, writers, seed].every(Number.isInteger))
    throw new Error('--kills, --writers and --seed take whole numbers');
  const victims: readonly Victim[] = kills === 0 ? ['actor', 'thread', 'machine'] : Array<Victim>(kills).fill(of);
  return { victims, writers, seed };
}

async function story(
  cluster: DevCluster,
  ledger: Ledger,
  { victims, writers: count, seed }: Options,
): Promise<boolean> {
  const client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
  await recreateCollection(client, {
    name: collection,
    dimension,
    distance: 'cosine',
    shardCount,
    replicationFactor: 3,
  });
  const writers = new Writers(client, collection, ledger, count);
  console.log(`${count} clients write points; each acknowledgement is in a file before it counts`);
  writers.start();
  try {
    await killAll(cluster, writers, victims, new Prng(seed));
  } finally {
    await writers.stop();
    client.close();
  }
  await waitUntilEqual(cluster, collection, 60_000);
  const comparison = await compareReplicas(cluster, collection, ledger);
  const pauseMs = writers.longestWaitMs;
  const lost = comparison.lost + comparison.different;
  console.log(
    `failover: ${victims.length} leaders killed (${shownVictims(victims)}), ${comparison.acknowledged} points acknowledged, ` +
      `${lost} lost or changed on ${comparison.replicas} replicas, longest pause ${(pauseMs / 1000).toFixed(2)} s`,
  );
  return lost === 0 && comparison.acknowledged > 0 && pauseMs <= pauseMsMax;
}

const shownVictims = (victims: readonly Victim[]): string =>
  [...new Set(victims)].map((kind) => `${victims.filter((victim) => victim === kind).length} by ${kind}`).join(', ');

async function killAll(cluster: DevCluster, writers: Writers, victims: readonly Victim[], random: Prng): Promise<void> {
  for (const victim of victims) {
    await sleep(random.between(500, 2_500));
    const shardIndex = random.between(0, shardCount - 1);
    const before = writers.acknowledged;
    const killedMs = performance.now();
    const { node, replica } = await kill(cluster, victim, shardIndex);
    console.log(
      `killed the leader's ${victim}: replica ${replica} of shard ${shardIndex} on ${node}, after ${before} acknowledgements`,
    );
    const resumedMs = await writers.everyWriterAcknowledged(30_000);
    console.log(`  every client was served again ${((resumedMs - killedMs) / 1000).toFixed(2)} s later`);
    await restartMachines(cluster);
  }
}

function kill(cluster: DevCluster, victim: Victim, shardIndex: number): Promise<KilledReplica> {
  switch (victim) {
    case 'actor':
      return cluster.killLeaderActor(collection, shardIndex);
    case 'thread':
      return cluster.killLeaderThread(collection, shardIndex);
    case 'machine':
      return cluster.killLeaderMachine(collection, shardIndex);
  }
}

async function restartMachines(cluster: DevCluster): Promise<void> {
  for (const machine of cluster.machines.filter(({ alive }) => !alive)) {
    await machine.restart();
    console.log(`  restarted ${machine.node}`);
  }
}

runExample(main);
