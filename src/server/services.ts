import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { clusterId, nodeName } from '../base/ids';
import type { MachineLink } from '../runtime/node/machine';
import { loadAddon } from '../vector/node/native-engine';
import { readApiKeys } from './api-key';
import { expectNoCluster, removeClusterFile, writeClusterFile } from './cluster-file';
import type { Config } from './config/schema';
import { startDevCluster } from './dev-cluster';
import { GatewayNode } from './gateway-node';
import { type NodeOptions, raftTuning } from './node-options';
import { PlacementNode } from './placement-node';
import { expectFreePort } from './ports';
import { WorkerNode, type WorkerOptions } from './worker-node';

export type Say = (line: string) => void;

/** A service that runs: what to do when it is asked to end. */
export interface RunningService {
  stop(): Promise<void>;
}

const linkHeartbeatMs = 1_000;
const gatewayReadyMs = 60_000;

/** 0: unless told, the engine knows how much. */
const indexBytesMax = (config: Config<'dev' | 'worker'>): number => config.VECTRON_INDEX_MEMORY_MIB * 1024 * 1024;

/** `npm start`: a whole cluster in this process. */
export async function runDev(config: Config<'dev'>, say: Say): Promise<RunningService> {
  const directory = resolve(config.VECTRON_DATA_DIR);
  expectNoCluster(directory);
  await expectFreePort('gRPC', config.VECTRON_HOST, config.VECTRON_GRPC_PORT);
  await expectFreePort('HTTP', config.VECTRON_HOST, config.VECTRON_HTTP_PORT);
  const apiKeyFile = config.VECTRON_API_KEY_FILE || join(directory, 'api-key');
  const cluster = await startDevCluster({
    dataDirectory: directory,
    cluster: config.VECTRON_CLUSTER,
    apiKeyFile,
    host: config.VECTRON_HOST,
    grpcPort: config.VECTRON_GRPC_PORT,
    httpPort: config.VECTRON_HTTP_PORT,
    shardThreads: config.VECTRON_SHARD_THREADS,
    ingest: config.VECTRON_INGEST,
    indexBytesMax: indexBytesMax(config),
    raft: raftTuning(config),
    onProgress: say,
  });
  const { grpcAddress, httpAddress, apiKey } = cluster;
  writeClusterFile(directory, { pid: process.pid, grpc: grpcAddress, http: httpAddress, apiKeyFile });
  say('');
  say('Vectron is ready.');
  say(`  gRPC      ${grpcAddress}`);
  say(`  HTTP      ${httpAddress}`);
  say(`  API key   ${apiKey}   (in ${apiKeyFile})`);
  say(`  data      ${directory}`);
  say(`  try       curl -s -H 'x-api-key: ${apiKey}' ${httpAddress}/v1/collections`);
  say('Ctrl-C stops it.');
  return {
    stop: async () => {
      await cluster.stop();
      removeClusterFile(directory);
    },
  };
}

export async function runPlacement(config: Config<'pd'>, say: Say): Promise<RunningService> {
  const node = await PlacementNode.start({ ...nodeOptions(config, say), raft: raftTuning(config) });
  say(`${config.VECTRON_NODE}: placement driver ready, links on ${node.machine.linkAddress}`);
  return node;
}

export async function runWorker(config: Config<'worker'>, say: Say): Promise<RunningService> {
  loadAddon();
  const gateway = config.VECTRON_GATEWAY ? await gatewayOf(config) : null;
  const node = await WorkerNode.start({
    ...nodeOptions(config, say),
    raft: raftTuning(config),
    shardThreads: config.VECTRON_SHARD_THREADS,
    ingest: config.VECTRON_INGEST,
    indexBytesMax: indexBytesMax(config),
    zone: config.VECTRON_ZONE,
    rack: config.VECTRON_RACK,
    gateway,
  });
  const served = gateway === null ? '' : `, gRPC ${gateway.grpcAddress}, HTTP http://${gateway.httpAddress}`;
  say(`${config.VECTRON_NODE}: worker ready, links on ${node.machine.linkAddress}${served}`);
  return node;
}

/** Said before anything else starts: a port that is taken, and keys that are not there. */
async function gatewayOf(config: Config<'worker'>): Promise<WorkerOptions['gateway']> {
  const { VECTRON_HOST: host, VECTRON_GRPC_PORT: grpcPort, VECTRON_HTTP_PORT: httpPort } = config;
  await expectFreePort('gRPC', host, grpcPort);
  await expectFreePort('HTTP', host, httpPort);
  const directory = resolve(config.VECTRON_DATA_DIR);
  mkdirSync(directory, { recursive: true });
  const apiKeys = readApiKeys(config.VECTRON_API_KEY_FILE || join(directory, 'api-key'));
  return { grpcAddress: `${host}:${grpcPort}`, httpAddress: `${host}:${httpPort}`, apiKeys };
}

export async function runGateway(config: Config<'gateway'>, say: Say): Promise<RunningService> {
  const keyFile = config.VECTRON_API_KEY_FILE || resolve(config.VECTRON_DATA_DIR, 'api-key');
  const node = await GatewayNode.start({
    ...nodeOptions(config, say),
    host: config.VECTRON_HOST,
    grpcPort: config.VECTRON_GRPC_PORT,
    httpPort: config.VECTRON_HTTP_PORT,
    apiKeys: readApiKeys(keyFile),
  });
  await node.ready(gatewayReadyMs);
  say(`${config.VECTRON_NODE}: gateway ready, gRPC ${node.grpcAddress}, HTTP ${node.httpAddress}`);
  return node;
}

function nodeOptions(config: Config<'pd' | 'worker' | 'gateway'>, report: Say): Omit<NodeOptions, 'raft'> {
  const link: MachineLink = { kind: 'grpc', listen: config.VECTRON_LISTEN, heartbeatMs: linkHeartbeatMs };
  return {
    cluster: clusterId(config.VECTRON_CLUSTER),
    node: nodeName(config.VECTRON_NODE),
    dataDirectory: resolve(config.VECTRON_DATA_DIR),
    link,
    placement: config.VECTRON_PD.map((peer) => ({ node: nodeName(peer.node), address: peer.address })),
    report,
  };
}
