import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { connect } from '../../src/client/node';
import { type PointInput, UpsertRequest } from '../../src/protocol/generated/vectron/v1/vectron';
import { methodDefinition } from '../../src/protocol/node/grpc-service';
import { ProcessCluster } from '../../src/server/process-cluster';
import type { Target } from './load';

const collection = 'writes';
/** 64 float32: 256 bytes. */
const dimension = 64;
const createMsMax = 30_000;

/**
 * Three placement drivers and three workers that serve the public API themselves, each a process of its own, and a
 * collection of one shard with three replicas. The client dials the machine that leads, as it does for etcd.
 */
export class VectronTarget {
  private readonly client: Client;

  private constructor(
    readonly cluster: ProcessCluster,
    address: string,
  ) {
    this.client = new Client(address, credentials.createInsecure());
  }

  /** `profiles`: where every thread leaves a CPU profile (profiler.ts); empty: nowhere. */
  static async start(dataDirectory: string, profiles = '', nodeOptions = ''): Promise<VectronTarget> {
    const preload = `--require=${require.resolve('./profiler')}`;
    const profiling =
      profiles === ''
        ? { NODE_OPTIONS: nodeOptions }
        : { NODE_OPTIONS: `${preload} ${nodeOptions}`, VECTRON_PROFILES: profiles };
    const environment = { VECTRON_SHARD_THREADS: '1', ...profiling };
    const cluster = await ProcessCluster.start({ dataDirectory, environment, workersServe: true });
    const client = connect({ url: cluster.grpcAddresses[0] ?? '', apiKey: cluster.apiKey, timeoutMs: createMsMax });
    try {
      await client.createCollection({ name: collection, dimension, distance: 'euclidean', shardCount: 1 });
    } finally {
      client.close();
    }
    const { node } = await cluster.leaderOf(collection, 0);
    return new VectronTarget(cluster, cluster.grpcAddressOf(node) ?? '');
  }

  target(): Target {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.cluster.apiKey}`);
    const { path, responseDeserialize } = methodDefinition('upsert');
    return {
      name: 'vectron',
      client: this.client,
      metadata,
      processes: this.cluster.nodes.map(({ node, pid }) => ({ name: node, pid: pid ?? 0 })),
      write: (keys) => {
        const points = keys.map(pointOf);
        return {
          path,
          body: Buffer.from(UpsertRequest.encode({ ...unkeyed, collection, points }).finish()),
          check: (reply) => {
            const { count } = responseDeserialize(reply) as { readonly count: number };
            if (count !== points.length) throw new Error(`vectron wrote ${count} of ${points.length}`);
          },
        };
      },
    };
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.cluster.stop();
  }
}

/** The gateway draws a key for each call. */
const unkeyed = { idempotencyKey: '', issuedMs: 0, idempotencyWindowMs: 0, returnPrevious: false };
const noBytes = new Uint8Array(0);
const vector = Float32Array.from({ length: dimension }, (_, i) => Math.sin(i));
let written = 0;

/** A fresh value for the same price as etcd's: the last one with a counter in it. */
function pointOf(key: number): PointInput {
  const fresh = vector.slice();
  fresh[0] = ++written;
  fresh[1] = key;
  return { id: `key-${key}`, vector: noBytes, vectorBytes: new Uint8Array(fresh.buffer), payload: noBytes, onlyIf: '' };
}
