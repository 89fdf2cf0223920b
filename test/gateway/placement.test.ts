import { beforeEach, describe, expect, test } from '@jest/globals';
import { revision, term } from '../../src/base/ids';
import type { CallOf, Outcome } from '../../src/gateway/calls';
import { RoutingTable } from '../../src/gateway/routing-table';
import { plainWrite } from '../../src/protocol/commands';
import { at, placementActor } from '../../src/protocol/envelope';
import type { Message } from '../../src/protocol/messages';
import type { PlacementChange } from '../../src/protocol/placement-messages';
import { defaultStorage } from '../../src/protocol/records';
import { FakeCluster, vector } from './fake-cluster';

let cluster: FakeCluster;
const create = (name: string, shardCount = 2): CallOf<'createCollection'> => ({
  kind: 'createCollection',
  name,
  dimension: 2,
  metric: 'dot',
  hnsw: { m: 16, efConstruction: 200 },
  storage: defaultStorage,
  ttlMs: 0,
  shardCount,
  replicationFactor: 3,
});
const status = (name: string): CallOf<'collectionStatus'> => ({ kind: 'collectionStatus', name });
const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.error.code);

function loseFirst(kind: Message['kind']): void {
  let seen = 0;
  cluster.loses = (message) => message.kind === kind && seen++ === 0;
}

beforeEach(() => {
  cluster = new FakeCluster();
});

describe('collections', () => {
  test('a new one answers when every shard has a leader', () => {
    const before = cluster.nowMs;
    expect(cluster.answer(create('things'))).toMatchObject({ name: 'things', dimension: 2 });
    expect(cluster.nowMs - before).toBeGreaterThanOrEqual(300);
    const state = cluster.answer(status('things'));
    expect(state.shards.map(({ ready, leader }) => [ready, leader?.node])).toEqual([
      [true, 'machine-2'],
      [true, 'machine-2'],
    ]);
    expect(cluster.answer({ kind: 'listCollections' })).toEqual({ names: ['things'] });
  });

  const mortal = (name: string, ttlMs: number) => ({ ...create(name), ttlMs });

  test('a new one whose points end answers when every shard knows', () => {
    cluster.settlesTtlAfterMs = 900;
    const before = cluster.nowMs;
    cluster.answer(mortal('things', 5_000));
    expect(cluster.nowMs - before).toBeGreaterThanOrEqual(900);
    expect(cluster.sentOf('pd.createCollection')).toEqual([]);
    expect(cluster.answer(status('things')).ttlMs).toBe(5_000);
  });

  test('one that another client made with another life of points is not ours', () => {
    cluster.answer(mortal('things', 5_000));
    loseFirst('pd.collectionCreated');
    expect(codeOf(cluster.outcome(mortal('things', 6_000)))).toBe('ALREADY_EXISTS');
    loseFirst('pd.collectionCreated');
    expect(codeOf(cluster.outcome(mortal('things', 5_000)))).toBe('ok');
  });

  test('how long points live changes when every shard has it, or says that it did not in time', () => {
    cluster.answer(create('things'));
    expect(cluster.answer(status('things')).ttlMs).toBe(0);
    cluster.settlesTtlAfterMs = 400;
    const change = { kind: 'changeTtl', name: 'things', ttlMs: 70 } as const;
    expect(cluster.answer(change)).toEqual({ ttlMs: 70, settled: true });
    expect(cluster.answer(status('things')).ttlMs).toBe(70);
    expect(codeOf(cluster.outcome({ ...change, ttlMs: 80 }, 200))).toBe('DEADLINE_EXCEEDED');
    expect(codeOf(cluster.outcome({ ...change, name: 'none' }))).toBe('NOT_FOUND');
  });

  test('a driver that does not say how long points live keeps nobody from the rest', () => {
    cluster.answer(create('things'));
    cluster.loses = (message) => message.kind === 'pd.getTtl';
    const { ttlMs, shards } = cluster.answer(status('things'));
    expect([ttlMs, shards.length]).toEqual([null, 2]);
  });

  test('without leaders in time the error says that it exists', () => {
    const outcome = cluster.outcome(create('things'), 200);
    expect(codeOf(outcome)).toBe('DEADLINE_EXCEEDED');
    expect(outcome.ok ? '' : outcome.error.message).toContain('is created');
  });

  test('an existing one is ALREADY_EXISTS', () => {
    cluster.answer(create('things'));
    expect(cluster.outcome(create('things'))).toMatchObject({
      ok: false,
      error: { code: 'ALREADY_EXISTS', field: 'name' },
    });
  });

  test('a lost answer to our own creation is not ALREADY_EXISTS', () => {
    loseFirst('pd.collectionCreated');
    expect(cluster.answer(create('things'))).toMatchObject({ name: 'things' });
    expect(cluster.sentOf('pd.createCollection').length).toBeGreaterThan(1);
  });

  test('a lost answer does not make another description ours', () => {
    cluster.answer(create('things'));
    loseFirst('pd.collectionCreated');
    expect(codeOf(cluster.outcome({ ...create('things'), dimension: 3 }))).toBe('ALREADY_EXISTS');
  });

  test('a deleted one is gone, and so for a lost answer', () => {
    cluster.answer(create('things'));
    loseFirst('pd.collectionDeleted');
    expect(cluster.answer({ kind: 'deleteCollection', name: 'things' })).toBeNull();
    expect(codeOf(cluster.outcome(status('things')))).toBe('NOT_FOUND');
    expect(codeOf(cluster.outcome({ kind: 'deleteCollection', name: 'things' }))).toBe('NOT_FOUND');
  });

  test('a status shows who is silent', () => {
    const [shard] = cluster.addCollection('things', 1);
    cluster.down.add(shard?.record.members[2]?.node as never);
    const one = cluster.answer(status('things'));
    expect(one.shards[0]?.replicas.map(({ role }) => role)).toEqual(['leader', 'follower', '']);
    expect(one.shards[0]?.ready).toBe(true);
    cluster.down.add(shard?.record.members[1]?.node as never);
    expect(cluster.answer(status('things')).shards[0]?.ready).toBe(false);
  });
});

