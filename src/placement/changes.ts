import { assert } from '../base/assert';
import { type CollectionId, type Revision, revision, type WorkerId } from '../base/ids';
import type { PlacementChange } from '../protocol/placement-messages';
import type { ChangingRow, RowOf, RowStore } from './records';

type Scoped = (row: ChangingRow) => boolean;

/**
 * What a watcher at `from` must hear to hold the truth of its scope: a worker's replicas and removals, or for worker 0
 * (gateways) the whole routing. From revision 0, or from before what was forgotten, it is the whole truth; otherwise
 * what changed. Lists are in the order of ids. O(rows) for the whole, O(changes) for the rest.
 */
export function changesSince(store: RowStore, from: Revision, worker: WorkerId): PlacementChange {
  const { cluster, revision: current, compacted } = store.counters;
  assert(from <= current, () => `changesSince: ${from} is ahead of ${current}`);
  const full = from === 0 || from < compacted;
  const rows = (full ? allRows(store) : store.since(from)).filter(scopeOf(worker, full));
  const shards = ofKind(rows, 'shard').map((row) => row.record);
  const collections = new Map(ofKind(rows, 'collection').map((row) => [row.record.id, row.record]));
  if (worker !== 0) addCollections(store, new Set(shards.map((shard) => shard.collection)), collections);
  return {
    cluster,
    incarnation: store.incarnation,
    fromRevision: full ? revision(0) : from,
    revision: current,
    full,
    workers: byId(ofKind(rows, 'worker').map((row) => row.record)),
    collections: byId([...collections.values()]),
    collectionsDeleted: ofKind(rows, 'collectionDeleted')
      .map((row) => row.id)
      .sort((a, b) => a - b),
    shards: byId(shards),
    shardsRetired: ofKind(rows, 'shardRetired')
      .map((row) => row.id)
      .sort((a, b) => a - b),
    removals: ofKind(rows, 'removal')
      .map((row) => row.record)
      .sort((a, b) => a.replica - b.replica),
  };
}

/** A worker hears of a collection with the first of its shards it is to hold, however old the collection is. */
function addCollections(
  store: RowStore,
  wanted: ReadonlySet<CollectionId>,
  found: Map<CollectionId, RowOf<'collection'>['record']>,
): void {
  for (const id of wanted) {
    const row = store.tables.collection.get(id);
    assert(row !== undefined, () => `a shard of collection ${id}, which does not exist`);
    found.set(id, row.record);
  }
}

/** Deletions mean nothing to somebody who starts from the whole truth. */
function scopeOf(worker: WorkerId, full: boolean): Scoped {
  return (row) => {
    switch (row.kind) {
      case 'worker':
        return true;
      case 'collection':
        return worker === 0;
      case 'shard':
        return worker === 0 || row.record.members.some((member) => member.worker === worker);
      case 'removal':
        return worker !== 0 && row.record.worker === worker;
      case 'collectionDeleted':
      case 'shardRetired':
        return !full;
      case 'founding':
      case 'move':
      case 'schema':
      case 'driverSupport':
      case 'workerSupport':
      case 'level':
        return false;
    }
  };
}

function allRows(store: RowStore): ChangingRow[] {
  return Object.values(store.tables).flatMap((table): ChangingRow[] => [...table.values()]);
}

function ofKind<K extends ChangingRow['kind']>(rows: readonly ChangingRow[], kind: K): RowOf<K>[] {
  return rows.filter((row): row is RowOf<K> & ChangingRow => row.kind === kind);
}

const byId = <R extends { readonly id: number }>(records: R[]): R[] => records.sort((a, b) => a.id - b.id);
