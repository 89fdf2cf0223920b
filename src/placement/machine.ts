import { present } from '../base/assert';
import { asVectronError, VectronError } from '../base/errors';
import {
  type ClusterId,
  collectionId,
  type NodeName,
  type ReplicaId,
  type Revision,
  replicaId,
  revision,
  shardId,
  type WorkerId,
  workerId,
} from '../base/ids';
import { collectionCountMax } from '../base/limits';
import { decode, encode, list } from '../protocol/codec';
import { type FlagRange, flagRange } from '../protocol/flags';
import { tile } from '../protocol/key-hash';
import type { PlacementChange } from '../protocol/placement-messages';
import {
  type CollectionRecord,
  defaultStorage,
  type Member,
  type ShardRecord,
  type WorkerRecord,
} from '../protocol/records';
import { changesSince } from './changes';
import { type Candidate, chooseWorkers } from './choose';
import {
  type PlacementOperation,
  type PlacementOperationOf,
  placementCommandCodec,
  placementLevels,
  type WantedCollection,
} from './commands';
import { digestOf } from './digest';
import { Levels } from './levels';
import { Moving } from './moving';
import { type MoveRecord, type Row, type RowKey, RowStore, rowCodec, type SchemaRecord } from './records';
import { mayEnd, noCollection, Schemas } from './schemas';
import { collectionError } from './validate';

/** What became of one command. A rejected one changed nothing. */
export type PlacementOutcome =
  | { readonly kind: 'rejected'; readonly error: VectronError }
  | { readonly kind: 'workerRegistered'; readonly worker: WorkerId; readonly revision: Revision }
  | { readonly kind: 'collectionCreated'; readonly collection: CollectionRecord; readonly revision: Revision }
  | { readonly kind: 'collectionDeleted'; readonly revision: Revision }
  | { readonly kind: 'removalsConfirmed'; readonly revision: Revision }
  | { readonly kind: 'founded'; readonly revision: Revision }
  | { readonly kind: 'replicaMoving'; readonly replica: ReplicaId; readonly revision: Revision }
  | { readonly kind: 'membersSettled'; readonly revision: Revision }
  | { readonly kind: 'schemaChanged'; readonly record: SchemaRecord; readonly revision: Revision }
  | { readonly kind: 'noted'; readonly revision: Revision };

/** Why an operation cannot be done, or how to do it. */
export type Plan = VectronError | (() => PlacementOutcome);

/** The placement driver's own group has the replica ids up to here; shards' replicas get those above. */
export const placementReplicaIdMax = 99;
/** Deletions that watchers can still hear of one by one; shapes the state, so the same on every node. */
const tombstonesMax = 4_096;
const retryAfterMs = 1_000;
const rowsCodec = list(rowCodec, 10_000_000);

/**
 * The placement driver's state: workers, collections, shards and their members, orders to remove. Fed by its replicated
 * log, one command after the other; called from one thread.
 *
 *  1. The state is a function of the commands applied, in their order: no clock, randomness or map order enters.
 *  2. apply() is total: a command that cannot be done changes nothing, and its outcome says why. It throws only for what
 *     this program does not know (UNSUPPORTED_VERSION): then nothing has changed, and nothing more may be applied.
 *  3. Ids only grow and are never given out twice.
 *  4. The ranges of a collection's shards tile the hash space; the replicas of a shard are on different workers, but
 *     for one that is being replaced where it is.
 *  5. Each command that changes anything does so under one new revision.
 *  6. Its incarnation is set once and tells this history from that of a driver that started from nothing again.
 *  7. A replica leaves the members of a shard only together with a removal record, kept until its worker confirms.
 */
export class PlacementMachine {
  private readonly names = new Map<string, CollectionRecord>();
  private readonly moving: Moving;
  readonly levels: Levels;
  readonly schemas: Schemas;
  private digested: { readonly revision: Revision; readonly text: string } | null = null;

