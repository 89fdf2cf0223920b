import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import { logIndex, type Revision, term } from '../../base/ids';
import { type MonotonicMs, monotonicMs } from '../../base/time';
import { noFigures } from '../../protocol/data-messages';
import type { Message } from '../../protocol/messages';
import type { CollectionRecord, Member, ShardRecord } from '../../protocol/records';
import type {
  AnswerOf,
  CallOf,
  CollectionState,
  CollectionTtl,
  Done,
  Outcome,
  ReplicaState,
  ShardState,
} from '../calls';
import { type GroupOutcome, type Reply } from '../group-calls';
import { memberAddress } from '../routing-table';
import { askMember, type Core, type Found, findCollection, findShards, refreshMs } from './core';
import { awaitTtl, lookAtTtl } from './ttl';

/** How long a replica has to say how it is. */
const statusMs = 1_000;
const pollMs = 100;

/** Answers once every shard has a leader, so that the first write finds one, and knows how long its points live. */
export function createCollection(
  core: Core,
  call: CallOf<'createCollection'>,
  until: MonotonicMs,
  done: Done<CollectionRecord>,
): void {
  const { name, ttlMs } = call;
  const message = (request: number) => creation(call, request);
  core.placement.ask(until, message, (outcome) =>
    awaitRevision(core, until, outcome, (error) => {
      const collection = core.table.collection(name);
      const failure = error !== null && isOurOwn(call, collection, outcome) ? null : error;
      if (failure !== null) return done({ ok: false, error: failure });
      if (collection === undefined) return done({ ok: false, error: vanished(name) });
      awaitLeaders(core, collection, until, (created) => {
        if (!created.ok || ttlMs === 0) return done(created);
        awaitTtl(core, name, until, (settled) => done(withTtl(created, settled, call)));
      });
    }),
  );
}

function creation(call: CallOf<'createCollection'>, request: number): Message {
  const { name, dimension, metric, hnsw, shardCount, replicationFactor, storage, ttlMs } = call;
  const wanted = { request, name, dimension, metric, hnsw, shardCount, replicationFactor, storage };
  return ttlMs === 0 ? { kind: 'pd.createCollection', ...wanted } : { kind: 'pd.createMortal', ...wanted, ttlMs };
}

/** One that looked like ours may have been another client's, which differs in this. */
function withTtl(
  created: Outcome<CollectionRecord>,
  settled: Outcome<CollectionTtl>,
  { name, ttlMs }: CallOf<'createCollection'>,
): Outcome<CollectionRecord> {
  if (!settled.ok || settled.answer.ttlMs === ttlMs) return settled.ok ? created : settled;
  const message = `collection ${name} exists, with another ttl_ms`;
  return { ok: false, error: new VectronError('ALREADY_EXISTS', message, { field: 'name' }) };
}

/**
 * ALREADY_EXISTS after an attempt that nobody answered, with just what we asked for: that attempt created it. (Or another
 * client did, at the same moment and alike, which makes no difference to this one.)
 */
function isOurOwn(
  call: CallOf<'createCollection'>,
  collection: CollectionRecord | undefined,
  outcome: GroupOutcome,
): boolean {
  return (
    outcome.kind === 'failed' &&
    outcome.error.code === 'ALREADY_EXISTS' &&
    outcome.unsureCount > 0 &&
    collection !== undefined &&
    collection.dimension === call.dimension &&
    collection.metric === call.metric &&
    collection.hnsw.m === call.hnsw.m &&
    collection.hnsw.efConstruction === call.hnsw.efConstruction &&
    collection.shardIds.length === call.shardCount &&
    collection.replicationFactor === call.replicationFactor &&
    collection.storage.quantisation === call.storage.quantisation &&
    collection.storage.originals === call.storage.originals
  );
}

const vanished = (name: string): VectronError =>
  new VectronError('NOT_FOUND', `collection ${name} was deleted while it was created`, { field: 'name' });

export function deleteCollection(
  core: Core,
  { name }: CallOf<'deleteCollection'>,
  until: MonotonicMs,
  done: Done<null>,
): void {
  const message = (request: number) => ({ kind: 'pd.deleteCollection' as const, request, name });
  core.placement.ask(until, message, (outcome) =>
    awaitRevision(core, until, outcome, (error) => {
      const gone = error?.code === 'NOT_FOUND' && outcome.kind === 'failed' && outcome.unsureCount > 0;
      if (error === null || gone) done({ ok: true, answer: null });
      else done({ ok: false, error });
    }),
  );
}

