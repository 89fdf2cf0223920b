import { beforeEach, describe, expect, test } from '@jest/globals';
import { logIndex, nodeName, replicaId, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { CallOf } from '../../src/gateway/calls';
import { plainWrite } from '../../src/protocol/commands';
import { type Address, at, placementActor } from '../../src/protocol/envelope';
import { inRange } from '../../src/protocol/key-hash';
import type { Message, MessageOf } from '../../src/protocol/messages';
import { failure, refusalOf } from '../../src/runtime/refusal';
import { errorOf, get, ids, search, upsert } from './calls';
import { FakeCluster, type FakeShard, pointsOf, rank, testHash, vector } from './fake-cluster';

let cluster: FakeCluster;
let shards: FakeShard[];
const ignore = (): void => undefined;
const shardOf = (id: string): FakeShard =>
  shards.find(({ record }) => inRange(record.range, testHash(id))) as FakeShard;

beforeEach(() => {
  cluster = new FakeCluster();
  shards = cluster.addCollection('things', 4);
});

describe('points', () => {
  test('are written to the shard their id hashes to, read back in order, and deleted once', () => {
    expect(cluster.answer(upsert(...ids))).toMatchObject({ count: 40 });
    for (const id of ids) expect(shardOf(id).points.has(id)).toBe(true);
    expect(shards.reduce((sum, shard) => sum + shard.points.size, 0)).toBe(40);
    const { points } = cluster.answer(get(['id-7', 'none', 'id-3']));
    expect(points.map(({ id }) => id)).toEqual(['id-7', 'id-3']);
    expect(
      cluster.answer({ kind: 'delete', collection: 'things', ids: ['id-7', 'none'], options: plainWrite }),
    ).toMatchObject({ count: 1 });
    expect(cluster.answer(get(['id-7'])).points).toEqual([]);
  });

  test('travel in parts of about a mebibyte', () => {
    const payload = new Uint8Array(300_000);
    const points = pointsOf(...ids).map((point) => ({ ...point, payload }));
    expect(cluster.answer({ kind: 'upsert', collection: 'things', points, options: plainWrite })).toMatchObject({
      count: 40,
    });
    for (const { message } of cluster.sentOf('data.write')) {
      expect(message.operation.kind === 'upsert' && message.operation.points.length).toBeLessThanOrEqual(3);
    }
  });

  test.each([
    ['a wrong dimension', 'dot' as const, vector(1, 2, 3)],
    ['no direction under cosine', 'cosine' as const, vector(0, 0)],
  ])('%s is refused by name, and nothing is sent', (_what, metric, wrong) => {
    cluster.addCollection('strict', 2, { metric });
    const [first, second] = pointsOf('a', 'b');
    const points = [first, { ...second, vector: wrong }] as CallOf<'upsert'>['points'];
    const error = errorOf(cluster.outcome({ kind: 'upsert', collection: 'strict', points, options: plainWrite }));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'points[1].vector' });
    const query = errorOf(cluster.outcome(search({ collection: 'strict', vector: wrong })));
    expect(query).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'vector' });
    expect(cluster.sentOf('data.write').length + cluster.sentOf('data.search').length).toBe(0);
  });

  test('an answer that would not fit is refused before it is made', () => {
    cluster.addCollection('wide', 1, { dimension: 65_536 });
    const many = Array.from({ length: 129 }, (_, i) => `w${i}`);
    const error = errorOf(cluster.outcome({ ...get(many), collection: 'wide' }));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'ids' });
  });
});

