import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { compareReplicas, waitUntilEqual } from '../../examples/support/compare-replicas';
import { dimension, Ledger } from '../../examples/support/ledger';
import { Writers } from '../../examples/support/writers';
import { connect, type VectronClient } from '../../src/client/node';
import { ProcessCluster } from '../../src/server/process-cluster';
import { dropFolders, eventually, freshFolder, isAlive, say, secondsSince } from './support';

jest.setTimeout(90_000);

const collection = 'ledger';
const pauseMsMax = 6_000;

describe('three processes of each kind', () => {
  let folder: string;
  let cluster: ProcessCluster;
  let clients: [VectronClient, VectronClient];

  beforeAll(async () => {
    folder = freshFolder();
    const startedMs = performance.now();
    cluster = await ProcessCluster.start({ dataDirectory: folder });
    say(`nine processes ready after ${secondsSince(startedMs)}`);
    const [first = '', second = ''] = cluster.grpcAddresses;
    const { apiKey } = cluster;
    clients = [connect({ url: first, apiKey }), connect({ url: second, apiKey })];
  });

  afterAll(async () => {
    for (const client of clients ?? []) client.close();
    await cluster?.stop().finally(dropFolders);
  });

  test('a worker and the placement leader killed with signal 9 cost nothing that was acknowledged', async () => {
    const options = { dimension, distance: 'cosine', shardCount: 2, replicationFactor: 3 } as const;
    await clients[0].createCollection({ name: collection, ...options }, { timeoutMs: 30_000 });
    const ledger = new Ledger(join(folder, 'acknowledged'), 1);
    const writers = new Writers(clients, collection, ledger, 4);
    writers.start();
    await eventually('100 acknowledgements', 20_000, () => writers.acknowledged >= 100);

    const { node } = await cluster.killLeaderProcess(collection, 0);
    expect(cluster.process(node).alive).toBe(false);
    const killedMs = performance.now();
    await writers.everyWriterAcknowledged(15_000);
    say(`writes went on ${secondsSince(killedMs)} after kill -9 of ${node}`);
    const restartedMs = performance.now();
    await cluster.process(node).restart();
    await cluster.workersReady(15_000);
    say(`${node} was back, its replicas following, after ${secondsSince(restartedMs)}`);

    const placement = await cluster.placementLeader();
    await placement.kill9();
    const placementKilledMs = performance.now();
    // Writing needs no placement driver.
    await writers.everyWriterAcknowledged(5_000);
    // Another one leads, and is found by a gateway that followed the dead one.
    await clients[1].createCollection({ name: 'after', ...options, shardCount: 1 }, { timeoutMs: 30_000 });
    say(`a collection was created ${secondsSince(placementKilledMs)} after kill -9 of ${placement.node}`);
    await placement.restart();

    await writers.stop();
    expect(writers.acknowledged).toBeGreaterThan(150);
    expect(writers.longestWaitMs).toBeLessThanOrEqual(pauseMsMax);
    await waitUntilEqual(cluster, collection, 20_000);
    expect(await compareReplicas(cluster, collection, ledger)).toEqual({
      acknowledged: writers.acknowledged,
      replicas: 6,
      lost: 0,
      different: 0,
    });
    say(`${writers.acknowledged} acknowledged, longest pause ${(writers.longestWaitMs / 1000).toFixed(2)} s`);
    await placementNodesAgree();
  });

  test('all processes stop when asked to, and leave none behind', async () => {
    const pids = cluster.nodes.map(({ pid }) => pid as number);
    for (const node of [...cluster.gateways, ...cluster.workers, ...cluster.placement]) {
      expect({ node: node.node, end: await node.stop() }).toEqual({ node: node.node, end: { code: 0, signal: null } });
    }
    expect(pids.filter(isAlive)).toEqual([]);
  });

  async function placementNodesAgree(): Promise<void> {
    await eventually('placement nodes hold equal records', 10_000, async () => {
      const states = await cluster.placementStates();
      return states.length === 3 && new Set(states.map(({ revision, digest }) => `${revision} ${digest}`)).size === 1;
    });
  }
});
