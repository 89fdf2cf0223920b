import { describe, expect, it } from '@jest/globals';
import type { ProposalOutcome } from '../../src/actors/raft-member-waiters';
import { clusterId, incarnation, logIndex, replicaId, shardId, term } from '../../src/base/ids';
import type { MessageOf } from '../../src/protocol/messages';
import { entryAt, heartbeat, ListMachine, logWriter, MemberBench, peer, self } from './raft-member-doubles';

const vote = { kind: 'voteResponse', from: self, to: peer, term: term(3), granted: true } as const;
const hardState = { term: term(3), vote: peer, commit: logIndex(0) };

describe('a member and its log', () => {
  it('hands what promises durability to the log writer, behind the write it speaks of', () => {
    const bench = new MemberBench().open();
    bench.core.say({ write: 1, hardState, afterAppend: [vote] });
    bench.core.say({ write: 2, entries: [entryAt(1, 3)], messages: [heartbeat(3, self)] });
    bench.tick();
    const told = bench.context.sent.map(({ message }) => message);
    const writes = told.filter((message) => message.kind === 'log.append' || message.kind === 'log.promise');
    expect(writes.map(({ kind, write }) => [kind, write])).toEqual([
      ['log.append', 1],
      ['log.promise', 1],
      ['log.append', 2],
    ]);
    expect(writes[1]).toMatchObject({ promise: { from: self, to: peer, message: vote } });
    expect(bench.context.take('peer.raft').map(({ message }) => message.kind)).toEqual(['heartbeatRequest']);
    bench.durable(1);
    expect(bench.context.take('peer.raft')).toEqual([]);
    expect(bench.core.told).toContain('appended 1');
    expect(bench.core.told).not.toContain('appended 2');
    bench.durable(2);
    expect(bench.core.told).toContain('appended 2');
  });

  it('ignores completions of another incarnation, and names its own in its promises', () => {
    const bench = new MemberBench().open({ incarnation: incarnation(5) });
    bench.core.say({ write: 1, hardState, afterAppend: [vote] });
    bench.tick();
    expect(bench.context.take('log.promise')).toMatchObject([{ replica: self, incarnation: 5, write: 1 }]);
    bench.durable(1, 4);
    expect(bench.core.told).not.toContain('appended 1');
    bench.durable(1, 5);
    expect(bench.core.told).toContain('appended 1');
  });

  it('starts from what the log holds', () => {
    const machine = new ListMachine(4, 2);
    const entries = [entryAt(4, 2), entryAt(5, 3)];
    const bench = new MemberBench(machine).open({ baseIndex: logIndex(3), baseTerm: term(2), entries, hardState });
    expect(bench.core.options).toMatchObject({ baseIndex: 3, entries, hardState, appliedIndex: 4 });
    expect(bench.context.take('log.reset')).toEqual([]);
  });

  it.each([
    ['ahead of its log', { baseIndex: logIndex(3), baseTerm: term(2), entries: [entryAt(4, 2)] }],
    ['of another branch than its log', { entries: Array.from({ length: 30 }, (_, n) => entryAt(n + 1, 1)) }],
  ])('heals a state that is %s, after making it durable', (_, log) => {
    const bench = new MemberBench(new ListMachine(20, 5)).open({ ...log, hardState });
    expect(bench.syncs).toBe(1);
    const [reset] = bench.context.take('log.reset');
    expect(reset).toMatchObject({ write: 1, index: 20, term: 5, hardState: { term: 5, vote: 0, commit: 20 } });
    expect(bench.cores).toEqual([]);
    bench.durable(1);
    expect(bench.core.options).toMatchObject({ baseIndex: 20, baseTerm: 5, entries: [], appliedIndex: 20 });
  });

  it('keeps its vote of the same term when it heals', () => {
    const bench = new MemberBench(new ListMachine(20, 3)).open({ hardState });
    expect(bench.context.take('log.reset')[0]?.hardState).toEqual({ term: 3, vote: peer, commit: 20 });
  });

  it.each([
    ['is corrupt', { outcome: 'corrupt' } as const, 'damaged'],
    ['was removed', { outcome: 'removed' } as const, 'removed'],
    ['begins behind the state', { baseIndex: logIndex(30), baseTerm: term(1) }, 'damaged'],
  ])('is silent for ever when the log %s', (_, opened, state) => {
    const bench = new MemberBench(new ListMachine(20, 1)).open(opened);
    bench.tick(300);
    bench.raft(heartbeat(9));
    expect(bench.member.state).toBe(state);
    expect(bench.ends.length).toBe(1);
    expect(bench.context.sent.filter(({ message }) => message.kind !== 'log.open')).toEqual([]);
    expect(bench.cores).toEqual([]);
  });

  it('falls silent when the store is poisoned, and what it owed is not sent any more', () => {
    const bench = new MemberBench().open();
    bench.core.say({ write: 1, hardState, afterAppend: [vote] });
    bench.tick();
    bench.hear({ kind: 'log.poisoned', reason: 'fsync failed' });
    bench.durable(1);
    expect([bench.member.state, bench.context.take('peer.raft')]).toEqual(['failed', []]);
  });

  it('opens its log again when the log writer dies, and asks until it is answered', () => {
    const bench = new MemberBench().open();
    expect(bench.context.take('log.open').length).toBe(1);
    bench.member.signalled({ signal: 'down', target: logWriter, reason: 'thread died' }, bench.context);
    expect(bench.member.state).toBe('opening');
    bench.tick(10);
    expect(bench.context.take('log.open').length).toBe(1);
    bench.tick(150);
    expect(bench.context.take('log.open').length).toBe(1);
    bench.open({ incarnation: incarnation(2) });
    expect([bench.member.state, bench.cores.length]).toEqual(['running', 2]);
  });

  it('opens its log again when a write is never answered', () => {
    const bench = new MemberBench().open();
    bench.context.take('log.open');
    bench.core.say({ write: 1, hardState });
    bench.tick(599);
    expect(bench.context.take('log.open')).toEqual([]);
    bench.tick(2);
    expect(bench.context.take('log.open').length).toBe(1);
  });

  it('cuts the log once it outgrows its window, keeping a part for followers that lag', () => {
    const bench = new MemberBench(new ListMachine(), { logWindowBytes: 4_000 }).open();
    const { core } = bench;
    const entries = Array.from({ length: 10 }, (_, n) => entryAt(n + 1, 1, 936));
    for (const entry of entries) core.terms.set(entry.index, entry.term);
    for (const entry of entries) {
      core.say({ committed: [entry] });
      core.logBytes = (entry.index - core.baseIndex) * 1_000;
      bench.tick();
    }
    expect(core.baseIndex).toBe(6);
    expect(bench.context.take('log.truncate').map(({ index, term: at }) => [index, at])).toEqual(
      [1, 2, 3, 4, 5, 6].map((index) => [index, 1]),
    );
  });
});

