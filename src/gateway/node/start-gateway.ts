import type { GatewayBackend } from '../calls';
import { ApiKeys } from './api-keys';
import { startGrpcServer } from './grpc-server';
import { startHttpServer } from './http-server';

export interface GatewayServerOptions {
  readonly backend: GatewayBackend;
  /** `host:port`; port 0: any free one. */
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly apiKeys: readonly string[];
  /** Of collections whose creator does not say. Default 4. */
  readonly shardCount?: number;
  /** Default 3. */
  readonly replicationFactor?: number;
  /** For calls without a deadline. Default 10 s. */
  readonly timeoutMs?: number;
  readonly bodyBytesMax?: number;
}

export interface RunningGateway {
  readonly grpcPort: number;
  readonly httpPort: number;
  /** Lets calls under way finish for a moment, then closes both ports. */
  stop(): Promise<void>;
}

/** Opens both ports or none: rejects with one line that names the address in the way. */
export async function startGateway(options: GatewayServerOptions): Promise<RunningGateway> {
  const { backend, shardCount = 4, replicationFactor = 3, timeoutMs = 10_000, bodyBytesMax } = options;
  const shared = {
    backend,
    keys: new ApiKeys(options.apiKeys),
    defaults: { shardCount, replicationFactor },
    timeoutMs,
    ...(bodyBytesMax === undefined ? {} : { bodyBytesMax }),
  };
  const grpc = await startGrpcServer({ ...shared, address: options.grpcAddress });
  try {
    const http = await startHttpServer({ ...shared, address: options.httpAddress });
    const stop = async (): Promise<void> => {
      await Promise.all([grpc.stop(), http.stop()]);
    };
    return { grpcPort: grpc.port, httpPort: http.port, stop };
  } catch (error) {
    await grpc.stop();
    throw error;
  }
}
