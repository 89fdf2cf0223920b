import { describe, expect, it } from '@jest/globals';
import type { ChecksumBody } from '../../src/actors/raft-member-peers';
import { EqualityCheck } from '../../src/actors/replica-equality';
import { type ReplicaOptions, replicaOptions } from '../../src/actors/replica-options';
import { clusterId, logIndex, type NodeName, type ReplicaId, replicaId, shardId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { MessageOf } from '../../src/protocol/messages';
import type { ActorContext } from '../../src/runtime/actor';
import { keyOf } from '../../src/shard/point-keys';
import { decodeRecord, encodeRecord } from '../../src/shard/point-record';
import { spaceOf } from '../../src/storage/keys';
import { WriteBatch } from '../../src/storage/ports';
import { epoch, pointOf, testKeyHash, upsert } from '../shard/shard-helpers';
import { ReplicaGroup } from './replica-group';

const context = {} as ActorContext;
const quick: Partial<ReplicaOptions> = { auditMs: 200, scrubRestMs: 1_000 };

/** One replica's judgement, by itself. */
class Bench {
  readonly sent: (ChecksumBody & { readonly to: ReplicaId })[] = [];
  readonly differs: string[] = [];
  readonly undecided: (string | null)[] = [];
  readonly check: EqualityCheck;

  constructor(
    readonly self: number,
    voters: readonly number[],
  ) {
    this.check = new EqualityCheck({
      self: replicaId(self),
      voters: () => voters.map(replicaId),
      lastIndex: () => logIndex(1_000),
      send: (to, body) => this.sent.push({ to, ...body }),
      differs: (reason) => this.differs.push(reason),
      undecided: (reason) => this.undecided.push(reason),
    });
  }

  note(index: number, checksum: bigint): void {
    this.check.noted({ index: logIndex(index), checksum }, context);
  }

  hear(from: number, index: number, checksum: bigint, answer = true): void {
    const header = { cluster: clusterId('test'), shard: shardId(1), epoch, to: replicaId(this.self) };
    const claim: MessageOf<'peer.checksum'> = {
      kind: 'peer.checksum',
      ...header,
      from: replicaId(from),
      index: logIndex(index),
      checksum,
      answer,
    };
    this.check.claimed(claim, context);
  }
}

describe('a replica judges itself', () => {
  it('by a majority at the same index, and by nothing else', () => {
    const bench = new Bench(1, [1, 2, 3]);
    bench.note(10, 5n);
    bench.hear(2, 11, 6n);
    bench.hear(3, 12, 6n);
    bench.hear(2, 10, 6n);
    expect(bench.differs).toEqual([]);
    bench.hear(3, 10, 6n);
    expect(bench.differs).toHaveLength(1);
    expect(bench.differs[0]).toContain('000000000000000' + '6');
  });

  it('also when the others were ahead, or it was', () => {
    const behind = new Bench(1, [1, 2, 3]);
    behind.hear(2, 10, 6n, false);
    behind.hear(3, 10, 6n, false);
    expect(behind.sent).toEqual([]);
    behind.note(10, 5n);
    expect(behind.differs).toHaveLength(1);
  });

  it('and never by those who do not vote', () => {
    const bench = new Bench(1, [1, 2, 3]);
    bench.note(10, 5n);
    bench.hear(7, 10, 6n);
    bench.hear(8, 10, 6n);
    bench.hear(2, 10, 6n);
    expect(bench.differs).toEqual([]);
  });

  it.each([
    ['two of two', [1, 2], [[2, 6n]]],
    [
      'three of three',
      [1, 2, 3],
      [
        [2, 6n],
        [3, 7n],
      ],
    ],
    [
      'two against two',
      [1, 2, 3, 4],
      [
        [2, 5n],
        [3, 6n],
        [4, 6n],
      ],
    ],
  ] as const)('and without a majority it stays and says so: %s', (_, voters, claims) => {
    const bench = new Bench(1, voters);
    bench.note(10, 5n);
    for (const [from, checksum] of claims) bench.hear(from, 10, checksum);
    expect(bench.differs).toEqual([]);
    expect(bench.undecided).toHaveLength(1);
    expect(bench.undecided[0]).toContain('no majority');
    bench.note(20, 1n);
    for (const [from] of claims) bench.hear(from, 20, 1n);
    expect(bench.undecided.slice(1)).toEqual([null]);
  });

  it('asks those who are silent again, and answers whoever asks', () => {
    const bench = new Bench(1, [1, 2, 3]);
    bench.note(10, 5n);
    bench.hear(2, 10, 5n, false);
    expect(bench.sent.filter(({ answer }) => answer).map(({ to }) => to)).toEqual([2]);
    bench.sent.length = 0;
    for (let i = 0; i < 100; i++) bench.check.audit(context);
    expect(new Set(bench.sent.map(({ to }) => to))).toEqual(new Set([3]));
    expect(bench.sent.length).toBeLessThan(50);
  });

  it('whatever one peer claims of what is to come: the others are still compared', () => {
    const bench = new Bench(1, [1, 2, 3]);
    for (let n = 0; n < 50; n++) bench.hear(3, 2 ** 40 + n, 6n);
    for (let n = 0; n < 50; n++) bench.hear(3, 900 + n, 6n);
    for (let n = 0; n < 50; n++) bench.hear(7 + n, 20, 6n);
    expect(bench.check.earlyCount).toBe(4);
    bench.hear(2, 10, 6n);
    bench.note(10, 5n);
    bench.hear(3, 10, 6n);
    expect(bench.differs).toHaveLength(1);
  });

  it('keeps few rounds, the newest', () => {
    const bench = new Bench(1, [1, 2, 3]);
    for (let index = 1; index <= 100; index++) bench.hear(2, index, 6n);
    bench.note(1, 5n);
    bench.hear(3, 1, 6n);
    expect(bench.differs).toEqual([]);
    bench.note(100, 5n);
    bench.hear(3, 100, 6n);
    expect(bench.differs).toHaveLength(1);
  });
});

/** As if an apply on this replica alone had written another payload, and kept its books in order. */
function makeDiffer(group: ReplicaGroup, node: NodeName, id: string): void {
  const { actor, disk, spec } = group.machine(node);
  const key = keyOf(spaceOf(spec.replica, 0), { id, hash: testKeyHash(id) });
  const value = disk.state.get(key);
  if (value === undefined) throw new Error(`${node} has no point ${id}`);
  const record = decodeRecord(id, value);
  const other = encodeRecord(id, { ...record, payload: Uint8Array.of(1, 2, 3) });
  disk.state.write(new WriteBatch().put(key, other), { sync: true });
  const shard = actor.machine as object;
  Reflect.set(shard, 'descriptor', { ...Reflect.get(shard, 'descriptor'), digest: actor.machine?.recount().digest });
}

describe('in a group', () => {
  it.each(['leader', 'follower'] as const)('a %s whose state differs stops at once, for ever, and says so', (role) => {
    const random = new Prng(1);
    const group = new ReplicaGroup(1, quick);
    const leader = group.awaitLeader();
    group.write(leader, upsert(pointOf('a', random), pointOf('b', random)));
    group.awaitAgreement();
    const victim = role === 'leader' ? leader : group.follower();
    makeDiffer(group, victim, 'a');
    group.write(leader, upsert(pointOf('c', random)));
    group.runUntil(() => group.machine(victim).actor.failure !== null);
    expect(group.machine(victim).actor.failure).toContain('majority');
    expect(group.get(victim, ['b'], 'eventual').failure?.code).toBe('REPLICA_DAMAGED');
    expect(group.faultsOf(victim)).toContainEqual(
      expect.objectContaining({ kind: 'replica.fault', fault: expect.objectContaining({ state: 'damaged' }) }),
    );
    group.restartActor(victim);
    group.nodes.run(5_000);
    expect(group.machine(victim).actor.member).toBeNull();
    expect(group.get(victim, ['b'], 'eventual').failure?.code).toBe('REPLICA_DAMAGED');
    group.machine(victim).up = false;
    const next = group.awaitLeader();
    expect(next).not.toBe(victim);
    expect(group.write(next, upsert(pointOf('d', random))).failure).toBeNull();
    expect(group.get(next, ['a', 'b', 'c', 'd'], 'linearizable').points).toHaveLength(4);
  });

  it('equal replicas compare themselves, though messages are lost, and nobody is blamed', () => {
    const random = new Prng(2);
    const group = new ReplicaGroup(2, quick);
    let claims = 0;
    group.nodes.lose = (_to, _from, message) => message.kind === 'peer.checksum' && claims++ % 3 > 0;
    for (let n = 0; n < 20; n++) group.write(group.awaitLeader(), upsert(pointOf(`p${n}`, random)));
    group.runUntil(() => claims > 30);
    for (const node of group.machines.keys()) expect(group.machine(node).actor.failure).toBeNull();
  });

  it('a record that nobody asks for is read again, and a flipped bit is found', () => {
    const random = new Prng(3);
    const group = new ReplicaGroup(3, quick);
    group.write(group.awaitLeader(), upsert(...Array.from({ length: 50 }, (_, n) => pointOf(`p${n}`, random))));
    group.awaitAgreement();
    const victim = group.follower();
    const { disk, spec, actor } = group.machine(victim);
    disk.state.flipBit(keyOf(spaceOf(spec.replica, 0), { id: 'p33', hash: testKeyHash('p33') }), random);
    group.runUntil(() => actor.failure !== null);
    expect(actor.failure).toContain('p33');
  });

  it('a record that is gone, or old, is missed too', () => {
    for (const fate of ['gone', 'old'] as const) {
      const random = new Prng(4);
      const group = new ReplicaGroup(4, quick);
      const leader = group.awaitLeader();
      group.write(leader, upsert(pointOf('a', random)));
      group.awaitAgreement();
      const victim = group.follower();
      const { disk, spec, actor } = group.machine(victim);
      const key = keyOf(spaceOf(spec.replica, 0), { id: 'a', hash: testKeyHash('a') });
      const before = disk.state.get(key) as Uint8Array;
      group.write(leader, upsert(pointOf('a', random)));
      group.awaitAgreement();
      disk.state.write(fate === 'gone' ? new WriteBatch().delete(key) : new WriteBatch().put(key, before), {
        sync: true,
      });
      group.runUntil(() => actor.failure !== null);
      expect(actor.failure).toContain('records');
    }
  });

  it('a log damaged in its middle is no torn tail: the replica never votes again', () => {
    const random = new Prng(5);
    const group = new ReplicaGroup(5, quick);
    for (let n = 0; n < 10; n++) group.write(group.awaitLeader(), upsert(pointOf(`p${n}`, random)));
    group.awaitAgreement();
    const victim = group.awaitLeader();
    group.flipLogEntry(victim, 3);
    group.restartActor(victim);
    group.runUntil(() => group.machine(victim).actor.failure !== null);
    const { actor } = group.machine(victim);
    expect(actor.member?.state).toBe('damaged');
    expect(actor.member?.term).toBe(0);
    group.machine(victim).up = false;
    const next = group.awaitLeader();
    const ids = Array.from({ length: 10 }, (_, n) => `p${n}`);
    expect(group.get(next, ids, 'linearizable').points).toHaveLength(10);
  });

  it('audits by default', () => {
    expect(replicaOptions.auditMs).toBeGreaterThan(0);
    expect(replicaOptions.scrubBytes).toBeGreaterThan(0);
  });
});