describe('search', () => {
  test.each([1, 2, 3, 4, 5])('the global best equal those of one list (seed %i)', (seed) => {
    const random = new Prng(seed);
    const few = Math.floor(random.between(1, 30));
    const points = Array.from({ length: 200 }, (_, i) => ({
      id: `p${i}`,
      // Coarse numbers, so that ties occur.
      vector: vector(random.between(0, few), random.between(0, few)),
      payload: new Uint8Array(0),
    }));
    cluster.answer({ kind: 'upsert', collection: 'things', points, options: plainWrite });
    for (const k of [1, 7, 200, 500]) {
      const query = vector(random.between(-3, 3), random.between(-3, 3));
      const { hits, partial, shardsTotal } = cluster.answer(search({ k, vector: query }));
      expect(hits.map(({ id, score }) => [id, score])).toEqual(
        rank(points, query, k).map(({ id, score }) => [id, score]),
      );
      expect([partial, shardsTotal]).toEqual([false, 4]);
    }
  });

  test('says what each shard did', () => {
    cluster.answer(upsert(...ids));
    const { shards: stats } = cluster.answer(search());
    expect(stats.map(({ shard }) => shard).sort()).toEqual(shards.map(({ record }) => record.id).sort());
    expect(stats.reduce((sum, { distances }) => sum + distances, 0)).toBe(40);
  });

  test('with a silent shard: DEADLINE_EXCEEDED, or a partial answer that says so', () => {
    cluster.answer(upsert(...ids));
    const silent = shards[2]?.record.id;
    cluster.loses = (message) => message.kind === 'data.search' && message.shard === silent;
    const before = cluster.nowMs;
    expect(errorOf(cluster.outcome(search(), 700)).code).toBe('DEADLINE_EXCEEDED');
    expect(cluster.nowMs - before).toBeCloseTo(700, 0);
    const answer = cluster.answer(search({ allowPartial: true, k: 40 }), 700);
    expect(answer).toMatchObject({ partial: true, shardsTotal: 4 });
    expect(answer.shards.length).toBe(3);
    expect(answer.hits.length).toBe(40 - (shards[2]?.points.size ?? 0));
  });

  test('a partial answer of no shard at all is an error', () => {
    cluster.answer(upsert('a'));
    cluster.loses = (message) => message.kind === 'data.search';
    expect(errorOf(cluster.outcome(search({ allowPartial: true }), 300)).code).toBe('DEADLINE_EXCEEDED');
  });

  test('eventual reads need no leader, and the others wait for one', () => {
    cluster.answer(upsert(...ids));
    for (const shard of shards) shard.leader = null;
    expect(cluster.answer(search({ level: 'eventual', k: 40 })).hits.length).toBe(40);
    const error = errorOf(cluster.outcome(search({ level: 'leader' }), 1_000));
    // Every attempt was refused, so this is known to have had no effect.
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retry: 'safe' });
  });
});

