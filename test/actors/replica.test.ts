import { describe, expect, it } from '@jest/globals';
import { replicaId, shardId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { plainWrite } from '../../src/protocol/commands';
import type { MessageOf } from '../../src/protocol/messages';
import { keyOf } from '../../src/shard/point-keys';
import { spaceOf } from '../../src/storage/keys';
import { pointOf, remove, testKeyHash, upsert } from '../shard/shard-helpers';
import { anyAge, ReplicaGroup } from './replica-group';
import { expectEverywhere, searchOf, writeMany } from './replica-writes';

describe('a shard of three replicas', () => {
  it('has its first leader without waiting for an election to be due', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const group = new ReplicaGroup(seed);
      const startedMs = group.nodes.nowMs;
      group.awaitLeader();
      // An election timeout is a second here.
      expect(group.nodes.nowMs - startedMs).toBeLessThan(500);
    }
  });

  it('has a first leader although a machine never comes up, whichever it is', () => {
    for (const [i, node] of [...new ReplicaGroup(30).machines.keys()].entries()) {
      const group = new ReplicaGroup(30 + i);
      group.crash(node);
      expect(group.awaitLeader()).not.toBe(node);
    }
  });

  it('writes, reads at every level, and deletes', () => {
    const random = new Prng(1);
    const group = new ReplicaGroup(1);
    const leader = group.awaitLeader();
    const written = group.write(leader, upsert(pointOf('a', random), pointOf('b', random)));
    expect(written).toMatchObject({ failure: null, affected: 2 });
    expect(group.write(leader, remove('a', 'nobody'))).toMatchObject({ failure: null, affected: 1 });
    const later = group.write(leader, upsert(pointOf('c', random)));
    expect(later.index).toBeGreaterThan(written.index);
    for (const node of group.machines.keys()) {
      const got = group.get(node, ['a', 'b', 'c'], 'linearizable');
      expect([got.failure, got.points.map((point) => point.id)]).toEqual([null, ['b', 'c']]);
      expect(got.appliedIndex).toBeGreaterThanOrEqual(later.index);
    }
    expect(group.get(leader, ['b'], 'leader').points.length).toBe(1);
    const found = group.ask(leader, 'data.found', (header) => ({ ...searchOf(random), ...header }));
    expect(new Set(found.hits.map((hit) => hit.id))).toEqual(new Set(['b', 'c']));
    expect(found.stats.points).toBe(2);
    group.awaitAgreement();
    expect(group.get(group.follower(), ['b'], 'eventual').points.length).toBe(1);
  });

  it('batches writes that come together into few appends', () => {
    const random = new Prng(2);
    const group = new ReplicaGroup(2);
    const leader = group.awaitLeader();
    const { log } = group.machine(leader).disk;
    const before = log.counts.syncs;
    const requests = Array.from({ length: 100 }, (_, n) =>
      group.send(leader, (header) => ({
        kind: 'data.write',
        ...header,
        operation: upsert(pointOf(`p${n}`, random)),
        options: plainWrite,
      })),
    );
    group.runUntil(() => requests.every((request) => group.answersTo(request).length === 1));
    expect(log.counts.syncs - before).toBeLessThan(6);
    expect(group.get(leader, ['p0', 'p99'], 'leader').points.length).toBe(2);
  });

  it('loses no acknowledged write when its leader crashes, again and again', () => {
    const random = new Prng(3);
    const group = new ReplicaGroup(3);
    const acknowledged = new Set<string>();
    for (let round = 0; round < 6; round++) {
      const inflight = Array.from({ length: 5 }, (_, n) => `inflight-${round}-${n}`);
      for (const id of writeMany(group, random, 10, `r${round}-`)) acknowledged.add(id);
      const leader = group.awaitLeader();
      for (const id of inflight) {
        group.send(leader, (header) => ({
          kind: 'data.write',
          ...header,
          operation: upsert(pointOf(id, random)),
          options: plainWrite,
        }));
      }
      group.crash(leader);
      for (const id of writeMany(group, random, 5, `s${round}-`)) acknowledged.add(id);
      group.boot(leader);
    }
    expect(acknowledged.size).toBe(6 * 15);
    expectEverywhere(group, acknowledged);
  });

  it('survives a power cut of all machines at once', () => {
    const random = new Prng(4);
    const group = new ReplicaGroup(4);
    const acknowledged = writeMany(group, random, 30, 'p');
    for (let round = 0; round < 4; round++) {
      for (const node of group.machines.keys()) group.crash(node);
      for (const node of group.machines.keys()) group.boot(node);
      for (const id of writeMany(group, random, 5, `round${round}-`)) acknowledged.add(id);
    }
    expectEverywhere(group, acknowledged);
  });

  it('brings a replica that was away level by its log', () => {
    const random = new Prng(5);
    const group = new ReplicaGroup(5);
    writeMany(group, random, 5, 'before');
    const away = group.follower();
    group.crash(away);
    const acknowledged = writeMany(group, random, 20, 'p');
    group.boot(away);
    expectEverywhere(group, acknowledged);
    expect(group.machine(away).actor.member?.raft?.baseIndex).toBe(0);
  });

  it('restarts an actor on its old stores and graph, and a log writer under its replica', () => {
    const random = new Prng(11);
    const group = new ReplicaGroup(11);
    const acknowledged = writeMany(group, random, 10, 'p');
    for (let round = 0; round < 3; round++) {
      for (const node of group.machines.keys()) {
        group.restartActor(node);
        for (const id of writeMany(group, random, 2, `a${round}-${node}-`)) acknowledged.add(id);
        group.restartLogWriter(node);
        for (const id of writeMany(group, random, 2, `l${round}-${node}-`)) acknowledged.add(id);
      }
    }
    expectEverywhere(group, acknowledged);
  });

  it('writes its graph when it is quiet, and starts from the file', () => {
    const random = new Prng(12);
    const group = new ReplicaGroup(12, { saveChangesMin: 5 });
    writeMany(group, random, 10, 'p');
    const node = group.follower();
    group.runUntil(() => group.machine(node).files.size > 0);
    const [file] = group.machine(node).files.values();
    expect(file?.appliedIndex).toBe(group.machine(node).actor.machine?.appliedIndex);
    group.crash(node);
    group.boot(node);
    group.awaitAgreement();
    expect(group.machine(node).engine.files.size).toBe(1);
  });

  it('writes its graph also when it is never quiet', () => {
    const random = new Prng(14);
    const group = new ReplicaGroup(14, { saveChangesMin: 5, saveOverdueMs: 8_000 });
    const node = group.follower();
    const began = group.nodes.nowMs;
    for (let i = 0; group.machine(node).files.size === 0 && group.nodes.nowMs - began < 60_000; i++) {
      writeMany(group, random, 1, `p${i}-`);
      group.nodes.run(500);
    }
    expect(group.machine(node).files.size).toBe(1);
  });

  it('writes its graph for many points that came in one log entry', () => {
    const random = new Prng(13);
    const group = new ReplicaGroup(13, { saveChangesMin: 5 });
    const points = Array.from({ length: 10 }, (_, i) => pointOf(`p${i}`, random));
    group.write(group.awaitLeader(), upsert(...points));
    const node = group.follower();
    group.runUntil(() => group.machine(node).files.size > 0);
  });
});

