import { assert } from '../base/assert';
import { type Revision, revision } from '../base/ids';
import { bool, list, struct, type TypeOf, varint, versionedUnion } from '../protocol/codec';
import { flagRangeCodec } from '../protocol/flags';
import {
  clusterIdCodec,
  collectionIdCodec,
  replicaIdCodec,
  revisionCodec,
  shardIdCodec,
  workerIdCodec,
} from '../protocol/ids';
import { collectionRecordCodec, removeRecordCodec, shardRecordCodec, workerRecordCodec } from '../protocol/records';
import { schemaCodec } from '../protocol/schemas';

/** The next ids to give out, and where history stands. There is exactly one such row. */
export const countersCodec = struct({
  cluster: clusterIdCodec,
  revision: revisionCodec,
  /** Deletions up to here have been forgotten: who stands before it must start from the whole truth. */
  compacted: revisionCodec,
  worker: varint,
  collection: varint,
  shard: varint,
  replica: varint,
});
export type Counters = TypeOf<typeof countersCodec>;

/**
 * A member of a shard on its way to another worker. `target`: the voters in the end. While it lasts the shard's record lists
 * everybody who may be a member: those of before, the incoming one, and earlier incoming ones that were given up.
 */
export const moveRecordCodec = struct({
  id: shardIdCodec,
  outgoing: replicaIdCodec,
  incoming: replicaIdCodec,
  target: list(replicaIdCodec, 16),
});
export type MoveRecord = TypeOf<typeof moveRecordCodec>;

/** What a collection's shards agree on. `settled`: all of its shards are known to have it. */
export const schemaRecordCodec = struct({ id: collectionIdCodec, schema: schemaCodec, settled: bool });
export type SchemaRecord = TypeOf<typeof schemaRecordCodec>;

/** One row of the placement driver's state. Durable: never change a variant, add one. `revision`: of its last change. */
export const rowCodec = versionedUnion('placement row', {
  1: ['counters', struct({ record: countersCodec })],
  2: ['worker', struct({ revision: revisionCodec, record: workerRecordCodec })],
  3: ['collection', struct({ revision: revisionCodec, record: collectionRecordCodec })],
  4: ['shard', struct({ revision: revisionCodec, record: shardRecordCodec })],
  5: ['removal', struct({ revision: revisionCodec, record: removeRecordCodec })],
  6: ['collectionDeleted', struct({ revision: revisionCodec, id: collectionIdCodec })],
  7: ['shardRetired', struct({ revision: revisionCodec, id: shardIdCodec })],
  /** At most one, with id 0. */
  8: ['founding', struct({ revision: revisionCodec, id: varint, incarnation: varint })],
  9: ['move', struct({ revision: revisionCodec, record: moveRecordCodec })],
  10: ['driverSupport', struct({ revision: revisionCodec, id: replicaIdCodec, range: flagRangeCodec })],
  11: ['workerSupport', struct({ revision: revisionCodec, id: workerIdCodec, range: flagRangeCodec })],
  /** At most one, with id 0. */
  12: ['level', struct({ revision: revisionCodec, id: varint, level: varint })],
  13: ['schema', struct({ revision: revisionCodec, record: schemaRecordCodec })],
});
export type Row = TypeOf<typeof rowCodec>;
export type ChangingRow = Exclude<Row, { readonly kind: 'counters' }>;
export type RowKind = Row['kind'];
export type RowOf<K extends RowKind> = Extract<Row, { readonly kind: K }>;

/** In the order of their keys; the position is durable. */
const kinds: readonly RowKind[] = [
  'counters',
  'worker',
  'collection',
  'shard',
  'removal',
  'collectionDeleted',
  'shardRetired',
  'founding',
  'move',
  'driverSupport',
  'workerSupport',
  'level',
  'schema',
];

export interface RowKey {
  readonly kind: RowKind;
  readonly id: number;
}

export function keyOf(row: Row): RowKey {
  if (row.kind === 'counters') return { kind: row.kind, id: 0 };
  if (row.kind === 'removal') return { kind: row.kind, id: row.record.replica };
  return { kind: row.kind, id: 'id' in row ? row.id : row.record.id };
}

/** In the store's keys: durable. Rows sort by it, then by id. */
export const kindByte = (kind: RowKind): number => kinds.indexOf(kind);

export const compareKeys = (a: RowKey, b: RowKey): number => kindByte(a.kind) - kindByte(b.kind) || a.id - b.id;

interface HistoryEntry extends RowKey {
  readonly revision: Revision;
}
type Tables = { readonly [K in ChangingRow['kind']]: Map<number, RowOf<K>> };

/** History entries beyond twice the live rows and this many are dropped. */
const historySlack = 1024;