describe('leaders', () => {
  /** Writes that have gone without a leader for so long that they ask seldom. */
  const waiting = (...writes: readonly string[]): { readonly doneMs: number[]; readonly shard: FakeShard } => {
    const shard = shardOf('id-1');
    shard.leader = null;
    const doneMs: number[] = [];
    for (const id of writes) cluster.submit(upsert(id), 20_000, () => doneMs.push(cluster.nowMs));
    cluster.runUntil(cluster.nowMs + 5_000);
    expect(doneMs).toEqual([]);
    return { doneMs, shard };
  };

  test('one that is reported is asked at once by whoever waits', () => {
    cluster.answer(upsert('id-1'));
    const { doneMs, shard } = waiting('id-1');
    // Not at the moment when it would have asked by itself.
    cluster.runUntil(cluster.nowMs + 1_000, () => (cluster.sentOf('data.write').at(-1)?.atMs ?? 0) > cluster.nowMs - 5);
    cluster.runUntil(cluster.nowMs + 20);
    shard.leader = 1;
    const { id, epoch, members } = shard.record;
    const hint = { shard: id, epoch, term: term(2), leader: members[1]?.replica ?? replicaId(0) };
    cluster.deliver(at(nodeName('pd-1'), placementActor), cluster.watchEvent(0, [hint]), 1);
    const reportedMs = cluster.nowMs;
    cluster.runUntil(reportedMs + 1_000, () => doneMs.length === 1);
    expect((doneMs[0] ?? Number.POSITIVE_INFINITY) - reportedMs).toBeLessThan(10);
  });

  test('one that answers one call is asked at once by those that wait with it', () => {
    cluster.answer(upsert('id-1'));
    const { doneMs, shard } = waiting('id-1', 'id-1', 'id-1', 'id-1');
    shard.leader = 1;
    cluster.runUntil(cluster.nowMs + 1_000, () => doneMs.length === 4);
    expect((doneMs[3] ?? Number.POSITIVE_INFINITY) - (doneMs[0] ?? 0)).toBeLessThan(10);
  });

  test('while there is none, a hundred writes together ask a few times a second', () => {
    cluster.answer(upsert('id-1'));
    const { doneMs, shard } = waiting(...Array.from({ length: 100 }, () => 'id-1'));
    cluster.sent.length = 0;
    cluster.runUntil(cluster.nowMs + 2_000);
    expect(cluster.sentOf('data.write').length).toBeLessThan(60);
    expect(cluster.sentOf('data.write').length).toBeGreaterThan(20);
    shard.leader = 1;
    const electedMs = cluster.nowMs;
    cluster.runUntil(electedMs + 1_000, () => doneMs.length === 100);
    expect(cluster.nowMs - electedMs).toBeLessThan(300);
  });

  test('a hint is followed at once', () => {
    for (const shard of shards) shard.leader = 2;
    const before = cluster.nowMs;
    cluster.answer(upsert(...ids));
    expect(cluster.nowMs - before).toBeLessThan(20);
    // Now they are known: one message a shard.
    cluster.sent.length = 0;
    cluster.answer(upsert(...ids));
    expect(cluster.sentOf('data.write').length).toBe(4);
  });

  test('a dead leader is given up, and its successor found', () => {
    cluster.answer(upsert(...ids));
    cluster.down.add(shards[0]?.record.members[0]?.node as never);
    // The followers go on naming the dead one until they elect.
    cluster.schedule(1_800, () => {
      for (const shard of shards) shard.leader = 1;
    });
    const before = cluster.nowMs;
    expect(cluster.answer(upsert(...ids), 10_000)).toMatchObject({ count: 40 });
    expect(cluster.nowMs - before).toBeLessThan(2_600);
  });

  test('a slow leader is not given the same work again and again', () => {
    cluster.answer(upsert('a'));
    cluster.sent.length = 0;
    cluster.loses = (message, to) => {
      if (message.kind !== 'data.found') return false;
      cluster.deliver(to, message, message.failure === null ? 6_000 : 1);
      return true;
    };
    expect(cluster.answer(search(), 8_000).hits.length).toBe(1);
    const { record } = shards[0] as FakeShard;
    const toLeader = cluster
      .sentOf('data.search')
      .filter((sent) => sent.to.node === 'machine-1' && sent.message.shard === record.id);
    expect(toLeader.length).toBeLessThanOrEqual(4);
  });

  test('a leader that is behind, but goes on answering, is not asked again', () => {
    cluster.answer(upsert('a'));
    const { record } = shardOf('a');
    const isSlow = (message: Message): boolean =>
      message.kind === 'data.write' && message.operation.kind === 'upsert' && message.operation.points.length === 2;
    const slow = (): number => cluster.sent.filter(({ message }) => isSlow(message)).length;
    cluster.refuses = (message, to) => {
      if (isSlow(message)) cluster.schedule(2_500, () => answerLate(message as MessageOf<'data.write'>, to));
      return null;
    };
    const answerLate = ({ request, shard }: MessageOf<'data.write'>, to: Address): void => {
      const effect = {
        index: logIndex(9),
        affected: 2,
        versions: [],
        previous: [],
        previousOmitted: 0,
        replayed: false,
      };
      cluster.deliver(to, { kind: 'data.written', request, shard, failure: null, ...effect, conflict: null }, 1);
    };
    cluster.loses = (message) => message.kind === 'data.written' && message.affected === 2 && message.index !== 9;
    const pair = ['a', ids.find((id) => id !== 'a' && inRange(record.range, testHash(id))) as string];
    const doneMs: number[] = [];
    const beganMs = cluster.nowMs;
    cluster.submit(upsert(...pair), 10_000, () => doneMs.push(cluster.nowMs - beganMs));
    for (let ms = 0; ms < 2_400; ms += 100) cluster.schedule(ms, () => cluster.submit(upsert('a'), 1_000, ignore));
    cluster.runUntil(beganMs + 9_000, () => doneMs.length === 1);
    expect(doneMs[0]).toBeLessThan(2_510);
    expect(slow()).toBe(1);
  });

  test('a lost answer is asked for again, and the count is true', () => {
    let lost = 0;
    cluster.loses = (message) => message.kind === 'data.written' && lost++ < 4;
    expect(cluster.answer(upsert(...ids))).toMatchObject({ count: 40 });
    expect(lost).toBeGreaterThan(4);
  });

  test('an answer that comes after its attempt was given up still counts', () => {
    cluster.answer(upsert('a'));
    const delayed = { done: false };
    cluster.loses = (message, to) => {
      if (message.kind !== 'data.written' || delayed.done) return message.kind === 'data.write' && delayed.done;
      delayed.done = true;
      cluster.deliver(to, message, 1_500);
      return true;
    };
    const before = cluster.nowMs;
    expect(cluster.answer(upsert('a'))).toMatchObject({ count: 1 });
    expect(cluster.nowMs - before).toBeGreaterThanOrEqual(1_500);
    expect(cluster.nowMs - before).toBeLessThan(1_510);
  });

  test('so does a failure for good', () => {
    cluster.answer(upsert('a'));
    let asked = 0;
    cluster.loses = (message, to) => {
      if (message.kind !== 'data.write') return false;
      const refused = refusalOf(message, failure('FAILED_PRECONDITION', 'no'));
      if (asked++ === 0 && refused !== null) cluster.deliver(to, refused, 1_500);
      return true;
    };
    const before = cluster.nowMs;
    expect(errorOf(cluster.outcome(upsert('a'))).code).toBe('FAILED_PRECONDITION');
    expect(cluster.nowMs - before).toBeLessThan(1_510);
  });

  test('no answer and no leader: unknown, not safe', () => {
    cluster.answer(upsert('a'));
    cluster.loses = (message) => message.kind === 'data.written';
    const error = errorOf(cluster.outcome(upsert('a'), 2_000));
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', retry: 'unsure' });
  });

  test('an attempt whose outcome its leader does not know is not safe either', () => {
    cluster.answer(upsert('a'));
    let asked = 0;
    cluster.refuses = (message) => {
      if (message.kind !== 'data.write') return null;
      return asked++ === 0 ? failure('OUTCOME_UNKNOWN', 'deposed') : failure('NOT_LEADER', 'not me');
    };
    expect(errorOf(cluster.outcome(upsert('a'), 1_000)).code).toBe('DEADLINE_EXCEEDED');
    cluster.refuses = (message) => (message.kind === 'data.write' ? failure('NOT_LEADER', 'not me') : null);
    expect(errorOf(cluster.outcome(upsert('a'), 1_000)).code).toBe('UNAVAILABLE');
  });

  test('who left one call unanswered is not the first to be asked by the next, whatever the others say', () => {
    cluster.answer(upsert('a'));
    const dead = shardOf('a').record.members[0]?.node as never;
    cluster.down.add(dead);
    cluster.outcome(upsert('a'), 800);
    cluster.sent.length = 0;
    cluster.outcome(upsert('a'), 500);
    const asked = cluster.sentOf('data.write').map(({ to }) => to.node);
    expect(asked.length).toBeGreaterThan(3);
    expect(asked).not.toContain(dead);
  });

  test('a refusal that comes after its attempt was given up does not hurry the next', () => {
    cluster.answer(upsert('a'));
    const { record } = shardOf('a');
    cluster.loses = (message, to) => {
      if (message.kind === 'data.written') cluster.deliver(to, message, 800);
      return message.kind === 'data.written';
    };
    cluster.refuses = (message) => (message.kind === 'data.write' ? failure('NOT_LEADER', 'not me') : null);
    cluster.sent.length = 0;
    cluster.outcome(upsert('a'), 1_500);
    // The second attempt has 750 ms x 1.5 for itself: the first one's refusal comes 50 ms into that.
    const writes = cluster.sentOf('data.write').filter(({ message }) => message.shard === record.id);
    const [first, second, third] = writes.map(({ atMs }) => atMs);
    expect((second ?? 0) - (first ?? 0)).toBe(750);
    expect(third ?? Number.POSITIVE_INFINITY).toBeGreaterThan((second ?? 0) + 700);
  });

  test('a follower that answers a linearizable read is not taken for the leader', () => {
    cluster.answer(upsert(...ids));
    cluster.loses = (message, to) => message.kind === 'data.get' && to.node === 'machine-1';
    expect(cluster.answer(get(ids)).points.length).toBe(40);
    cluster.runUntil(cluster.nowMs + 1_500);
    cluster.sent.length = 0;
    cluster.answer(upsert(...ids));
    expect(cluster.sentOf('data.write').map(({ to }) => to.node)).toEqual(Array.from({ length: 4 }, () => 'machine-1'));
  });

  test('a refusal delivered twice does not make an unanswered attempt look refused', () => {
    cluster.answer(upsert('a'));
    const shard = shardOf('a');
    let asked = 0;
    cluster.loses = (message, to) => {
      // The leader's own attempt is applied and its answer lost; every refusal comes twice.
      if (message.kind !== 'data.written') return false;
      asked++;
      if (message.failure === null) return true;
      cluster.deliver(to, message, 2);
      return false;
    };
    cluster.schedule(100, () => {
      shard.leader = null;
    });
    expect(errorOf(cluster.outcome(upsert('a'), 3_000)).code).toBe('DEADLINE_EXCEEDED');
    expect(asked).toBeGreaterThan(3);
  });
});

