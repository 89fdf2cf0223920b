import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connect, type VectronClient } from '../../src/client/node';
import { loadEnvironment } from '../../src/server/config/env-files';
import { parseConfig } from '../../src/server/config/schema';
import type { ClusterFile, DevCluster } from '../../src/server/dev-cluster-types';

export interface OpenCluster {
  readonly client: VectronClient;
  /** For a person: which cluster this is. */
  readonly described: string;
  close(): Promise<void>;
}

/**
 * The cluster that VECTRON_URL and VECTRON_API_KEY name; else the one that runs on the data directory; else one of our
 * own, on a temporary directory that is removed at the end.
 */
export async function openCluster(): Promise<OpenCluster> {
  const running = named() ?? (await runningHere());
  if (running !== null) {
    const client = connect(running);
    return { client, described: `cluster at ${running.url}`, close: async () => client.close() };
  }
  const cluster = await startOwnCluster();
  const client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
  const close = async (): Promise<void> => {
    client.close();
    await stopOwnCluster(cluster);
  };
  return { client, described: `own cluster at ${cluster.grpcAddress} (no other runs)`, close };
}

interface Address {
  readonly url: string;
  readonly apiKey: string;
}

function named(): Address | null {
  const url = process.env['VECTRON_URL'] ?? '';
  if (url === '') return null;
  const apiKey = process.env['VECTRON_API_KEY'] ?? '';
  if (apiKey === '') throw new Error('VECTRON_URL is set, VECTRON_API_KEY is not');
  return { url, apiKey };
}

async function runningHere(): Promise<Address | null> {
  const environment = loadEnvironment('dev', process.cwd(), process.env);
  const directory = resolve(parseConfig('dev', environment).VECTRON_DATA_DIR);
  const content = await readIfThere(join(directory, 'cluster.json'));
  if (content === null) return null;
  const { pid, grpc, apiKeyFile } = JSON.parse(content) as ClusterFile;
  if (!isAlive(pid)) return null;
  const keys = await readFile(resolve(directory, apiKeyFile), 'utf8');
  return { url: grpc, apiKey: (keys.split('\n')[0] ?? '').trim() };
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A cluster in this process, on a fresh temporary directory. */
export async function startOwnCluster(): Promise<DevCluster> {
  const { startDevCluster } = await import('../../src/server/dev-cluster.js');
  const dataDirectory = await mkdtemp(join(tmpdir(), 'vectron-example-'));
  try {
    return await startDevCluster({ dataDirectory, onProgress: (line) => console.log(`  ${line}`) });
  } catch (error) {
    await rm(dataDirectory, { recursive: true, force: true });
    throw error;
  }
}

export async function stopOwnCluster(cluster: DevCluster): Promise<void> {
  await cluster.stop();
  await rm(cluster.dataDirectory, { recursive: true, force: true });
}
