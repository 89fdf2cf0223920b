import { setTimeout as sleep } from 'node:timers/promises';
import { fromUtf8 } from '../../src/base/bytes';
import type { ReplicaReader, ReplicaView } from '../../src/server/dev-cluster-types';

const equalMsMax = 60_000;

/** Resolves, with their number, when the replicas of every shard stand at the same index with the same digest. */
export async function replicasAgree(reader: ReplicaReader, collection: string): Promise<number> {
  const deadlineMs = performance.now() + equalMsMax;
  for (;;) {
    const views = await reader.replicasOf(collection);
    const standing = (view: ReplicaView): string => `${view.role === ''} ${view.appliedIndex} ${view.digest}`;
    const different = views.filter((view) => {
      const first = views.find(({ shard }) => shard === view.shard);
      return view.role === '' || first === undefined || standing(view) !== standing(first);
    });
    if (views.length > 0 && different.length === 0) return views.length;
    if (performance.now() > deadlineMs) throw new Error(`replicas differ: ${JSON.stringify(views)}`);
    await sleep(200);
  }
}

/** What is in a replica's store and was not read through the gateway at the end, or the other way round. */
export async function differences(
  reader: ReplicaReader,
  collection: string,
  read: ReadonlyMap<string, string | null>,
): Promise<string[]> {
  const views = await reader.replicasOf(collection);
  const wrong: string[] = [];
  const copies = new Map<string, number>();
  for (const { replica } of views) {
    for await (const { id, payload } of reader.scanReplica(replica)) {
      copies.set(id, (copies.get(id) ?? 0) + 1);
      const { h } = JSON.parse(fromUtf8(payload)) as { readonly h: string };
      if (read.get(id) !== h) wrong.push(`${id} is ${h} on replica ${replica}, was read as ${read.get(id)}`);
    }
  }
  const perShard = views.length / new Set(views.map(({ shard }) => shard)).size;
  for (const [key, value] of read) {
    const expected = value === null ? 0 : perShard;
    const found = copies.get(key) ?? 0;
    if (found !== expected) wrong.push(`${key} is on ${found} replicas, not on ${expected}`);
  }
  return wrong;
}
