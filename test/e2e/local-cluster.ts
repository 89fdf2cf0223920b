import { connect, type VectronClient } from '../../src/client/node';
import { startDevCluster } from '../../src/server/dev-cluster';

export interface LocalCluster {
  readonly client: VectronClient;
  /** Both: the client first. */
  readonly stop: () => Promise<void>;
}

/** A cluster of this process on a folder, which outlives it, and a client of it. */
export async function startLocal(dataDirectory: string): Promise<LocalCluster> {
  const cluster = await startDevCluster({ dataDirectory });
  const client = connect({ url: cluster.grpcAddress, apiKey: cluster.apiKey });
  return {
    client,
    stop: async () => {
      client.close();
      await cluster.stop();
    },
  };
}
