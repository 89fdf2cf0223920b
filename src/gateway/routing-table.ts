import { type CollectionId, type KeyHash64, type Revision, revision, type ShardId } from '../base/ids';
import { type Address, at, replicaActor } from '../protocol/envelope';
import type { Epoch } from '../protocol/ids';
import type { PlacementChange } from '../protocol/placement-messages';
import type { CollectionRecord, Member, ShardRecord, WorkerRecord } from '../protocol/records';

export const memberAddress = (member: Member): Address => at(member.node, replicaActor(member.replica));

/** What followed of a change: `gap` means that an event before it is missing, and it was not applied. */
export type Applied = 'applied' | 'stale' | 'gap';

/**
 * The gateway's copy of the placement driver's records: a cache. Being behind costs a round trip, never a wrong answer,
 * as shards check epochs themselves (DESIGN D7, D8). Owned by the gateway's actor.
 *
 *  1. `revision` never decreases, and every change up to it has been applied.
 *  2. A shard's epoch never goes back, wherever it was learnt.
 */
export class RoutingTable {
  revision: Revision = revision(0);
  /** A whole truth has arrived once. */
  known = false;
  private readonly collections = new Map<CollectionId, CollectionRecord>();
  private readonly byName = new Map<string, CollectionRecord>();
  private readonly shards = new Map<ShardId, ShardRecord>();
  /** Of each collection, in the order of their ranges; null: with a hole. A cache of `shards`. */
  private readonly ordered = new Map<CollectionId, readonly ShardRecord[] | null>();
  private readonly workers = new Map<number, WorkerRecord>();

  apply(change: PlacementChange): Applied {
    if (change.revision < this.revision) return 'stale';
    if (!change.full && change.fromRevision > this.revision) return 'gap';
    if (change.full) this.clear(change);
    for (const worker of change.workers) this.workers.set(worker.id, worker);
    for (const collection of change.collections) this.putCollection(collection);
    for (const id of change.collectionsDeleted) this.dropCollection(id);
    for (const shard of change.shards) this.putShard(shard);
    for (const id of change.shardsRetired) this.shards.delete(id);
    this.ordered.clear();
    this.revision = change.revision;
    if (change.full || change.fromRevision === 0) this.known = true;
    return 'applied';
  }

  collection(name: string): CollectionRecord | undefined {
    return this.byName.get(name);
  }

  collectionNames(): string[] {
    return [...this.byName.keys()].sort();
  }

  has(id: CollectionId): boolean {
    return this.collections.has(id);
  }

  shard(id: ShardId): ShardRecord | undefined {
    return this.shards.get(id);
  }

  /** Peers to be connected to: where workers listen. */
  peers(): { readonly node: string; readonly address: string }[] {
    return [...this.workers.values()].map(({ node, address }) => ({ node, address }));
  }

  /** Of each machine that hosts any replica, one of them. */
  hosted(): ReadonlyMap<string, { readonly shard: ShardRecord; readonly member: Member }> {
    const found = new Map<string, { readonly shard: ShardRecord; readonly member: Member }>();
    for (const shard of this.shards.values()) {
      for (const member of shard.members) if (!found.has(member.node)) found.set(member.node, { shard, member });
    }
    return found;
  }

  /** The collection's shards in the order of their ranges; null while the routing known here has a hole. */
  shardsOf(id: CollectionId): readonly ShardRecord[] | null {
    const held = this.ordered.get(id);
    if (held !== undefined) return held;
    const shards = [...this.shards.values()].filter((shard) => shard.collection === id).sort(byRange);
    const whole = covers(shards) ? shards : null;
    this.ordered.set(id, whole);
    return whole;
  }

  /** A worker said that the shard's members have changed: its word is as good as the placement driver's. */
  learnEpoch(id: ShardId, epoch: Epoch): boolean {
    const shard = this.shards.get(id);
    if (shard === undefined || epoch.version !== shard.epoch.version) return false;
    if (epoch.confVersion <= shard.epoch.confVersion) return false;
    this.shards.set(id, { ...shard, epoch });
    this.ordered.delete(shard.collection);
    return true;
  }

  private clear(change: PlacementChange): void {
    const shards = new Set(change.shards.map((shard) => shard.id));
    for (const id of this.shards.keys()) if (!shards.has(id)) this.shards.delete(id);
    this.collections.clear();
    this.byName.clear();
    this.workers.clear();
  }

  private putCollection(collection: CollectionRecord): void {
    this.collections.set(collection.id, collection);
    this.byName.set(collection.name, collection);
  }

  private dropCollection(id: CollectionId): void {
    const collection = this.collections.get(id);
    if (collection === undefined) return;
    this.collections.delete(id);
    if (this.byName.get(collection.name)?.id === id) this.byName.delete(collection.name);
    for (const shard of this.shards.values()) if (shard.collection === id) this.shards.delete(shard.id);
  }

  private putShard(shard: ShardRecord): void {
    const held = this.shards.get(shard.id);
    if (held === undefined || !isOlder(shard.epoch, held.epoch)) this.shards.set(shard.id, shard);
  }
}

const isOlder = (a: Epoch, b: Epoch): boolean => a.version < b.version || a.confVersion < b.confVersion;

const byRange = (a: ShardRecord, b: ShardRecord): number =>
  a.range.start < b.range.start ? -1 : a.range.start > b.range.start ? 1 : 0;

function covers(shards: readonly ShardRecord[]): boolean {
  let next = 0n;
  for (const { range } of shards) {
    if (range.start !== next) return false;
    next = range.end + 1n;
  }
  return next === 2n ** 64n;
}

/** The shard, of those that cover the space in order, whose range holds the hash. */
export function shardOfHash(shards: readonly ShardRecord[], hash: KeyHash64): ShardRecord {
  let low = 0;
  let high = shards.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((shards[middle] as ShardRecord).range.start <= hash) low = middle;
    else high = middle - 1;
  }
  return shards[low] as ShardRecord;
}