/**
 * The rows of the placement driver's state, their history by revision, and what must still be written to disk. Owned by
 * PlacementMachine, which alone decides what changes.
 *
 *  1. Rows are the whole state: history and writes follow from them. Order of insertion is never visible.
 *  2. since(revision) has every row that changed after `revision`, and is complete for revisions from `compacted` on.
 */
export class RowStore {
  readonly tables: Tables = {
    worker: new Map(),
    collection: new Map(),
    shard: new Map(),
    removal: new Map(),
    collectionDeleted: new Map(),
    shardRetired: new Map(),
    founding: new Map(),
    move: new Map(),
    driverSupport: new Map(),
    workerSupport: new Map(),
    level: new Map(),
    schema: new Map(),
  };
  private history: HistoryEntry[] = [];
  private pending = new Map<string, { key: RowKey; row: Row | null }>();

  constructor(public counters: Counters) {}

  /** Rows may come in any order; the counters must be among them. */
  static restore(rows: readonly Row[]): RowStore {
    const counters = rows.find((row) => row.kind === 'counters');
    assert(counters !== undefined, 'placement state without its counters');
    const store = new RowStore(counters.record);
    const changing = rows.filter((row): row is ChangingRow => row.kind !== 'counters');
    changing.sort((a, b) => a.revision - b.revision || compareKeys(keyOf(a), keyOf(b)));
    for (const row of changing) store.put(row);
    store.pending.clear();
    return store;
  }

  put(row: ChangingRow): void {
    const key = keyOf(row);
    // The table of a row's kind holds exactly that kind; the compiler cannot follow it through the lookup.
    (this.tables[row.kind] as Map<number, ChangingRow>).set(key.id, row);
    this.history.push({ ...key, revision: row.revision });
    this.note(key, row);
    if (this.history.length > 2 * this.size + historySlack) this.history = this.history.filter((e) => this.live(e));
  }

  remove(kind: ChangingRow['kind'], id: number): void {
    if (this.tables[kind].delete(id)) this.note({ kind, id }, null);
  }

  setCounters(counters: Counters): void {
    this.counters = counters;
    this.note({ kind: 'counters', id: 0 }, { kind: 'counters', record: counters });
  }

  /** Which history this state belongs to; 0: none was drawn yet. */
  get incarnation(): number {
    return this.tables.founding.get(0)?.incarnation ?? 0;
  }

  /** Of the flags that are on (flags.ts). */
  get level(): number {
    return this.tables.level.get(0)?.level ?? 0;
  }

  get size(): number {
    return Object.values(this.tables).reduce((sum, table) => sum + table.size, 0);
  }

  /** Rows whose last change came after `after`, oldest first. */
  since(after: Revision): ChangingRow[] {
    return this.history
      .slice(this.firstAfter(after))
      .map((entry) => this.live(entry))
      .filter((row) => row !== null);
  }

  /** Forgets deletions, the oldest revisions first, until at most `countMax` are left. */
  compact(countMax: number): void {
    const { collectionDeleted, shardRetired } = this.tables;
    if (collectionDeleted.size + shardRetired.size <= countMax) return;
    const tombstones = [...collectionDeleted.values(), ...shardRetired.values()];
    const revisions = tombstones.map((row) => row.revision).sort((a, b) => b - a);
    const compacted = revisions[countMax] ?? revision(0);
    for (const row of tombstones) if (row.revision <= compacted) this.remove(row.kind, row.id);
    this.setCounters({ ...this.counters, compacted });
  }

  /** Every row in the order of keys. */
  sorted(): Row[] {
    const rows: Row[] = [{ kind: 'counters', record: this.counters }];
    for (const table of Object.values(this.tables)) rows.push(...table.values());
    return rows.sort((a, b) => compareKeys(keyOf(a), keyOf(b)));
  }

  /** What changed since the last call, in the order of keys; a null row is gone. */
  drainWrites(): { readonly key: RowKey; readonly row: Row | null }[] {
    const writes = [...this.pending.values()].sort((a, b) => compareKeys(a.key, b.key));
    this.pending.clear();
    return writes;
  }

  private note(key: RowKey, row: Row | null): void {
    this.pending.set(`${key.kind}/${key.id}`, { key, row });
  }

  /** The row an entry speaks of, unless it has changed again since or is gone. */
  private live(entry: HistoryEntry): ChangingRow | null {
    if (entry.kind === 'counters') return null;
    const row = this.tables[entry.kind].get(entry.id);
    return row !== undefined && row.revision === entry.revision ? row : null;
  }

  private firstAfter(after: Revision): number {
    let low = 0;
    let high = this.history.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.history[middle] as HistoryEntry).revision <= after) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