describe('the watch', () => {
  test('an unknown collection is asked for before NOT_FOUND is said', () => {
    cluster.answer({ kind: 'listCollections' });
    expect(codeOf(cluster.outcome(status('things')))).toBe('NOT_FOUND');
    // Created through another gateway: no event has told us.
    cluster.addCollection('things', 1);
    const before = cluster.nowMs;
    cluster.answer(status('things'));
    expect(cluster.nowMs - before).toBeLessThan(20);
  });

  test('without a placement driver an unknown collection is UNAVAILABLE and a known one works', () => {
    cluster.addCollection('known', 1);
    cluster.answer(status('known'));
    cluster.loses = (message) => message.kind === 'pd.watch';
    cluster.runUntil(cluster.nowMs + 60_000);
    expect(codeOf(cluster.outcome(status('unknown')))).toBe('UNAVAILABLE');
    const points = [{ id: 'a', vector: vector(1, 2), payload: new Uint8Array(0) }];
    expect(cluster.answer({ kind: 'upsert', collection: 'known', points, options: plainWrite })).toMatchObject({
      count: 1,
    });
    expect(cluster.answer({ kind: 'listCollections' })).toEqual({ names: ['known'] });
  });

  test('a new leader is found by its predecessor, and without it', () => {
    cluster.answer({ kind: 'listCollections' });
    cluster.placementLeader = 2;
    expect(codeOf(cluster.outcome(create('one'), 2_000))).toBe('ok');
    cluster.placementLeader = 1;
    cluster.down.add('pd-3' as never);
    expect(codeOf(cluster.outcome(create('two'), 5_000))).toBe('ok');
  });

  test('peers are where workers listen', () => {
    cluster.answer({ kind: 'listCollections' });
    expect(cluster.peers).toContainEqual({ node: 'machine-2', address: 'machine-2:1' });
    expect(cluster.actor.ready).toBe(true);
  });

  test('a leader hint saves the search for the leader', () => {
    const [shard] = cluster.addCollection('things', 1);
    if (shard === undefined) throw new Error('no shard');
    cluster.answer(status('things'));
    shard.leader = 2;
    const { id, epoch, members } = shard.record;
    const hint = { shard: id, epoch, term: term(9), leader: members[2]?.replica ?? (0 as never) };
    cluster.deliver(at('pd-1' as never, placementActor), cluster.watchEvent(0, [hint]), 0);
    cluster.runUntil(cluster.nowMs + 5);
    cluster.answer({ kind: 'delete', collection: 'things', ids: ['a'], options: plainWrite });
    expect(cluster.sentOf('data.write').map(({ to }) => to.node)).toEqual(['machine-3']);
  });

  test('an event with a gap before it is not applied but asked for again', () => {
    cluster.answer({ kind: 'listCollections' });
    cluster.addCollection('things', 1);
    const event = cluster.watchEvent(0);
    const ahead = { ...event.change, full: false, fromRevision: revision(cluster.revision), collections: [] };
    cluster.sent.length = 0;
    cluster.deliver(at('pd-1' as never, placementActor), { ...event, change: ahead }, 0);
    cluster.runUntil(cluster.nowMs + 10);
    expect(cluster.sentOf('pd.watch').length).toBe(1);
    cluster.loses = (message) => message.kind === 'pd.watch';
    cluster.answer(status('things'));
  });

  test('a driver that started from nothing is not followed, until the one that is known is back', () => {
    cluster.answer({ kind: 'listCollections' });
    cluster.incarnation = 5;
    cluster.addCollection('things', 1);
    cluster.answer(status('things'));
    cluster.incarnation = 6;
    cluster.addCollection('others', 1);
    const outcome = cluster.outcome(status('others'), 3_000);
    expect(codeOf(outcome)).toBe('UNAVAILABLE');
    expect(outcome.ok ? '' : outcome.error.message).toContain('from nothing');
    cluster.incarnation = 5;
    expect(codeOf(cluster.outcome(status('others'), 5_000))).toBe('ok');
  });

  test('many callers of an unknown collection share the questions to the placement driver', () => {
    cluster.answer({ kind: 'listCollections' });
    cluster.sent.length = 0;
    const codes: string[] = [];
    for (let i = 0; i < 50; i++) cluster.submit(status('none'), 1_000, (outcome) => void codes.push(codeOf(outcome)));
    cluster.runUntil(cluster.nowMs + 100);
    expect(codes).toEqual(Array.from({ length: 50 }, () => 'NOT_FOUND'));
    expect(cluster.sentOf('pd.watch').length).toBeLessThanOrEqual(2);
  });
});

