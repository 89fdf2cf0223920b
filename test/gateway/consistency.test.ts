import { beforeEach, describe, expect, test } from '@jest/globals';
import { logIndex, shardId } from '../../src/base/ids';
import type { CallOf, WriteFailedError } from '../../src/gateway/calls';
import { plainWrite } from '../../src/protocol/commands';
import { type CommitToken, parseToken, tokenText } from '../../src/protocol/commit-token';
import { parseSessionKey } from '../../src/protocol/session-key';
import { errorOf, get, ids, search, upsert } from './calls';
import { FakeCluster, type FakeShard } from './fake-cluster';

let cluster: FakeCluster;
let shards: FakeShard[];

beforeEach(() => {
  cluster = new FakeCluster();
  shards = cluster.addCollection('things', 4);
});

const tokenOf = (shard: FakeShard, index: number, fields: Partial<CommitToken> = {}): CommitToken => ({
  collection: shard.record.collection,
  shard: shard.record.id,
  index: logIndex(index),
  ...fields,
});

describe('a write', () => {
  test('carries one key of the gateway’s in all its parts and repetitions, and another in the next call', () => {
    let lost = 0;
    cluster.loses = (message) => message.kind === 'data.written' && lost++ < 2;
    cluster.answer(upsert(...ids));
    const keys = new Set(cluster.sentOf('data.write').map(({ message }) => message.options.key));
    expect(cluster.sentOf('data.write').length).toBeGreaterThan(4);
    expect(keys.size).toBe(1);
    const [one] = cluster.sentOf('data.write');
    expect(one?.message.options.windowMs).toBeGreaterThan(5_000);
    cluster.answer(upsert(...ids));
    expect(new Set(cluster.sentOf('data.write').map(({ message }) => message.options.key)).size).toBe(2);
  });

  test('settles the numbers of its session only when their calls have ended', () => {
    let ended = 0;
    for (const id of ['id-1', 'id-2']) cluster.submit(upsert(id), 5_000, () => ended++);
    cluster.runUntil(5_000, () => ended === 2);
    cluster.answer(upsert('id-3'));
    const keys = new Set(cluster.sentOf('data.write').map(({ message }) => message.options.key));
    const drawn = [...keys].map(parseSessionKey);
    expect(drawn.map((key) => [key?.number, key?.settled])).toEqual([
      [1, 1],
      [2, 1],
      [3, 3],
    ]);
  });

  test('gives each part the conditions of its own points, and keeps a caller’s key', () => {
    const options = {
      ...plainWrite,
      ...{ key: 'mine', issuedMs: 5, windowMs: 9 },
      conditions: ids.map((_, i) => ({ kind: 'version' as const, version: i + 1 })),
    };
    cluster.answer({ ...upsert(...ids), options });
    for (const { message } of cluster.sentOf('data.write')) {
      if (message.operation.kind !== 'upsert') throw new Error('an upsert was sent as something else');
      const wanted = message.operation.points.map(({ id }) => ({ kind: 'version', version: ids.indexOf(id) + 1 }));
      expect(message.options).toEqual({ ...options, conditions: wanted });
    }
  });

  test('whose condition fails names the point by its place in the call', () => {
    const [shard] = shards;
    cluster.conflict = (message) => (message.shard === shard?.record.id ? 1 : null);
    const error = errorOf(cluster.outcome(upsert(...ids))) as WriteFailedError;
    const write = cluster.sentOf('data.write').find(({ message }) => message.shard === shard?.record.id);
    const { operation } = write?.message ?? {};
    const second = operation?.kind === 'upsert' ? (operation.points[1]?.id ?? '') : '';
    expect(error).toMatchObject({ code: 'FAILED_PRECONDITION', field: `points[${ids.indexOf(second)}]` });
    expect([error.currentVersion, error.failed.length]).toEqual([7, shard === undefined ? 0 : 40 - error.acknowledged]);
    const written = shards.map(({ record }) => record.id).filter((id) => id !== shard?.record.id);
    expect(new Set(error.commit.map((token) => token.shard))).toEqual(new Set(written));
  });

  test('is answered with a token for each shard, which survives as text', () => {
    const { commit } = cluster.answer(upsert(...ids));
    expect(new Set(commit.map(({ shard }) => shard))).toEqual(new Set(shards.map(({ record }) => record.id)));
    for (const token of commit) expect(parseToken(tokenText(token))).toEqual(token);
    for (const text of ['', '1.2.3', '2.1.1.1', '1.1.1.-1', '1.1.1.zzzzzzzzzzz', '1.1.1.1.1']) {
      expect(parseToken(text)).toBeNull();
    }
  });
});

describe('a read that presents tokens', () => {
  const session = (tokens: readonly CommitToken[]): CallOf<'get'> => ({ ...get(ids, 'session'), tokens });

  test('holds each shard to the newest of its own, and says what was achieved', () => {
    const [first, second] = shards as [FakeShard, FakeShard];
    const foreign = tokenOf(first, 99, { collection: 77 as never });
    const { served } = cluster.answer(session([tokenOf(first, 3), tokenOf(first, 8), tokenOf(second, 2), foreign]));
    const floors = new Map(cluster.sentOf('data.get').map(({ message }) => [message.shard, message.minIndex]));
    expect(floors.get(first.record.id)).toBe(8);
    expect(floors.get(second.record.id)).toBe(2);
    expect([...floors.values()].sort()).toEqual([0, 0, 2, 8]);
    expect(served.map(({ level, appliedIndex }) => [level, appliedIndex])).toEqual(shards.map(() => ['session', 1]));
  });

  test('becomes linearizable when a token’s shard is no more', () => {
    const [first] = shards as [FakeShard];
    const call = { ...search(), level: 'session' as const, tokens: [tokenOf(first, 3, { shard: shardId(4_242) })] };
    const { served } = cluster.answer(call);
    expect(cluster.sentOf('data.search').every(({ message }) => message.level === 'linearizable')).toBe(true);
    expect(served.map(({ level }) => level)).toEqual(shards.map(() => 'linearizable'));
  });

  test('a bound reaches every shard', () => {
    cluster.answer({ ...search(), level: 'bounded', stalenessMs: 250 });
    expect(cluster.sentOf('data.search').map(({ message }) => [message.level, message.stalenessMs])).toEqual(
      shards.map(() => ['bounded', 250]),
    );
  });
});
