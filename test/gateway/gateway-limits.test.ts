import { beforeEach, describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { type Outcome, WriteFailedError } from '../../src/gateway/calls';
import { inRange } from '../../src/protocol/key-hash';
import { failure } from '../../src/runtime/refusal';
import { errorOf, get, ids, search, upsert } from './calls';
import { FakeCluster, type FakeShard, testHash } from './fake-cluster';

let cluster: FakeCluster;
let shards: FakeShard[];
const shardOf = (id: string): FakeShard =>
  shards.find(({ record }) => inRange(record.range, testHash(id))) as FakeShard;

beforeEach(() => {
  cluster = new FakeCluster();
  shards = cluster.addCollection('things', 4);
});

describe('overload', () => {
  test('waits as long as it is told to, then succeeds', () => {
    cluster.answer(upsert(...ids));
    let refusals = 2;
    cluster.refuses = (message) =>
      message.kind === 'data.write' && message.shard === shards[0]?.record.id && refusals-- > 0
        ? failure('RESOURCE_EXHAUSTED', 'full', 200)
        : null;
    const before = cluster.nowMs;
    expect(cluster.answer(upsert(...ids))).toMatchObject({ count: 40 });
    expect(cluster.nowMs - before).toBeGreaterThanOrEqual(400);
    expect(cluster.nowMs - before).toBeLessThan(520);
  });

  test('is passed on at once, with its hint, when the deadline leaves no time to wait', () => {
    cluster.answer(upsert('a'));
    cluster.refuses = (message) => (message.kind === 'data.write' ? failure('RESOURCE_EXHAUSTED', 'full', 900) : null);
    const before = cluster.nowMs;
    const error = errorOf(cluster.outcome(upsert('a'), 800));
    expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryAfterMs: 900 });
    expect(cluster.nowMs - before).toBeLessThan(10);
  });

  test('too many calls or bytes under way are refused at once', () => {
    cluster = new FakeCluster(1, { callsMax: 2, callBytesMax: 100 });
    cluster.addCollection('things', 1);
    cluster.loses = (message) => message.kind === 'data.search' || message.kind === 'data.write';
    const codes: string[] = [];
    const note = (outcome: Outcome<unknown>): void => void codes.push(outcome.ok ? 'ok' : outcome.error.code);
    cluster.submit(search(), 1_000, note);
    cluster.submit(upsert(...ids), 1_000, note);
    cluster.runUntil(10);
    expect(codes).toEqual(['RESOURCE_EXHAUSTED']);
    cluster.submit(search(), 1_000, note);
    cluster.submit(search(), 1_000, note);
    cluster.runUntil(20);
    expect(codes).toEqual(['RESOURCE_EXHAUSTED', 'RESOURCE_EXHAUSTED']);
    cluster.runUntil(2_000);
    expect(codes.slice(2)).toEqual(['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED']);
    cluster.loses = () => false;
    expect(cluster.answer(search()).hits).toEqual([]);
  });
});

describe('deadlines', () => {
  test('a write that one shard leaves unanswered says exactly which points failed', () => {
    cluster.answer(upsert(...ids));
    const silent = shards[3] as FakeShard;
    cluster.loses = (message) => message.kind === 'data.write' && message.shard === silent.record.id;
    const error = errorOf(cluster.outcome(upsert(...ids), 900));
    expect(error).toBeInstanceOf(WriteFailedError);
    const expected = ids.map((_, i) => i).filter((i) => shardOf(ids[i] as string) === silent);
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', failed: expected, acknowledged: 40 - expected.length });
  });

  test('are told to the shards as what is left', () => {
    cluster.answer(upsert('a'), 777);
    const [first] = cluster.sentOf('data.write');
    expect(first?.message.timeoutMs).toBeGreaterThan(700);
    expect(first?.message.timeoutMs).toBeLessThanOrEqual(777);
  });

  test('when the actor ends every call hears of it', () => {
    cluster.answer(upsert('a'));
    cluster.loses = () => true;
    const codes: string[] = [];
    cluster.submit(search(), 9_000, (outcome) => void codes.push(outcome.ok ? 'ok' : outcome.error.code));
    cluster.runUntil(cluster.nowMs + 5);
    cluster.host.stop('gateway', 'test');
    expect(codes).toEqual(['UNAVAILABLE']);
  });
});

describe('under random loss and changing leaders', () => {
  test.each([11, 12, 13, 14])(
    'each call has one outcome in time, and what was acknowledged is there (seed %i)',
    (seed) => {
      const random = new Prng(seed);
      cluster = new FakeCluster(seed);
      shards = cluster.addCollection('things', 3);
      cluster.loses = () => random.chance(0.08);
      const acknowledged = new Set<string>();
      let count = 0;
      for (let round = 0; round < 60; round++) {
        const names = Array.from({ length: random.between(1, 6) }, (_, i) => `r${round}-${i}`);
        if (random.chance(0.3)) for (const shard of shards) shard.leader = random.between(0, 2);
        const outcome = cluster.outcome(upsert(...names), 4_000);
        const failed = outcome.ok || !(outcome.error instanceof WriteFailedError) ? [] : outcome.error.failed;
        if (!outcome.ok && failed.length === 0) continue;
        count++;
        for (const [i, name] of names.entries()) if (!failed.includes(i)) acknowledged.add(name);
      }
      cluster.loses = () => false;
      expect(count).toBeGreaterThan(50);
      const names = [...acknowledged];
      expect(cluster.answer(get(names)).points.map(({ id }) => id)).toEqual(names);
    },
  );
});