describe('requests that cannot be served', () => {
  it('name the leader to whoever asks a follower', () => {
    const random = new Prng(20);
    const group = new ReplicaGroup(20);
    const leader = group.awaitLeader();
    group.write(leader, upsert(pointOf('a', random)));
    const failure = { code: 'NOT_LEADER', leader };
    expect(group.write(group.follower(), upsert(pointOf('a', random))).failure).toMatchObject(failure);
    expect(group.get(group.follower(), ['a'], 'leader').failure).toMatchObject(failure);
  });

  it('tell the epoch to whoever has another', () => {
    const random = new Prng(21);
    const group = new ReplicaGroup(21);
    const leader = group.awaitLeader();
    const stale = { epoch: { version: 0, confVersion: 1 } };
    const failure = { code: 'STALE_SHARD', epoch: { version: 1, confVersion: 1 } };
    expect(group.write(leader, upsert(pointOf('a', random)), stale).failure).toMatchObject(failure);
    const got = group.ask(leader, 'data.got', (header) => ({
      kind: 'data.get',
      ...header,
      ...stale,
      ids: ['a'],
      level: 'eventual',
      ...anyAge,
    }));
    expect(got.failure).toMatchObject(failure);
    const other = group.write(leader, upsert(pointOf('a', random)), { shard: shardId(8) });
    expect(other.failure?.code).toBe('STALE_SHARD');
  });

  it('are refused while the memory for indexes is short, but for deletions', () => {
    const random = new Prng(9);
    const group = new ReplicaGroup(9);
    const leader = group.awaitLeader();
    expect(group.write(leader, upsert(pointOf('a', random)))).toMatchObject({ failure: null });
    const { engine } = group.machine(leader);
    engine.bytesMax = engine.memory.bytes + 100;
    const refused = group.write(leader, upsert(pointOf('b', random)));
    expect(refused.failure).toMatchObject({ code: 'RESOURCE_EXHAUSTED', field: 'memory' });
    expect(group.write(leader, remove('a'))).toMatchObject({ failure: null, affected: 1 });
    engine.bytesMax = 1e6;
    expect(group.write(leader, upsert(pointOf('b', random)))).toMatchObject({ failure: null });
  });

  it('name the field that is wrong, before anything reaches the log', () => {
    const random = new Prng(22);
    const group = new ReplicaGroup(22);
    const leader = group.awaitLeader();
    const before = group.machine(leader).actor.member?.raft?.lastIndex;
    const point = pointOf('a', random);
    const codeAndField = (answer: MessageOf<'data.written' | 'data.found'>) => [
      answer.failure?.code,
      answer.failure?.field,
    ];
    const write = (bad: Partial<typeof point>) =>
      codeAndField(group.write(leader, upsert(point, { ...point, ...bad })));
    expect(write({ vector: new Uint8Array(8) })).toEqual(['INVALID_ARGUMENT', 'points[1].vector']);
    expect(write({ id: '' })).toEqual(['INVALID_ARGUMENT', 'points[1].id']);
    const large = Array.from({ length: 5 }, (_, n) => ({ ...point, id: `${n}`, payload: new Uint8Array(1_000_000) }));
    expect(codeAndField(group.write(leader, upsert(...large)))).toEqual(['INVALID_ARGUMENT', 'operation']);
    const search = (bad: Partial<MessageOf<'data.search'>>) =>
      codeAndField(group.ask(leader, 'data.found', (header) => ({ ...searchOf(random, bad), ...header })));
    expect(search({ k: 0 })).toEqual(['INVALID_ARGUMENT', 'k']);
    expect(search({ ef: 100_000 })).toEqual(['INVALID_ARGUMENT', 'ef']);
    expect(search({ vector: new Uint8Array(4) })).toEqual(['INVALID_ARGUMENT', 'vector']);
    expect(group.machine(leader).actor.member?.raft?.lastIndex).toBe(before);
  });

  it('end at their deadline when no quorum is left, and the leader gives up', () => {
    const random = new Prng(23);
    const group = new ReplicaGroup(23);
    const leader = group.awaitLeader();
    group.write(leader, upsert(pointOf('a', random)));
    for (const node of [...group.machines.keys()]) if (node !== leader) group.crash(node);
    const slow = group.write(leader, upsert(pointOf('b', random)), { timeoutMs: 200 });
    expect(slow.failure?.code).toBe('DEADLINE_EXCEEDED');
    const lost = group.write(leader, upsert(pointOf('c', random)), { timeoutMs: 60_000 });
    expect(lost.failure?.code).toBe('OUTCOME_UNKNOWN');
    expect(group.get(leader, ['a'], 'leader').failure?.code).toBe('NOT_LEADER');
    expect(group.get(leader, ['a'], 'linearizable').failure?.code).toBe('NOT_LEADER');
    expect(group.get(leader, ['a'], 'eventual').points.length).toBe(1);
    const late = group.write(leader, upsert(pointOf('d', random)), { timeoutMs: 0 });
    expect(late.failure?.code).toBe('DEADLINE_EXCEEDED');
  });

  it('are unknown to a leader that was cut off and deposed, and never acknowledged by the entry in their place', () => {
    const random = new Prng(24);
    const group = new ReplicaGroup(24);
    const old = group.awaitLeader();
    group.write(old, upsert(pointOf('a', random)));
    group.nodes.lose = (to, from) => (to.node === old) !== (from.node === old);
    const request = group.send(old, (header) => ({
      kind: 'data.write',
      ...header,
      timeoutMs: 60_000,
      operation: upsert(pointOf('lost', random)),
      options: plainWrite,
    }));
    group.runUntil(() => group.leader !== null && group.leader !== old);
    const fresh = writeMany(group, random, 3, 'fresh');
    group.nodes.lose = () => false;
    expectEverywhere(group, fresh);
    // The answer went to a client beyond the cut; the deposed leader's member must owe nothing.
    expect(group.machine(old).actor.member?.pendingCount).toBe(0);
    expect(group.answersTo(request).filter((answer) => 'failure' in answer && answer.failure === null)).toEqual([]);
    expect(group.get(group.awaitLeader(), ['lost'], 'linearizable').points).toEqual([]);
  });
});