/** The placement driver's outcome, once the table shows its effect: this gateway's next call must see it. */
function awaitRevision(
  core: Core,
  until: MonotonicMs,
  outcome: GroupOutcome,
  then: (error: VectronError | null) => void,
): void {
  assert(outcome.kind !== 'replaced', 'the placement driver is never replaced');
  const wanted = outcome.kind === 'answered' ? revisionOf(outcome.reply) : null;
  const error = outcome.kind === 'failed' ? outcome.error : null;
  const look = (): void => {
    const left = until - core.scope.now;
    if (wanted !== null && core.table.revision >= wanted) {
      then(error);
      return;
    }
    if (left <= 0) {
      then(error ?? new VectronError('DEADLINE_EXCEEDED', 'done, but its effect is not seen yet'));
      return;
    }
    core.placement.refresh(Math.min(refreshMs, left), () => (wanted === null ? then(error) : look()));
  };
  look();
}

function revisionOf(reply: Reply): Revision {
  assert(
    reply.kind === 'pd.collectionCreated' || reply.kind === 'pd.collectionDeleted',
    `the placement driver answered by ${reply.kind}`,
  );
  return reply.revision;
}

function awaitLeaders(
  core: Core,
  collection: CollectionRecord,
  until: MonotonicMs,
  done: Done<CollectionRecord>,
): void {
  inspect(core, collection, until, (shards) => {
    if (shards instanceof VectronError) return done({ ok: false, error: shards });
    const waiting = shards.filter((shard) => shard.leader === null);
    if (waiting.length === 0) return done({ ok: true, answer: collection });
    const left = until - core.scope.now;
    if (left <= 0) {
      const error = new VectronError(
        'DEADLINE_EXCEEDED',
        `collection ${collection.name} is created, but ${waiting.length} of its shards have no leader yet`,
      );
      return done({ ok: false, error });
    }
    core.scope.after(Math.min(pollMs, left), () => awaitLeaders(core, collection, until, done));
  });
}

/** As fresh as the call when the placement driver answers, else what is known here. */
export function listCollections(core: Core, until: MonotonicMs, done: Done<AnswerOf<'listCollections'>>): void {
  core.placement.refresh(Math.min(refreshMs, until - core.scope.now), (error) => {
    if (error !== null && !core.table.known) done({ ok: false, error });
    else done({ ok: true, answer: { names: core.table.collectionNames() } });
  });
}

export function collectionStatus(
  core: Core,
  call: CallOf<'collectionStatus'>,
  until: MonotonicMs,
  done: Done<CollectionState>,
): void {
  const found: Found<CollectionRecord> = (collection) => {
    if (collection instanceof VectronError) return done({ ok: false, error: collection });
    inspect(core, collection, until, (shards) => {
      if (shards instanceof VectronError) return done({ ok: false, error: shards });
      const soon = monotonicMs(Math.min(until, core.scope.now + statusMs));
      lookAtTtl(core, call.name, soon, (ttl) =>
        done({ ok: true, answer: { collection, shards, ttlMs: ttl instanceof VectronError ? null : ttl.ttlMs } }),
      );
    });
  };
  findCollection(core, call.name, until, found, 'name');
}

/** Asks every replica how it is; those that do not say so in time are shown without a role. */
function inspect(
  core: Core,
  collection: CollectionRecord,
  until: MonotonicMs,
  then: Found<readonly ShardState[]>,
): void {
  findShards(core, collection, until, (shards) => {
    if (shards instanceof VectronError) return then(shards);
    const states = new Map<Member, ReplicaState>();
    let outstanding = shards.reduce((sum, shard) => sum + shard.members.length, 0);
    const soon = monotonicMs(Math.min(until, core.scope.now + statusMs));
    for (const shard of shards) {
      for (const member of shard.members) {
        inspectMember(core, shard, member, soon, (state) => {
          states.set(member, state);
          if (--outstanding === 0) then(shards.map((one) => stateOf(one, states)));
        });
      }
    }
  });
}

function inspectMember(
  core: Core,
  shard: ShardRecord,
  member: Member,
  until: MonotonicMs,
  then: (state: ReplicaState) => void,
): void {
  askMember(core, shard, memberAddress(member), {
    until,
    attemptMs: statusMs,
    message: (header) => ({ kind: 'data.status', ...header }),
    done: (outcome) => {
      const reply = outcome.kind === 'answered' && outcome.reply.kind === 'data.statusReply' ? outcome.reply : null;
      then({
        replica: member.replica,
        node: member.node,
        role: reply?.role ?? '',
        term: reply?.term ?? term(0),
        appliedIndex: reply?.appliedIndex ?? logIndex(0),
        points: reply?.points ?? 0,
        unlinked: reply?.unlinked ?? 0,
        index: reply?.index ?? noFigures,
      });
    },
  });
}

function stateOf(shard: ShardRecord, states: ReadonlyMap<Member, ReplicaState>): ShardState {
  const replicas = shard.members.map((member) => states.get(member)).filter((state) => state !== undefined);
  const leaders = replicas.filter((replica) => replica.role === 'leader').sort((a, b) => b.term - a.term);
  const answered = replicas.filter((replica) => replica.role !== '').length;
  const leader = leaders[0] ?? null;
  return { shard: shard.id, replicas, leader, ready: leader !== null && answered * 2 > shard.members.length };
}