  private constructor(private readonly store: RowStore) {
    for (const row of store.tables.collection.values()) this.names.set(row.record.name, row.record);
    this.levels = new Levels(store, () => this.nextRevision({}));
    this.schemas = new Schemas(store, this.names, () => this.nextRevision({}));
    this.moving = new Moving(store, {
      candidates: (avoid) => this.candidates(avoid),
      nextRevision: (allocated) => this.nextRevision(allocated),
      orderRemoval: (shard, member, at) => this.orderRemoval(shard, member, false, at),
    });
  }

  static fresh(cluster: ClusterId): PlacementMachine {
    const store = new RowStore({
      cluster,
      revision: revision(0),
      compacted: revision(0),
      worker: 1,
      collection: 1,
      shard: 1,
      replica: placementReplicaIdMax + 1,
    });
    store.setCounters(store.counters);
    return new PlacementMachine(store);
  }

  /** From every row of another machine's state, in any order. */
  static fromRows(rows: readonly Row[]): PlacementMachine {
    return new PlacementMachine(RowStore.restore(rows));
  }

  /** From serialise(). Throws CORRUPT. */
  static restore(bytes: Uint8Array): PlacementMachine {
    return PlacementMachine.fromRows(decode(rowsCodec, bytes));
  }

  /** The whole state; equal states give equal bytes. */
  serialise(): Uint8Array {
    return encode(rowsCodec, this.rows());
  }

  /** Every row of the state in the order of keys. */
  rows(): Row[] {
    return this.store.sorted();
  }

  /** Equal for equal states. Computed once a revision, as nothing changes without one. */
  digest(): string {
    if (this.digested?.revision !== this.revision) {
      this.digested = { revision: this.revision, text: digestOf(this.serialise()) };
    }
    return this.digested.text;
  }

  get cluster(): ClusterId {
    return this.store.counters.cluster;
  }

  get revision(): Revision {
    return this.store.counters.revision;
  }

  /** 0: not drawn yet. */
  get incarnation(): number {
    return this.store.incarnation;
  }

  /** Of the flags that are on. */
  get level(): number {
    return this.store.level;
  }

  worker(id: WorkerId): WorkerRecord | null {
    return this.store.tables.worker.get(id)?.record ?? null;
  }

  /** Every worker that ever registered, draining or not, in the order of ids. */
  workerIds(): WorkerId[] {
    return [...this.store.tables.worker.keys()].sort((a, b) => a - b).map(workerId);
  }

  shard(id: number): ShardRecord | null {
    return this.store.tables.shard.get(id)?.record ?? null;
  }

  shards(): ShardRecord[] {
    return [...this.store.tables.shard.values()].map((row) => row.record).sort((a, b) => a.id - b.id);
  }

  move(shard: number): MoveRecord | null {
    return this.store.tables.move.get(shard)?.record ?? null;
  }

  get moveCount(): number {
    return this.store.tables.move.size;
  }

  /** Whether the worker has been told to remove the replica and has not confirmed it. */
  isToRemove(worker: WorkerId, replica: ReplicaId): boolean {
    return this.store.tables.removal.get(replica)?.record.worker === worker;
  }

  /** See changes.ts. `from` must not be ahead of `revision`. */
  changesSince(from: Revision, worker: WorkerId): PlacementChange {
    return changesSince(this.store, from, worker);
  }

  /** What must be written to disk since the last call; a null row is to be deleted. */
  drainWrites(): { readonly key: RowKey; readonly row: Row | null }[] {
    return this.store.drainWrites();
  }

  /** Why the operation would be rejected now; lets a leader refuse before anything reaches the log. */
  check(operation: PlacementOperation): VectronError | null {
    const plan = this.plan(operation);
    return plan instanceof VectronError ? plan : null;
  }

  /** `own`: the levels this program supports. */
  apply(command: Uint8Array, own: FlagRange = flagRange): PlacementOutcome {
    let operation: PlacementOperation;
    try {
      operation = decode(placementCommandCodec, command).operation;
    } catch (thrown) {
      const error = asVectronError(thrown);
      if (error.code === 'UNSUPPORTED_VERSION') throw error;
      return { kind: 'rejected', error };
    }
    const plan = this.plan(operation, own);
    return plan instanceof VectronError ? { kind: 'rejected', error: plan } : plan();
  }