describe('a replica whose records are damaged', () => {
  it('says so once, then serves no more, and the others go on', () => {
    const random = new Prng(30);
    const group = new ReplicaGroup(30);
    const leader = group.awaitLeader();
    group.write(leader, upsert(pointOf('a', random), pointOf('b', random)));
    const { disk, spec, actor } = group.machine(leader);
    disk.state.flipBit(keyOf(spaceOf(spec.replica, 0), { id: 'a', hash: testKeyHash('a') }), random);
    expect(group.get(leader, ['a'], 'leader').failure?.code).toBe('CORRUPT');
    expect(group.get(leader, ['b'], 'eventual').failure?.code).toBe('REPLICA_DAMAGED');
    expect(actor.failure).toContain('checksum');
    group.machine(leader).up = false;
    const next = group.awaitLeader();
    expect(next).not.toBe(leader);
    expect(group.get(next, ['a'], 'linearizable').points.length).toBe(1);
  });
});

describe('status, scans and reports', () => {
  it('say what a replica holds, wherever it stands', () => {
    const random = new Prng(40);
    const group = new ReplicaGroup(40);
    const leader = group.awaitLeader();
    writeMany(group, random, 12, 'p');
    group.awaitAgreement();
    const digests = [...group.machines.keys()].map((node) => {
      const status = group.ask(node, 'data.statusReply', (header) => ({ kind: 'data.status', ...header }));
      expect(status).toMatchObject({ node, points: 12, leader: group.machine(leader).spec.replica });
      expect(status.role).toBe(node === leader ? 'leader' : 'follower');
      const seen: string[] = [];
      for (let done = false; !done; ) {
        const page = group.ask(node, 'data.scanned', (header) => ({
          kind: 'data.scan',
          ...header,
          afterId: seen[seen.length - 1] ?? '',
          countMax: 5,
        }));
        seen.push(...page.points.map((point) => point.id));
        done = page.done;
      }
      expect(seen.length).toBe(12);
      return status.digest;
    });
    expect(new Set(digests).size).toBe(1);
  });

  it('reach the supervisor when leadership changes, and every second', () => {
    const group = new ReplicaGroup(41);
    const leader = group.awaitLeader();
    const { replica } = group.machine(leader).spec;
    const counts = (): number[] => group.reports.map(({ heard }) => heard.length);
    const before = counts();
    for (const { heard } of group.reports) {
      const last = heard[heard.length - 1];
      expect(last).toMatchObject({ kind: 'replica.report', report: { leader: replica } });
    }
    group.nodes.run(5_000);
    counts().forEach((count, at) => {
      expect(count - (before[at] ?? 0)).toBeGreaterThanOrEqual(4);
      expect(count - (before[at] ?? 0)).toBeLessThanOrEqual(6);
    });
    expect(replicaId(11)).toBe(group.machines.values().next().value?.spec.replica);
  });
});
