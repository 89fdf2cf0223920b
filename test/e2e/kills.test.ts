import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { compareReplicas, waitUntilEqual } from '../../examples/support/compare-replicas';
import { dimension, Ledger } from '../../examples/support/ledger';
import { Writers } from '../../examples/support/writers';
import { Prng } from '../../src/base/prng';
import { connect, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster, ThreadKind } from '../../src/server/dev-cluster-types';
import { seededPause } from '../support/pause';
import { dropFolders, eventually, freshFolder, say, secondsSince } from './support';

jest.setTimeout(90_000);

const seed = 1;
const killCount = 100;
/** What one kill in a hundred is: log and link threads serve a whole machine, so they are struck more often than not. */
const kinds: readonly ThreadKind[] = ['shard', 'shard', 'log', 'link'];
const collection = 'ledger';
const folder = freshFolder();
let cluster: DevCluster;
let client: VectronClient;

beforeAll(async () => {
  cluster = await startDevCluster({ dataDirectory: folder });
  client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
  const shape = { dimension, distance: 'cosine', shardCount: 4, replicationFactor: 3 } as const;
  await client.createCollection({ name: collection, ...shape }, { timeoutMs: 30_000 });
});

afterAll(async () => {
  client?.close();
  await cluster?.stop().finally(dropFolders);
});

test('a hundred threads killed at random moments under load cost nothing that was acknowledged', async () => {
  const random = new Prng(seed);
  const ledger = new Ledger(join(folder, 'acknowledged'), seed);
  const writers = new Writers([client], collection, ledger, 4);
  writers.start();
  await eventually('50 acknowledgements', 20_000, () => writers.acknowledged >= 50);

  const startedMs = performance.now();
  const killed = { shard: 0, log: 0, link: 0 };
  while (killed.shard + killed.log + killed.link < killCount) {
    await seededPause(random, 0, 400);
    const kind = random.pick(kinds);
    if (await random.pick(cluster.machines).killThread(kind, random.float())) killed[kind]++;
  }
  say(`killed ${JSON.stringify(killed)} in ${secondsSince(startedMs)}, ${writers.acknowledged} acknowledged so far`);
  expect(Math.min(...Object.values(killed))).toBeGreaterThan(10);

  const recoveryMs = performance.now();
  // Replicas that ended again and again are started with a delay of up to ten seconds.
  await writers.everyWriterAcknowledged(30_000);
  say(`all clients were served ${secondsSince(recoveryMs)} after the last kill`);
  await writers.stop();
  await waitUntilEqual(cluster, collection, 20_000);
  expect(await compareReplicas(cluster, collection, ledger)).toEqual({
    acknowledged: writers.acknowledged,
    replicas: 12,
    lost: 0,
    different: 0,
  });
  say(`${writers.acknowledged} acknowledged, longest pause ${(writers.longestWaitMs / 1000).toFixed(2)} s`);
});