describe('epochs', () => {
  test('changed members are learnt from the shard that says so', () => {
    cluster.answer(upsert(...ids));
    for (const shard of shards) shard.record = { ...shard.record, epoch: { version: 1, confVersion: 7 } };
    cluster.loses = (message) => message.kind === 'pd.watch';
    const before = cluster.nowMs;
    expect(cluster.answer(upsert(...ids))).toMatchObject({ count: 40 });
    expect(cluster.nowMs - before).toBeLessThan(20);
  });

  test('a split moves a write to the children, and a search asks them', () => {
    cluster.answer(upsert(...ids));
    cluster.split(shards[1] as FakeShard);
    expect(cluster.answer(upsert(...ids))).toMatchObject({ count: 40 });
    const answer = cluster.answer(search({ k: 100 }));
    expect(answer.hits.length).toBe(40);
    expect(answer.shardsTotal).toBe(5);
    cluster.split(shards[2] as FakeShard);
    expect(cluster.answer(search({ k: 100 }))).toMatchObject({ shardsTotal: 6 });
    expect(cluster.answer(get(ids)).points.length).toBe(40);
  });

  test('a collection that is deleted under a write is NOT_FOUND', () => {
    cluster.answer(upsert(...ids));
    for (const shard of shards) cluster.shards.delete(shard.record.id);
    cluster.collections.delete('things');
    cluster.revision++;
    const error = errorOf(cluster.outcome(upsert(...ids)));
    expect(error).toMatchObject({ code: 'NOT_FOUND', field: 'collection' });
  });
});
