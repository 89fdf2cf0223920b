import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { connect, NotFoundError, type PointInput, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster, ReplicaView } from '../../src/server/dev-cluster-types';
import { storedKeys } from './stored';
import { dropFolders, eventually, freshFolder, say, secondsSince } from './support';

jest.setTimeout(60_000);

const dimension = 16;
const pointCount = 1_500;
const random = new Prng(7);
const points = new Map<string, PointInput>();
const deleted = new Map<string, PointInput>();
const folder = freshFolder();
let cluster: DevCluster;
let client: VectronClient;

const newPoint = (id: string): PointInput => ({
  id,
  vector: Float32Array.from({ length: dimension }, () => random.gaussian()),
  payload: { id, note: random.uint32() },
});

async function start(): Promise<void> {
  const startedMs = performance.now();
  cluster = await startDevCluster({ dataDirectory: folder });
  client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
  say(`cluster ready after ${secondsSince(startedMs)}`);
}

async function stop(): Promise<void> {
  client?.close();
  await cluster?.stop();
}

const graphFolder = (machine: string): string => join(folder, machine, 'graphs');
const graphFiles = (): string[] =>
  cluster.machines.flatMap(({ node }) => readdirSync(graphFolder(node)).map((file) => join(graphFolder(node), file)));

afterAll(() => stop().finally(dropFolders));

describe('a local cluster', () => {
  let before: readonly ReplicaView[];

  test('keeps its API key where only its owner can read it', async () => {
    await start();
    expect(statSync(join(folder, 'api-key')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, 'api-key'), 'utf8')).toBe(`${cluster.apiKey}\n`);
  });

  test('writes graph files of what it is given, and takes updates and deletions after them', async () => {
    const shape = { dimension, distance: 'euclidean', shardCount: 1, replicationFactor: 3 } as const;
    await client.createCollection({ name: 'docs', ...shape }, { timeoutMs: 30_000 });
    await client.createCollection({ name: 'kept', ...shape }, { timeoutMs: 30_000 });
    for (let i = 0; i < pointCount; i++) points.set(`p${i}`, newPoint(`p${i}`));
    expect(await client.upsertBatch('docs', points.values())).toBe(pointCount);
    await client.upsert('kept', [newPoint('a'), newPoint('b')]);
    await eventually('each replica has a graph file', 30_000, () => graphFiles().length === 3);

    for (let i = 0; i < 100; i++) points.set(`p${i}`, newPoint(`p${i}`));
    await client.upsert('docs', [...points.values()].slice(0, 100));
    const doomed = Array.from({ length: 100 }, (_, i) => `p${100 + i}`);
    for (const id of doomed) {
      deleted.set(id, points.get(id) as PointInput);
      points.delete(id);
    }
    expect((await client.delete('docs', doomed)).count).toBe(100);
    await expectContents();
    before = await equalReplicas('docs');
  });

  test('a second start finds everything within 10 s, whatever became of the graph files', async () => {
    const [damaged, missing] = graphFiles() as [string, string];
    await stop();
    const bytes = readFileSync(damaged);
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
    writeFileSync(damaged, bytes);
    rmSync(missing);

    const startedMs = performance.now();
    await start();
    const some = points.get('p7') as PointInput;
    expect((await client.search('docs', { vector: some.vector, topK: 1 })).results[0]?.id).toBe('p7');
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await expectContents();
    const after = await equalReplicas('docs');
    const contents = (views: readonly ReplicaView[]) =>
      views.map(({ replica, points: count, digest }) => ({ replica, count, digest }));
    expect(contents(after)).toEqual(contents(before));
  });

  test('a deleted collection leaves nothing but tombstones on any machine', async () => {
    const [doomed, kept] = [await idsOf('docs'), await idsOf('kept')];
    await client.deleteCollection('docs');
    await expect(client.collectionStatus('docs')).rejects.toBeInstanceOf(NotFoundError);
    await eventually('every machine has removed its replica', 15_000, () =>
      cluster.machines.every(({ replicas }) => replicas.every(({ replica }) => !doomed.includes(replica))),
    );
    expect(graphFiles()).toEqual([]);
    await stop();
    for (const { node } of cluster.machines) {
      const stored = await storedKeys(join(folder, node), 'vectron-local');
      const none = { points: 0, replicaState: 0, entries: 0, hardStates: 0, logRecords: 1 };
      const of = (replicas: readonly number[]) => [...stored].filter(([replica]) => replicas.includes(replica));
      expect(of(doomed).map(([, keys]) => keys)).toEqual([none]);
      expect(of(kept).map(([, { points: count, hardStates }]) => [count, hardStates])).toEqual([[2, 1]]);
    }
    await start();
    expect(await client.listCollections()).toEqual(['kept']);
    await expect(client.get('docs', 'p7')).rejects.toBeInstanceOf(NotFoundError);
    expect(await client.find('kept', 'a')).not.toBeNull();
  });

  test('a collection of a deleted one’s name begins empty', async () => {
    const shape = { dimension: 2, distance: 'dot', shardCount: 2, replicationFactor: 3 } as const;
    await client.createCollection({ name: 'docs', ...shape }, { timeoutMs: 30_000 });
    expect((await client.collectionStatus('docs')).points).toBe(0);
    expect(await client.find('docs', 'p7')).toBeNull();
    expect(existsSync(join(folder, 'cluster.json'))).toBe(false);
  });
});

const idsOf = async (name: string): Promise<number[]> =>
  (await cluster.replicasOf(name)).map(({ replica }) => replica as number);

/** By the public calls, and on each replica itself. */
async function expectContents(): Promise<void> {
  expect(await client.getMany('docs', [...deleted.keys()])).toEqual([]);
  for (const { id, vector } of [...points.values()].filter((_, i) => i % 50 === 0)) {
    for (const exact of [false, true]) {
      const { results } = await client.search('docs', { vector, topK: 1, exact, consistency: 'eventual' });
      expect(results.map((hit) => hit.id)).toEqual([id]);
    }
  }
  for (const { vector, id } of deleted.values()) {
    const { results } = await client.search('docs', { vector, topK: 5 });
    expect(results.map((hit) => hit.id)).not.toContain(id);
  }
  const wanted = new Map([...points].map(([id, { vector, payload }]) => [id, { vector: [...vector], payload }]));
  for (const { replica } of await equalReplicas('docs')) {
    const stored = new Map<string, unknown>();
    for await (const { id, vector, payload } of cluster.scanReplica(replica)) {
      const floats = new Float32Array(vector.slice().buffer);
      stored.set(id, { vector: [...floats], payload: JSON.parse(Buffer.from(payload).toString()) });
    }
    expect(stored.size).toBe(wanted.size);
    expect(stored).toEqual(wanted);
  }
}

/** The three replicas of a collection of one shard, once they stand at one index with one digest. */
async function equalReplicas(name: string): Promise<readonly ReplicaView[]> {
  let views: readonly ReplicaView[] = [];
  await eventually(`replicas of ${name} are equal`, 15_000, async () => {
    views = await cluster.replicasOf(name);
    return views.length === 3 && new Set(views.map((view) => `${view.appliedIndex} ${view.digest}`)).size === 1;
  });
  return views;
}
