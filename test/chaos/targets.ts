import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prng } from '../../src/base/prng';
import { startDevCluster } from '../../src/server/dev-cluster';
import type { DevCluster, ReplicaReader } from '../../src/server/dev-cluster-types';
import { ProcessCluster } from '../../src/server/process-cluster';
import type { ProcessNode } from '../../src/server/process-cluster-child';
import type { Profile } from './options';

export type Victim = 'actor' | 'thread' | 'log thread' | 'link thread' | 'machine' | 'worker' | 'placement' | 'gateway';

/** What was killed: undo() starts what does not come back by itself. */
export interface Kill {
  readonly what: string;
  readonly undo: (() => Promise<void>) | null;
}

/** A cluster under test, and what in it can be killed. */
export interface ChaosTarget {
  readonly addresses: readonly string[];
  readonly apiKey: string;
  readonly victims: readonly Victim[];
  readonly replicas: ReplicaReader;
  kill(victim: Victim, shard: number, random: Prng): Promise<Kill>;
  stop(): Promise<void>;
}

/** For NODE_OPTIONS of processes in which killThread() is to work. */
export const threadKillHook = `--require ${require.resolve('./thread-kill-hook')}`;

export async function startTarget(profile: Profile, collection: string): Promise<ChaosTarget> {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'vectron-chaos-'));
  const remove = (): Promise<void> => rm(dataDirectory, { recursive: true });
  if (profile === 'kill9') {
    // A process of its own takes no orders from outside: this makes it end one of its threads when it is signalled.
    const cluster = await ProcessCluster.start({ dataDirectory, environment: { NODE_OPTIONS: threadKillHook } });
    return processTarget(cluster, collection, remove);
  }
  return devTarget(await startDevCluster({ dataDirectory }), profile, collection, remove);
}

const inProcess: Readonly<Record<'threads' | 'mixed', readonly Victim[]>> = {
  threads: ['actor', 'thread', 'thread', 'log thread', 'link thread'],
  mixed: ['actor', 'thread', 'machine'],
};

function devTarget(
  cluster: DevCluster,
  profile: 'threads' | 'mixed',
  collection: string,
  remove: () => Promise<void>,
): ChaosTarget {
  const named = async (killed: Promise<{ readonly node: string; readonly replica: number }>): Promise<string> => {
    const { node, replica } = await killed;
    return `replica ${replica} on ${node}`;
  };
  return {
    addresses: [cluster.grpcAddress],
    apiKey: cluster.apiKey,
    victims: inProcess[profile],
    replicas: cluster,
    async kill(victim, shard, random) {
      switch (victim) {
        case 'actor':
          return { what: await named(cluster.killLeaderActor(collection, shard)), undo: null };
        case 'thread':
          return { what: await named(cluster.killLeaderThread(collection, shard)), undo: null };
        case 'machine': {
          const { node } = await cluster.killLeaderMachine(collection, shard);
          const machine = cluster.machines.find((each) => each.node === node);
          return { what: node, undo: async () => await machine?.restart() };
        }
        default: {
          const machine = random.pick(cluster.machines);
          if (!(await machine.killThread(victim === 'log thread' ? 'log' : 'link', random.float()))) {
            throw new Error(`${machine.node} had no ${victim} to kill`);
          }
          return { what: machine.node, undo: null };
        }
      }
    },
    async stop() {
      await cluster.stop();
      await remove();
    },
  };
}

function processTarget(cluster: ProcessCluster, collection: string, remove: () => Promise<void>): ChaosTarget {
  const kill9 = async (node: ProcessNode): Promise<Kill> => {
    await node.kill9();
    return { what: node.node, undo: () => node.restart() };
  };
  return {
    addresses: cluster.grpcAddresses,
    apiKey: cluster.apiKey,
    victims: ['worker', 'worker', 'thread', 'thread', 'placement', 'gateway'],
    replicas: cluster,
    async kill(victim, shard, random) {
      switch (victim) {
        case 'worker':
          return await kill9(cluster.process((await cluster.leaderOf(collection, shard)).node));
        case 'placement':
          return await kill9(await cluster.placementLeader());
        case 'gateway':
          return await kill9(random.pick(cluster.gateways));
        default: {
          const { node } = await cluster.leaderOf(collection, shard);
          return { what: await killThread(cluster.process(node)), undo: null };
        }
      }
    },
    async stop() {
      await cluster.stop();
      await remove();
    },
  };
}

const killedPattern = /^.*thread-kill: ended .*$/gm;
const threadKillMsMax = 5_000;

/** Signals the process and waits until it says which thread it has ended. */
export async function killThread(node: ProcessNode): Promise<string> {
  const { pid } = node;
  if (pid === null) throw new Error(`${node.node} does not run`);
  const told = async (): Promise<string[]> => (await readFile(node.logFile, 'utf8')).match(killedPattern) ?? [];
  const before = (await told()).length;
  process.kill(pid, 'SIGUSR2');
  const deadlineMs = performance.now() + threadKillMsMax;
  for (;;) {
    const lines = await told();
    if (lines.length > before) return `${node.node}: ${lines.at(-1)}`;
    if (performance.now() > deadlineMs) throw new Error(`${node.node} ended no thread within ${threadKillMsMax} ms`);
    await sleep(20);
  }
}