  private plan(operation: PlacementOperation, own = flagRange): Plan {
    if (placementLevels[operation.kind] > this.level) {
      return new VectronError('FAILED_PRECONDITION', `${operation.kind} is of a higher level than ${this.level}`);
    }
    switch (operation.kind) {
      case 'registerWorker':
        return () => this.registerWorker(operation);
      case 'createCollection':
        return this.planCreation({ ...operation, storage: defaultStorage, ttlMs: 0 });
      case 'createStored':
        return this.planCreation({ ...operation, ttlMs: 0 });
      case 'createMortal':
        return mayEnd(this.level) ?? this.planCreation(operation);
      case 'deleteCollection':
        return this.planDeletion(operation);
      case 'confirmRemovals':
        return () => this.confirmRemovals(operation);
      case 'found':
        return () => this.found(operation);
      case 'moveReplica':
        return this.moving.plan(operation);
      case 'settleMembers':
        return () => this.moving.settle(operation);
      case 'noteSupport':
        return () => this.levels.note(operation);
      case 'raiseLevel':
        return this.levels.plan(operation, own);
      case 'changeSchema':
        return this.schemas.plan(operation, this.level);
      case 'changeTtl':
        return this.schemas.planTtl(operation, this.level);
      case 'settleSchema':
        return () => this.schemas.settle(operation);
    }
  }

  private found({ incarnation }: PlacementOperationOf<'found'>): PlacementOutcome {
    if (this.incarnation === 0 && incarnation !== 0) {
      this.store.put({ kind: 'founding', revision: this.nextRevision({}), id: 0, incarnation });
    }
    return { kind: 'founded', revision: this.revision };
  }

  private registerWorker(wanted: PlacementOperationOf<'registerWorker'>): PlacementOutcome {
    const ofNode = this.workersOf(wanted.node);
    const known = ofNode.find((worker) => worker.storeIncarnation === wanted.storeIncarnation);
    const id = known?.id ?? workerId(this.store.counters.worker);
    const { kind: _, ...fields } = wanted;
    const record: WorkerRecord = { id, ...fields, state: 'ready' };
    const replaced = ofNode.filter((worker) => worker.id !== id && worker.state !== 'draining');
    if (known === undefined || !sameWorker(known, record) || replaced.length > 0) {
      const at = this.nextRevision({ worker: Math.max(this.store.counters.worker, id + 1) });
      for (const worker of replaced) {
        this.store.put({ kind: 'worker', revision: at, record: { ...worker, state: 'draining' } });
      }
      this.store.put({ kind: 'worker', revision: at, record });
    }
    return { kind: 'workerRegistered', worker: id, revision: this.revision };
  }

  private planCreation(wanted: WantedCollection): Plan {
    const error = collectionError(wanted);
    if (error !== null) return error;
    if (this.names.has(wanted.name)) {
      return new VectronError('ALREADY_EXISTS', `collection ${wanted.name} exists`, { field: 'name' });
    }
    if (this.names.size >= collectionCountMax) {
      return new VectronError('RESOURCE_EXHAUSTED', `${collectionCountMax} collections exist, which is the limit`);
    }
    const candidates = this.candidates(wanted.avoid);
    if (candidates.length < wanted.replicationFactor) return this.tooFewWorkers(wanted, candidates.length);
    return () => this.createCollection(wanted, candidates);
  }

  private tooFewWorkers(wanted: WantedCollection, healthy: number): VectronError {
    const registered = this.candidates([]).length;
    const message = `${wanted.replicationFactor} replicas need as many ready workers; ${registered} are registered`;
    return registered < wanted.replicationFactor
      ? new VectronError('FAILED_PRECONDITION', message, { field: 'replication_factor' })
      : new VectronError('RESOURCE_EXHAUSTED', `${message}, ${healthy} of them alive`, { retryAfterMs });
  }

