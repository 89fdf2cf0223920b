import { present } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { ShardId } from '../../base/ids';
import type { MonotonicMs } from '../../base/time';
import type { Failure, ReadLevel } from '../../protocol/data-messages';
import type { Address } from '../../protocol/envelope';
import type { Epoch } from '../../protocol/ids';
import type { KeyHash } from '../../protocol/key-hash';
import type { Message } from '../../protocol/messages';
import type { CollectionRecord, ShardRecord } from '../../protocol/records';
import { type DrawnKey, KeySession } from '../../protocol/session-key';
import type { ActorContext } from '../../runtime/actor';
import type { Ask, GroupCalls, GroupOutcome } from '../group-calls';
import { type PlacementLink, shardGroup } from '../placement-link';
import { memberAddress, type RoutingTable } from '../routing-table';
import type { Scope } from '../scope';

/** Draws idempotency keys, as one session's, that no other gateway, nor an earlier life of this one, has ever drawn. */
export class WriteKeys {
  private session: KeySession | null = null;

  /** Two lives of one gateway differ in both clocks, even if one of them is set back. */
  begin({ self, wall, now }: Pick<ActorContext, 'self' | 'wall' | 'now'>): void {
    this.session = new KeySession(`${self.node.slice(0, 64)}/${wall.toString(36)}.${now.toString(36)}`);
  }

  next(): DrawnKey {
    return present(this.session, 'the session of a gateway that has begun').next();
  }

  finished(drawn: DrawnKey): void {
    this.session?.finished(drawn);
  }
}

/** What operations share. Owned by the gateway's actor. */
export interface Core {
  readonly scope: Scope;
  readonly calls: GroupCalls;
  readonly table: RoutingTable;
  readonly placement: PlacementLink;
  readonly keyHash: KeyHash;
  readonly writeKeys: WriteKeys;
}

export interface RequestHeader {
  readonly request: number;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly timeoutMs: number;
}

export interface ShardAsk {
  readonly shard: ShardRecord;
  readonly ask: Ask;
  readonly until: MonotonicMs;
  readonly attemptMs: number;
  message(header: RequestHeader): Message;
  done(outcome: GroupOutcome): void;
}

/** Asks a shard until its range or the shard itself is no longer what it was. Returns how to cancel it. */
export function askShard(core: Core, ask: ShardAsk): () => void {
  const { table, placement } = core;
  const { id, epoch } = ask.shard;
  const current = (): ShardRecord | null => {
    const shard = table.shard(id);
    return shard !== undefined && shard.epoch.version === epoch.version ? shard : null;
  };
  return core.calls.start({
    group: shardGroup(ask.shard),
    ask: ask.ask,
    until: ask.until,
    attemptMs: ask.attemptMs,
    members: () => current()?.members.map(memberAddress) ?? null,
    message: (request, timeoutMs) => ask.message({ request, shard: id, epoch: current()?.epoch ?? epoch, timeoutMs }),
    learn: (failure: Failure) => {
      placement.refresh(refreshMs, ignore);
      return failure.epoch !== null && table.learnEpoch(id, failure.epoch);
    },
    done: ask.done,
  });
}

export const refreshMs = 1_000;
/** Between looks at a routing that has a hole: what is missing is on its way. */
const holeMs = 50;
const ignore = (): void => undefined;

/** One member and nobody else: for looking at a replica where it stands. */
export function askMember(core: Core, shard: ShardRecord, member: Address, ask: Omit<ShardAsk, 'shard' | 'ask'>): void {
  core.calls.start({
    group: shardGroup(shard),
    ask: 'any',
    until: ask.until,
    attemptMs: ask.attemptMs,
    members: () => [member],
    message: (request, timeoutMs) => ask.message({ request, shard: shard.id, epoch: shard.epoch, timeoutMs }),
    learn: (failure) => failure.epoch !== null && core.table.learnEpoch(shard.id, failure.epoch),
    done: ask.done,
  });
}

export type Found<T> = (found: T | VectronError) => void;

/**
 * The collection of this name. One that is unknown here may have been created through another gateway a moment ago, so
 * the placement driver is asked before NOT_FOUND is said.
 */
export function findCollection(
  core: Core,
  name: string,
  until: MonotonicMs,
  then: Found<CollectionRecord>,
  field = 'collection',
): void {
  const known = core.table.collection(name);
  if (known !== undefined) {
    then(known);
    return;
  }
  core.placement.refresh(Math.min(2 * refreshMs, until - core.scope.now), (error) =>
    then(error ?? core.table.collection(name) ?? collectionNotFound(name, field)),
  );
}

/** `field`: what the request calls it. */
export const collectionNotFound = (name: string, field = 'collection'): VectronError =>
  new VectronError('NOT_FOUND', `collection ${name} does not exist`, { field });

/** The collection's shards once they cover the whole space: while it is created or changes they may not. */
export function findShards(
  core: Core,
  collection: CollectionRecord,
  until: MonotonicMs,
  then: Found<readonly ShardRecord[]>,
): void {
  if (core.table.known && !core.table.has(collection.id)) {
    then(collectionNotFound(collection.name));
    return;
  }
  const shards = core.table.shardsOf(collection.id);
  if (shards !== null) {
    then(shards);
    return;
  }
  const left = until - core.scope.now;
  if (left <= 0) {
    then(new VectronError('UNAVAILABLE', `routing of ${collection.name} is not complete yet`));
    return;
  }
  core.placement.refresh(refreshMs, ignore);
  core.scope.after(Math.min(holeMs, left), () => findShards(core, collection, until, then));
}

/** Whom a read of this level asks. */
export const askOf = (level: ReadLevel): Ask =>
  level === 'leader' ? 'leader' : level === 'linearizable' ? 'leaderFirst' : 'any';
