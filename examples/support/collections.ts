import { setTimeout as sleep } from 'node:timers/promises';
import { type CollectionOptions, NotFoundError, type VectronClient } from '../../src/client/node';

/** The collection, new and empty: an example can be run twice. */
export async function recreateCollection(client: VectronClient, options: CollectionOptions): Promise<void> {
  try {
    await client.deleteCollection(options.name);
    console.log(`deleted collection ${options.name} of an earlier run`);
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  await client.createCollection(options, { timeoutMs: 30_000 });
}

/** Waits until every replica has linked all its points into its graph. */
export async function waitUntilLinked(client: VectronClient, name: string, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const { shards } = await client.collectionStatus(name);
    const replicas = shards.flatMap((shard) => shard.replicas);
    const unlinked = replicas.reduce((sum, replica) => sum + replica.unlinked, 0);
    if (unlinked === 0 && replicas.every(({ role }) => role !== '')) return;
    if (performance.now() > deadlineMs) throw new Error(`${unlinked} points are not linked after ${timeoutMs} ms`);
    await sleep(100);
  }
}