describe('the routing table', () => {
  const change = (fields: Partial<PlacementChange>): PlacementChange => ({
    ...new FakeCluster().watchEvent(0).change,
    full: false,
    workers: [],
    ...fields,
  });

  test('an event that continues from ahead is a gap and is not applied', () => {
    const table = new RoutingTable();
    const [shard] = cluster.addCollection('things', 1);
    const full = cluster.watchEvent(0).change;
    expect(table.apply({ ...full, revision: revision(5) })).toBe('applied');
    const retired = shard === undefined ? [] : [shard.record.id];
    const ahead = change({ fromRevision: revision(6), revision: revision(7), shardsRetired: retired });
    expect(table.apply(ahead)).toBe('gap');
    expect([table.revision, table.shard(retired[0] as never)?.id]).toEqual([5, retired[0]]);
    expect(table.apply({ ...ahead, fromRevision: revision(5) })).toBe('applied');
    expect(table.shard(retired[0] as never)).toBeUndefined();
  });

  test('what is older is ignored, epochs never go back, and holes are seen', () => {
    const table = new RoutingTable();
    const [one, two] = cluster.addCollection('things', 2);
    if (one === undefined || two === undefined) throw new Error('no shards');
    const { collection } = one.record;
    const full = cluster.watchEvent(0).change;
    table.apply({ ...full, revision: revision(5), shards: [one.record] });
    expect(table.shardsOf(collection)).toBeNull();
    table.apply(change({ fromRevision: revision(5), revision: revision(6), shards: [two.record] }));
    expect(table.shardsOf(collection)?.map(({ id }) => id)).toEqual([one.record.id, two.record.id]);
    expect(table.learnEpoch(one.record.id, { version: 1, confVersion: 4 })).toBe(true);
    table.apply(change({ fromRevision: revision(6), revision: revision(7), shards: [one.record] }));
    expect(table.shard(one.record.id)?.epoch.confVersion).toBe(4);
    expect(table.learnEpoch(one.record.id, { version: 1, confVersion: 3 })).toBe(false);
    expect(table.apply({ ...full, revision: revision(3), collections: [] })).toBe('stale');
    expect(table.collection('things')).toBeDefined();
  });
});
