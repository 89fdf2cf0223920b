/**
 * Kill the leader while points are written, and lose nothing. Always on a cluster of its own: kills are not on the wire.
 *
 *     npm run example:failover                            actor, thread, machine: one after the other
 *     npm run example:failover -- --kills 10 --threads    ten leader threads, at random moments
 *     npm run example:failover -- --kills 10 --processes  ten leader processes with kill -9, three of each kind running
 *     npm run example:failover -- --kills 10 --of machine --seed 7 --writers 8
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Prng } from '../src/base/prng';
import { connect } from '../src/client/node';
import { recreateCollection } from './support/collections';
import { compareReplicas, waitUntilEqual } from './support/compare-replicas';
import { dimension, Ledger } from './support/ledger';
import { runExample } from './support/run-example';
import { openScene, type Scene, type Victim, victims } from './support/scene';
import { Writers } from './support/writers';

const collection = 'failover';
const shardCount = 2;
const pauseMsMax = 6_000;
const story: readonly Victim[] = ['actor', 'thread', 'machine'];

interface Options {
  /** In the order of their deaths. */
  readonly condemned: readonly Victim[];
  readonly writers: number;
  readonly seed: number;
}

async function main(): Promise<boolean> {
  const options = optionsOf(process.argv.slice(2));
  const folder = await mkdtemp(join(tmpdir(), 'vectron-ledger-'));
  const scene = await openScene(options.condemned);
  try {
    return await play(scene, new Ledger(join(folder, 'acknowledged'), options.seed), options);
  } finally {
    await scene.stop();
    await rm(folder, { recursive: true });
  }
}

function optionsOf(args: string[]): Options {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = { kills: text, of: text, threads: flag, processes: flag, writers: text, seed: text };
  const { values } = parseArgs({ args, options });
  const named = values.threads ? 'thread' : values.processes ? 'process' : values.of;
  const of = victims.find((victim) => victim === (named ?? 'thread'));
  if (of === undefined) throw new Error(`--of must be one of ${victims.join(', ')}`);
  const kills = Number(values.kills ?? (named === undefined ? 0 : 1));
  const [writers, seed] = [Number(values.writers ?? 8), Number(values.seed ?? 1)];
  if (![kills, writers, seed].every(Number.isInteger))
    throw new Error('--kills, --writers and --seed take whole numbers');
  return { condemned: kills === 0 ? story : Array<Victim>(kills).fill(of), writers, seed };
}

async function play(scene: Scene, ledger: Ledger, { condemned, writers: count, seed }: Options): Promise<boolean> {
  const client = connect({ url: scene.grpcAddress, apiKey: scene.apiKey });
  await recreateCollection(client, {
    name: collection,
    dimension,
    distance: 'cosine',
    shardCount,
    replicationFactor: 3,
  });
  const writers = new Writers([client], collection, ledger, count);
  console.log(`${count} clients write points; each acknowledgement is in a file before it counts`);
  writers.start();
  try {
    await killAll(scene, writers, condemned, new Prng(seed));
  } finally {
    await writers.stop();
    client.close();
  }
  await waitUntilEqual(scene.replicas, collection, 60_000);
  const comparison = await compareReplicas(scene.replicas, collection, ledger);
  const pauseMs = writers.longestWaitMs;
  const lost = comparison.lost + comparison.different;
  console.log(
    `failover: ${condemned.length} leaders killed (${shownVictims(condemned)}), ${comparison.acknowledged} points acknowledged, ` +
      `${lost} lost or changed on ${comparison.replicas} replicas, longest pause ${(pauseMs / 1000).toFixed(2)} s`,
  );
  return lost === 0 && comparison.acknowledged > 0 && pauseMs <= pauseMsMax;
}

const shownVictims = (condemned: readonly Victim[]): string =>
  [...new Set(condemned)].map((kind) => `${condemned.filter((one) => one === kind).length} by ${kind}`).join(', ');

async function killAll(scene: Scene, writers: Writers, condemned: readonly Victim[], random: Prng): Promise<void> {
  for (const victim of condemned) {
    await sleep(random.between(500, 2_500));
    const shardIndex = random.between(0, shardCount - 1);
    const before = writers.acknowledged;
    const killedMs = performance.now();
    const { node, replica } = await scene.killLeader(victim, collection, shardIndex);
    console.log(
      `killed the leader's ${victim}: replica ${replica} of shard ${shardIndex} on ${node}, after ${before} acknowledgements`,
    );
    const resumedMs = await writers.everyWriterAcknowledged(30_000);
    console.log(`  every client was served again ${((resumedMs - killedMs) / 1000).toFixed(2)} s later`);
    await restartDead(scene);
  }
}

async function restartDead(scene: Scene): Promise<void> {
  for (const node of await scene.restartDead()) console.log(`  restarted ${node}`);
}

runExample(main);
