import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DevCluster, KilledReplica, ReplicaReader } from '../../src/server/dev-cluster-types';
import type { ProcessCluster } from '../../src/server/process-cluster';
import { startOwnCluster, stopOwnCluster } from './cluster';

export const victims = ['actor', 'thread', 'machine', 'process'] as const;
export type Victim = (typeof victims)[number];

/** A cluster whose leaders can be killed. */
export interface Scene {
  /** `host:port` of a gateway. */
  readonly grpcAddress: string;
  readonly apiKey: string;
  readonly replicas: ReplicaReader;
  killLeader(victim: Victim, collection: string, shardIndex: number): Promise<KilledReplica>;
  /** Starts again what was killed and does not come back by itself; resolves with its names. */
  restartDead(): Promise<string[]>;
  stop(): Promise<void>;
}

/** `process`: three of each process, for killing with signal 9. Otherwise all in this process. */
export async function openScene(wanted: readonly Victim[]): Promise<Scene> {
  if (!wanted.includes('process')) return devScene(await startOwnCluster());
  const module_ = await import('../../src/server/process-cluster.js');
  const dataDirectory = await mkdtemp(join(tmpdir(), 'vectron-processes-'));
  console.log('  starting three placement drivers, three workers and three gateways, each a process');
  return processScene(await module_.ProcessCluster.start({ dataDirectory }));
}

function devScene(cluster: DevCluster): Scene {
  const kill = (victim: Victim, collection: string, shardIndex: number): Promise<KilledReplica> => {
    if (victim === 'actor') return cluster.killLeaderActor(collection, shardIndex);
    if (victim === 'thread') return cluster.killLeaderThread(collection, shardIndex);
    if (victim === 'machine') return cluster.killLeaderMachine(collection, shardIndex);
    return Promise.reject(new Error('this cluster is one process'));
  };
  return {
    grpcAddress: cluster.grpcAddress,
    apiKey: cluster.apiKey,
    replicas: cluster,
    killLeader: kill,
    restartDead: () => restartAll(cluster.machines.filter(({ alive }) => !alive)),
    stop: () => stopOwnCluster(cluster),
  };
}

function processScene(cluster: ProcessCluster): Scene {
  return {
    grpcAddress: cluster.grpcAddresses[0] ?? '',
    apiKey: cluster.apiKey,
    replicas: cluster,
    killLeader: (_victim, collection, shardIndex) => cluster.killLeaderProcess(collection, shardIndex),
    restartDead: () => restartAll(cluster.nodes.filter(({ alive }) => !alive)),
    stop: async () => {
      await cluster.stop();
      await rm(cluster.dataDirectory, { recursive: true, force: true });
    },
  };
}

interface Startable {
  readonly node: string;
  restart(): Promise<void>;
}

async function restartAll(dead: readonly Startable[]): Promise<string[]> {
  await Promise.all(dead.map((one) => one.restart()));
  return dead.map(({ node }) => node);
}