describe('messages that are not its own', () => {
  it.each<[string, Partial<MessageOf<'peer.raft'>>]>([
    ['of another cluster', { cluster: clusterId('other') }],
    ['of another shard', { shard: shardId(8) }],
    ['for another replica', { to: replicaId(13) }],
    ['from nobody of the group', { from: replicaId(99), message: heartbeat(1, replicaId(99)) }],
    ['under a false name', { from: replicaId(13) }],
    ['with a term out of reach', { message: heartbeat(2 ** 40) }],
  ])('%s: are dropped and counted', (_, overrides) => {
    const bench = new MemberBench().open();
    bench.raft(heartbeat(1), overrides);
    expect([bench.core.stepped, bench.member.foreignCount]).toEqual([[], 1]);
    bench.raft(heartbeat(1));
    expect([bench.core.stepped.length, bench.member.foreignCount]).toEqual([1, 1]);
  });
});

describe('proposals', () => {
  const leading = (): { bench: MemberBench; ends: ProposalOutcome[] } => {
    const bench = new MemberBench().open();
    bench.core.lead(term(4));
    bench.tick();
    return { bench, ends: [] };
  };
  const propose = (bench: MemberBench, ends: ProposalOutcome[]): void => {
    bench.member.propose(Uint8Array.of(1), (outcome) => ends.push(outcome), bench.context);
  };

  it('are acknowledged at their own index and term', () => {
    const { bench, ends } = leading();
    propose(bench, ends);
    expect(ends).toEqual([]);
    bench.core.say({ committed: [entryAt(1, 4)] });
    bench.settle();
    expect(ends).toEqual([{ kind: 'applied', index: 1, term: 4 }]);
  });

  it("are unknown when somebody else's entry takes their place", () => {
    const { bench, ends } = leading();
    propose(bench, ends);
    bench.core.say({ committed: [entryAt(1, 5)] });
    bench.settle();
    expect(ends).toEqual([{ kind: 'unknown' }]);
  });

  it.each<[string, (bench: MemberBench) => void]>([
    ['leadership is lost', (bench) => Object.assign(bench.core, { role: 'follower' })],
    ['leadership is lost and won again', (bench) => bench.core.lead(term(6))],
    ['the log is opened anew', (bench) => void bench.open({ incarnation: incarnation(2) })],
    ['the store is poisoned', (bench) => bench.hear({ kind: 'log.poisoned', reason: 'x' })],
  ])('are unknown when %s', (_, happens) => {
    const { bench, ends } = leading();
    propose(bench, ends);
    propose(bench, ends);
    happens(bench);
    bench.tick();
    expect(ends).toEqual([{ kind: 'unknown' }, { kind: 'unknown' }]);
    expect(bench.member.pendingCount).toBe(0);
  });

  it('are refused, without a callback, by one that does not lead', () => {
    const bench = new MemberBench();
    const refused = { ok: false, reason: 'notLeader' };
    const settle = (): void => {
      throw new Error('must not be called');
    };
    expect(bench.member.propose(Uint8Array.of(1), settle, bench.context)).toEqual(refused);
    bench.open();
    expect(bench.member.propose(Uint8Array.of(1), settle, bench.context)).toEqual(refused);
  });
});

