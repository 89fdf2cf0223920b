import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { connect, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster } from '../../src/server/dev-cluster-types';
import { eventually } from '../e2e/support';

jest.setTimeout(90_000);

const folder = mkdtempSync(join(tmpdir(), 'vectron-lost-'));
const said: string[] = [];
let cluster: DevCluster | null = null;

async function start(): Promise<VectronClient> {
  said.length = 0;
  cluster = await startDevCluster({ dataDirectory: folder, shardThreads: 1, onProgress: (line) => said.push(line) });
  return connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
}

async function stop(): Promise<void> {
  await cluster?.stop();
  cluster = null;
}

/** Flips a bit in the middle of the newest log file that RocksDB keeps for the node's log store. */
function damageLog(node: string): void {
  const directory = join(folder, node, 'log');
  const newest = readdirSync(directory)
    .filter((name) => name.endsWith('.log'))
    .sort()
    .at(-1);
  flipMiddle(join(directory, newest ?? 'no log file'));
}

function flipMiddle(file: string): void {
  const bytes = readFileSync(file);
  const middle = bytes.length >>> 1;
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 0x40, middle);
  writeFileSync(file, bytes);
}

beforeAll(async () => {
  const client = await start();
  await client.createCollection({ name: 'kept', dimension: 2, distance: 'dot', shardCount: 1 }, { timeoutMs: 30_000 });
  await client.upsert('kept', [{ id: 'a', vector: [1, 2] }]);
  client.close();
  await stop();
});

afterEach(stop);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a node that comes back without what it had acknowledged', () => {
  test('begins as a new worker when it is a machine, even if its store cannot be opened at all', async () => {
    const directory = join(folder, 'machine-1', 'log');
    flipMiddle(join(directory, readdirSync(directory).find((name) => name.startsWith('MANIFEST')) ?? 'no manifest'));
    const client = await start();
    expect(said.find((line) => line.includes('cannot be trusted'))).toContain('machine-1');
    expect((await client.get('kept', 'a')).vector).toEqual(Float32Array.of(1, 2));
    const before = (await client.collectionStatus('kept')).shards.flatMap(({ replicas }) => replicas);
    const lost = before.filter(({ node, role }) => node === 'machine-1' && role === '').map(({ id }) => id);
    expect(lost.length).toBe(1);
    await eventually('a replica with a new id stands on every machine', 60_000, async () => {
      const [shard] = (await client.collectionStatus('kept')).shards;
      const serving = shard?.replicas.filter(({ id, role }) => role !== '' && !lost.includes(id)) ?? [];
      const machines = serving.map(({ node }) => node).sort();
      return shard?.replicas.length === 3 && machines.join() === 'machine-1,machine-2,machine-3';
    });
    client.close();
  });

  test('stays down when it is a placement driver: it has forgotten its votes, and is the same member for ever', async () => {
    damageLog('pd-1');
    const client = await start();
    expect(said.find((line) => line.startsWith('pd-1 stays down'))).toContain('cannot be trusted');
    expect(await client.listCollections()).toEqual(['kept']);
    client.close();
    await stop();
    damageLog('pd-2');
    await expect(start()).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  test('is asked for when it is a placement driver whose data is gone, and no id is given twice', async () => {
    renameSync(join(folder, 'pd-3'), join(folder, 'elsewhere'));
    await expect(start()).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('pd-3'),
    });
  });
});