  private createCollection(wanted: WantedCollection, candidates: readonly Candidate[]): PlacementOutcome {
    const { counters } = this.store;
    const { name, dimension, metric, hnsw, replicationFactor, shardCount, storage } = wanted;
    const at = this.nextRevision({
      collection: counters.collection + 1,
      shard: counters.shard + shardCount,
      replica: counters.replica + shardCount * replicationFactor,
    });
    const id = collectionId(counters.collection);
    const shards = tile(shardCount).map((range, i): ShardRecord => {
      const members = chooseWorkers(candidates, replicationFactor).map(({ worker, node }, j) => ({
        replica: replicaId(counters.replica + i * replicationFactor + j),
        worker,
        node,
      }));
      const epoch = { version: 1, confVersion: 1 };
      return { id: shardId(counters.shard + i), collection: id, range, epoch, members };
    });
    const shardIds = shards.map((shard) => shard.id);
    const collection: CollectionRecord = { id, name, dimension, metric, hnsw, replicationFactor, shardIds, storage };
    this.store.put({ kind: 'collection', revision: at, record: collection });
    for (const record of shards) this.store.put({ kind: 'shard', revision: at, record });
    this.names.set(name, collection);
    this.schemas.begin(id, wanted.ttlMs, at);
    return { kind: 'collectionCreated', collection, revision: at };
  }

  private planDeletion(wanted: PlacementOperationOf<'deleteCollection'>): Plan {
    const collection = this.names.get(wanted.name);
    if (collection !== undefined) return () => this.deleteCollection(collection);
    return noCollection(wanted.name);
  }

  private deleteCollection(collection: CollectionRecord): PlacementOutcome {
    const at = this.nextRevision({});
    this.names.delete(collection.name);
    this.store.remove('collection', collection.id);
    this.store.remove('schema', collection.id);
    this.store.put({ kind: 'collectionDeleted', revision: at, id: collection.id });
    for (const id of collection.shardIds) this.retireShard(present(this.shard(id), `shard ${id}`), at);
    this.store.compact(tombstonesMax);
    return { kind: 'collectionDeleted', revision: at };
  }

  private retireShard(shard: ShardRecord, at: Revision): void {
    this.store.remove('shard', shard.id);
    this.store.put({ kind: 'shardRetired', revision: at, id: shard.id });
    this.store.remove('move', shard.id);
    for (const member of shard.members) this.orderRemoval(shard, member, true, at);
  }

  private orderRemoval({ id: shard, epoch }: ShardRecord, member: Member, shardRetired: boolean, at: Revision): void {
    const { replica, worker } = member;
    const { confVersion } = epoch;
    const record = { cluster: this.cluster, shard, replica, worker, confVersion, shardRetired, revision: at };
    this.store.put({ kind: 'removal', revision: at, record });
  }

  private confirmRemovals({ worker, replicas }: PlacementOperationOf<'confirmRemovals'>): PlacementOutcome {
    const gone = replicas.filter((replica) => this.isToRemove(worker, replica));
    if (gone.length > 0) this.nextRevision({});
    for (const replica of gone) this.store.remove('removal', replica);
    return { kind: 'removalsConfirmed', revision: this.revision };
  }

  private nextRevision(allocated: Partial<Record<'worker' | 'collection' | 'shard' | 'replica', number>>): Revision {
    const next = revision(this.revision + 1);
    this.store.setCounters({ ...this.store.counters, ...allocated, revision: next });
    return next;
  }

  private workersOf(node: NodeName): WorkerRecord[] {
    return [...this.store.tables.worker.values()].map((row) => row.record).filter((worker) => worker.node === node);
  }

  /** Ready workers that are not to be avoided, with how many replicas each has. */
  private candidates(avoid: readonly WorkerId[]): Candidate[] {
    const candidates = new Map<WorkerId, Candidate>();
    for (const { record } of this.store.tables.worker.values()) {
      if (record.state !== 'ready' || avoid.includes(record.id) || !this.levels.mayHost(record.id)) continue;
      const { id, node, zone, rack } = record;
      candidates.set(id, { worker: id, node, zone, rack, replicas: 0 });
    }
    for (const { record } of this.store.tables.shard.values()) {
      for (const { worker } of record.members) {
        const candidate = candidates.get(worker);
        if (candidate !== undefined) candidate.replicas++;
      }
    }
    return [...candidates.values()];
  }
}

function sameWorker(a: WorkerRecord, b: WorkerRecord): boolean {
  const fields = ['address', 'zone', 'rack', 'state'] as const;
  return fields.every((field) => a[field] === b[field]);
}