describe('applying', () => {
  it('goes in slices, and reads see only what is applied', () => {
    const bench = new MemberBench(new ListMachine(), { applyBytesMax: 100 }).open();
    const reads: boolean[] = [];
    bench.member.readIndex((ok) => reads.push(ok), bench.context);
    bench.member.readIndex((ok) => reads.push(ok), bench.context);
    bench.settle();
    const [round] = bench.core.readContexts;
    expect(bench.core.readContexts.length).toBe(1);
    bench.core.say({
      committed: [1, 2, 3, 4, 5].map((index) => entryAt(index, 1, 50)),
      reads: [{ context: round ?? 0, index: logIndex(5) }],
    });
    bench.tick();
    expect([bench.machine.slices, reads]).toEqual([[[1, 2]], []]);
    bench.settle();
    expect([bench.machine.slices, reads]).toEqual([
      [[1, 2], [3, 4], [5]],
      [true, true],
    ]);
  });

  it('refuses reads that the core refuses, that get no answer, or that lose their member', () => {
    const bench = new MemberBench().open();
    const reads: boolean[] = [];
    const read = (): void => {
      bench.member.readIndex((ok) => reads.push(ok), bench.context);
      bench.settle();
    };
    read();
    bench.core.say({ reads: [{ context: bench.core.readContexts[0] ?? 0, index: null }] });
    bench.tick();
    expect(reads).toEqual([false]);
    read();
    bench.tick(30);
    expect(reads).toEqual([false, false]);
    read();
    bench.hear({ kind: 'log.poisoned', reason: 'x' });
    read();
    expect(reads).toEqual([false, false, false, false]);
  });
});
