import { logIndex, term } from '../../src/base/ids';
import type { RaftMessage } from '../../src/protocol/raft-messages';
import { entriesOf, Group, id, text, votersUpTo } from './support/group';

const three = (): Group => new Group(votersUpTo(3)).start();
const header = (from: number, to: number, now: number) => ({ from: id(from), to: id(to), term: term(now) });
const append = (
  from: number,
  to: number,
  now: number,
  prev: readonly [number, number],
  terms: readonly number[],
  commit = 0,
) =>
  ({
    kind: 'appendRequest',
    ...header(from, to, now),
    prevIndex: logIndex(prev[0]),
    prevTerm: term(prev[1]),
    commit: logIndex(commit),
    entries: terms.map((of, i) => ({
      term: term(of),
      index: logIndex(prev[0] + i + 1),
      type: 'command',
      data: text('x'),
    })),
  }) satisfies RaftMessage;
const voteRequest = (from: number, to: number, now: number, last: readonly [number, number]) =>
  ({
    kind: 'voteRequest',
    ...header(from, to, now),
    lastIndex: logIndex(last[0]),
    lastTerm: term(last[1]),
    transfer: false,
  }) satisfies RaftMessage;

describe('Raft, 5.1: terms', () => {
  it.each(['leader', 'candidate', 'follower'] as const)('a newer term makes a %s a follower of it', (role) => {
    const group = three();
    if (role === 'leader') group.elect(1);
    if (role === 'candidate') group.core(1).becomeCandidate(false);
    group.at(1).drain();
    expect(group.core(1).role).toBe(role);
    group.step(append(2, 1, 9, [0, 0], []));
    expect(group.core(1)).toMatchObject({ role: 'follower', term: 9, leader: 2 });
  });

  it('an older term is refused, and its leader learns of the newer one', () => {
    const group = new Group(votersUpTo(3)).give(1, [5], 5).start();
    group.step(append(2, 1, 4, [0, 0], [4]));
    expect(group.terms(1)).toEqual([5]);
    expect(group.said(1, 'appendResponse')).toMatchObject([{ rejected: true, term: 5 }]);
  });

  it('a term is durable before anything is said in it', () => {
    const group = three();
    group.step(append(2, 1, 3, [0, 0], [3]));
    expect(group.messages).toEqual([]);
    group.at(1).complete();
    expect(group.said(1, 'appendResponse')).toMatchObject([{ term: 3, index: 1, rejected: false }]);
  });
});

describe('Raft, 5.2: elections', () => {
  it('a follower that hears from a leader never campaigns', () => {
    const group = three();
    const leader = group.elect(1);
    group.pass(100);
    expect([leader.role, leader.term]).toEqual(['leader', 1]);
  });

  it('one that does not campaigns after one to two timeouts, drawn anew each time', () => {
    const waits = new Set<number>();
    const group = three();
    for (let election = 0; election < 60; election++) {
      let ticks = 0;
      for (; group.said(1, 'preVoteRequest').length === 0; ticks++) group.tick(1);
      waits.add(ticks);
    }
    expect(Math.min(...waits)).toBe(10);
    expect(Math.max(...waits)).toBe(19);
  });

  it('a vote is given once a term, to whom asks first, and is durable before it is told', () => {
    const group = three();
    group.step(voteRequest(2, 1, 1, [0, 0]));
    group.step(voteRequest(3, 1, 1, [0, 0]));
    expect(group.messages).toEqual([]);
    group.at(1).complete();
    expect(group.said(1, 'voteResponse')).toMatchObject([
      { to: 2, granted: true },
      { to: 3, granted: false },
    ]);
    expect(group.at(1).disk.hardState).toMatchObject({ term: 1, vote: 2 });
  });

  it('a vote survives a restart', () => {
    const group = three();
    group.step(voteRequest(2, 1, 1, [0, 0]));
    group.at(1).complete();
    group.at(1).crash();
    group.start(1);
    group.said(1, 'voteResponse');
    group.step(voteRequest(3, 1, 1, [0, 0]));
    group.step(voteRequest(2, 1, 1, [0, 0]));
    expect(group.said(1, 'voteResponse')).toMatchObject([
      { to: 3, granted: false },
      { to: 2, granted: true },
    ]);
  });

  it('a candidate asks nobody, nor counts itself, before its candidacy is durable', () => {
    const group = three();
    group.core(1).becomeCandidate(false);
    group.at(1).drain();
    expect(group.messages).toEqual([]);
    group.step({ kind: 'voteResponse', ...header(2, 1, 1), granted: true });
    expect(group.core(1).role).toBe('candidate');
    group.at(1).complete();
    expect(group.core(1).role).toBe('leader');
    expect(group.said(1, 'voteRequest')).toHaveLength(2);
  });

  it('the completion of an earlier candidacy is not the own vote in a later one', () => {
    const group = three();
    group.core(1).becomeCandidate(false);
    group.at(1).drain();
    group.core(1).becomeCandidate(false);
    group.core(1).step({ kind: 'voteResponse', ...header(2, 1, 2), granted: true });
    group.core(1).appended(1);
    expect(group.core(1).role).toBe('candidate');
  });

  it('a refused or split vote leads to another election', () => {
    const group = new Group(votersUpTo(2)).start();
    group.core(1).becomeCandidate(false);
    group.core(2).becomeCandidate(false);
    group.settle();
    expect(group.members.map(({ core }) => core?.role)).toEqual(['follower', 'follower']);
    group.pass(60);
    expect(group.members.map(({ core }) => core?.role).sort()).toEqual(['follower', 'leader']);
  });

  it('votes of an older term are not counted', () => {
    const group = three();
    group.core(1).becomeCandidate(false);
    group.core(1).becomeCandidate(false);
    group.at(1).drain();
    group.at(1).complete();
    group.step({ kind: 'voteResponse', ...header(2, 1, 1), granted: true });
    expect(group.core(1).role).toBe('candidate');
  });
});

describe('Raft, 5.3: replication', () => {
  it('an entry is committed once a majority has it durably, and followers learn so', () => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(3);
    leader.propose(text('a'));
    group.settle();
    expect([leader.commitIndex, group.core(2).commitIndex, group.core(3).commitIndex]).toEqual([2, 2, 1]);
    group.join();
    group.pass(4);
    expect(group.at(3).state).toEqual(group.at(1).state);
  });

  it('an append that does not fit is refused and changes nothing', () => {
    const group = new Group(votersUpTo(3)).give(1, [1, 1], 1).start();
    group.step(append(2, 1, 2, [5, 2], [2]));
    group.step(append(2, 1, 2, [2, 2], [2]));
    group.at(1).complete();
    group.at(1).drain();
    expect(group.said(1, 'appendResponse')).toMatchObject([
      { rejected: true, index: 5, hintIndex: 2, hintTerm: 1 },
      { rejected: true, index: 2, hintIndex: 2, hintTerm: 1 },
    ]);
    expect(group.terms(1)).toEqual([1, 1]);
  });

  it('conflicting entries go, and all that follow them; matching ones stay whatever comes late', () => {
    const group = new Group(votersUpTo(3)).give(1, [1, 1, 2, 2], 2).start();
    group.step(append(2, 1, 3, [1, 1], [3]));
    expect(group.terms(1)).toEqual([1, 3]);
    group.step(append(2, 1, 3, [2, 3], [3, 3]));
    group.step(append(2, 1, 3, [1, 1], [3]));
    expect(group.terms(1)).toEqual([1, 3, 3, 3]);
  });

  it.each([
    ['a gap', { ...append(2, 1, 3, [0, 0], [1]), entries: entriesOf(1, 1).slice(1) }],
    ['terms that fall', append(2, 1, 3, [0, 0], [2, 1])],
    ['a term from the future', append(2, 1, 3, [0, 0], [4])],
  ])('an append with %s is dropped', (_what, message) => {
    const group = three();
    group.step(message);
    expect(group.core(1)).toMatchObject({ lastIndex: 0, term: 3 });
  });

  // The leader of figure 7 and its followers a to f.
  const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  it.each([
    ['a', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ['b', [1, 1, 1, 4]],
    ['c', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ['d', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ['e', [1, 1, 1, 4, 4, 4, 4]],
    ['f', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])('figure 7 (%s) is mended within three refusals', (_name, followerTerms) => {
    const group = new Group(votersUpTo(3)).give(1, leaderTerms, 7).give(2, followerTerms, 7).give(3, [], 7).start();
    let refusals = 0;
    group.passes = (message) => {
      if (message.kind === 'appendResponse' && message.rejected && message.from === 2) refusals++;
      return true;
    };
    group.isolate(2);
    group.elect(1);
    group.join();
    group.passes = (message) => {
      if (message.kind === 'appendResponse' && message.rejected && message.from === 2) refusals++;
      return true;
    };
    group.pass(4);
    expect(group.terms(2)).toEqual([...leaderTerms, 8]);
    expect(refusals).toBeLessThanOrEqual(3);
  });

  it('a lost message is made up for, be it the last of a pipeline', () => {
    const group = three();
    const leader = group.elect(1);
    for (const lost of ['appendRequest', 'appendResponse'] as const) {
      group.passes = ({ kind }) => kind !== lost;
      for (let i = 0; i < 30; i++) leader.propose(text('lost'));
      group.settle();
      group.join();
      group.pass(8);
      expect(group.core(2).commitIndex).toBe(leader.lastIndex);
      expect(leader.uncommittedBytes).toBe(0);
    }
  });
});

describe('Raft, 5.4: safety', () => {
  it.each([
    [[1, 1], [2, 1], false],
    [[2, 1], [2, 1], true],
    [[3, 1], [2, 1], true],
    [[1, 2], [2, 1], true],
    [[9, 1], [2, 2], false],
  ] as const)('5.4.1: a log that ends at %j is voted for by one that ends at %j: %s', (asks, holds, granted) => {
    const own = Array.from({ length: holds[0] }, (_, i) => (i === holds[0] - 1 ? holds[1] : 1));
    const group = new Group(votersUpTo(3)).give(1, own, 3).start();
    group.step(voteRequest(2, 1, 4, asks));
    group.at(1).complete();
    expect(group.said(1, 'voteResponse')).toMatchObject([{ granted }]);
  });

  it('5.4.2, figure 8: an entry of an earlier term is not committed by being counted', () => {
    const group = new Group(votersUpTo(3)).give(1, [1, 2], 3).give(2, [1], 3).give(3, [1, 3], 3).start(1, 2);
    group.passes = ({ kind, to }) => kind !== 'appendRequest' || to !== 2;
    const leader = group.elect(1);
    group.join();
    // Only the entry of term 2 reaches member 2, not the one that opens term 4.
    group.messages.length = 0;
    group.step(append(1, 2, 4, [1, 1], [2]));
    group.at(2).complete();
    for (const response of group.said(2, 'appendResponse')) group.step(response);
    expect([group.terms(2), leader.commitIndex]).toEqual([[1, 2], 0]);
    group.pass(4);
    expect(leader.commitIndex).toBe(3);
  });
});

describe('Raft, 6: joint configurations', () => {
  const joint = { voters: [id(1), id(2), id(3)], votersOutgoing: [id(3), id(4), id(5)], learners: [] };

  it('need a majority of both halves to elect and to commit', () => {
    const group = new Group(joint).start();
    group.isolate(1, 2, 3);
    group.elect(1);
    expect(group.core(1).role).not.toBe('leader');
    group.isolate(1, 2, 3, 4);
    const leader = group.elect(1);
    expect(leader.role).toBe('leader');
    for (const half of [
      [1, 2, 3],
      [1, 4, 5],
    ]) {
      const before = leader.commitIndex;
      group.isolate(...half);
      leader.propose(text('x'));
      group.settle();
      expect(leader.commitIndex).toBe(before);
      group.isolate(1, 2, 4, 5);
      group.pass(4);
      expect(leader.commitIndex).toBe(before + 1);
    }
  });
});

describe('Raft, 7: snapshots', () => {
  const behind = (): Group => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(3);
    for (let i = 0; i < 5; i++) leader.propose(text(String(i)));
    group.settle();
    group.at(1).syncState();
    group.at(1).truncate(0);
    group.settle();
    group.join();
    return group;
  };

  it('a follower whose next entry is gone is sent one, once it has said what it lacks', () => {
    const group = behind();
    group.isolate(3);
    group.pass(4);
    expect(group.snapshots).toEqual([]);
    group.join();
    group.pass(4);
    expect(group.snapshots).toEqual([{ from: 1, to: 3 }]);
    group.stream();
    expect(group.core(3)).toMatchObject({ baseIndex: 6, commitIndex: 6 });
    expect(group.at(3).state).toEqual(group.at(1).state);
    group.core(1).propose(text('next'));
    group.settle();
    expect(group.core(3).commitIndex).toBe(7);
  });

  it('one that fails is tried again after the next sign of life, not at once', () => {
    const group = behind();
    group.pass(4);
    group.snapshots.length = 0;
    group.core(1).snapshotFinished(id(3), false);
    group.settle();
    expect(group.snapshots).toEqual([]);
    group.pass(4);
    expect(group.snapshots).toHaveLength(1);
    group.stream();
    expect(group.core(3).commitIndex).toBe(6);
  });

  it('one that was installed is not sent again because the word of it was lost', () => {
    const group = behind();
    group.pass(4);
    group.passes = ({ kind }) => kind !== 'snapshotInstalled';
    group.stream();
    group.pass(20);
    expect(group.snapshots).toEqual([]);
    group.core(1).propose(text('next'));
    group.settle();
    expect(group.core(3).commitIndex).toBe(7);
  });

  it('no promise about a replaced log is kept, and none about the new one made before it is durable', () => {
    const group = new Group(votersUpTo(3)).start();
    const member = group.at(1);
    group.core(1).step(append(2, 1, 1, [0, 0], [1, 1]));
    const meta = { index: logIndex(9), term: term(1), configuration: group.configuration };
    member.install(meta, { index: meta.index, term: meta.term, digest: '' });
    group.step(append(2, 1, 1, [9, 1], []));
    expect(group.messages).toEqual([]);
    member.complete();
    member.drain();
    expect(group.said(1, 'appendResponse')).toMatchObject([{ index: 9, rejected: false }]);
  });

  it('of a later term found by a candidate makes it a follower of that term', () => {
    const group = three();
    group.core(1).becomeCandidate(false);
    group.core(1).restore({ index: logIndex(5), term: term(4), configuration: group.configuration });
    expect(group.core(1)).toMatchObject({ role: 'follower', term: 4, lastIndex: 5, commitIndex: 5 });
  });
});

describe('thesis, 3.10: leadership transfer', () => {
  it('by order of its leader a member is elected at once, although the others hear that leader', () => {
    const group = three();
    group.elect(1);
    group.step({ kind: 'timeoutNow', ...header(1, 2, 1) });
    group.settle();
    expect([group.core(2).role, group.core(2).term, group.core(1).role]).toEqual(['leader', 2, 'follower']);
  });

  it('nobody else gives that order', () => {
    const group = three();
    group.elect(1);
    group.step({ kind: 'timeoutNow', ...header(3, 2, 1) });
    group.settle();
    expect(group.core(1).role).toBe('leader');
  });
});

describe('thesis, 4.2.1: learners', () => {
  it('receive everything, count for nothing and never campaign', () => {
    const group = new Group({ voters: [id(1), id(2)], votersOutgoing: [], learners: [id(3)] }).start();
    const leader = group.elect(1);
    expect(group.at(3).state.index).toBe(1);
    group.isolate(2);
    leader.propose(text('x'));
    group.settle();
    expect([leader.commitIndex, group.core(3).lastIndex]).toEqual([1, 2]);
    group.isolate(3);
    group.tick(3, 100);
    group.core(3).campaign();
    expect([group.core(3).role, group.core(3).term]).toEqual(['learner', 1]);
  });
});

describe('thesis, 6.2: check-quorum and the lease', () => {
  it('a leader that no quorum answers steps down within an election timeout', () => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(1);
    group.tick(1, 9);
    expect([leader.role, leader.leaderIsConfirmed]).toEqual(['leader', true]);
    group.tick(1, 1);
    expect([leader.role, leader.leaderIsConfirmed]).toEqual(['follower', false]);
    expect(leader.propose(text('x'))).toEqual({ ok: false, reason: 'notLeader' });
  });

  it('one of five counts the age of each answer: two old ones do not make a fresh quorum', () => {
    const group = new Group(votersUpTo(5)).start();
    const leader = group.elect(1);
    group.isolate(1, 2);
    group.pass(9);
    group.isolate(1, 3);
    group.pass(1);
    group.isolate(1);
    expect(leader.role).toBe('follower');
  });

  it('a member that hears its leader helps nobody to depose it', () => {
    const group = three();
    group.elect(1);
    group.step(voteRequest(3, 2, 7, [99, 1]));
    expect([group.core(2).term, group.core(2).leader]).toEqual([1, 1]);
  });
});

describe('thesis, 6.4: read index', () => {
  it('a read is served at the commit index once a quorum has answered', () => {
    const group = three();
    const leader = group.elect(1);
    group.passes = ({ kind }) => kind !== 'heartbeatResponse';
    leader.readIndex(7);
    group.settle();
    expect(group.reads.size).toBe(0);
    group.join();
    group.pass(2);
    expect(group.reads.get(7)).toBe(1);
  });

  it('a new leader serves none before an entry of its own term is committed', () => {
    const group = new Group(votersUpTo(3)).give(1, [1], 1).give(2, [1], 1).give(3, [1], 1).start();
    group.passes = ({ kind }) => kind !== 'appendResponse';
    const leader = group.elect(1);
    leader.readIndex(7);
    group.pass(6);
    expect([leader.role, leader.commitIndex, group.reads.size]).toEqual(['leader', 0, 0]);
    group.join();
    group.pass(6);
    expect(group.reads.get(7)).toBe(2);
  });

  it('a deposed leader refuses what it has not confirmed; answers of its time confirm nothing later', () => {
    const group = three();
    const first = group.elect(1);
    group.passes = ({ kind }) => kind !== 'heartbeatResponse';
    first.readIndex(7);
    group.settle();
    group.join();
    group.elect(2);
    group.core(2).step({ kind: 'timeoutNow', ...header(1, 2, 1) });
    group.step({ kind: 'timeoutNow', ...header(1, 2, 1) });
    group.pass(0);
    expect([...group.reads]).toEqual([]);
    group.tick(1, 10);
    expect([...group.reads]).toEqual([[7, null]]);
    group.settle();
    group.pass(40);
    const again = group.elect(1);
    again.readIndex(8);
    group.at(1).drain();
    group.messages.length = 0;
    for (const from of [2, 3]) {
      group.step({ kind: 'heartbeatResponse', ...header(from, 1, 1), readContext: 99 });
    }
    expect(group.reads.has(8)).toBe(false);
  });

  it('a follower passes reads on, and refuses them when the leader is lost or silent', () => {
    const group = three();
    group.core(3).readIndex(5);
    group.settle();
    expect(group.reads.get(5)).toBeNull();
    group.elect(1);
    group.core(3).readIndex(6);
    group.settle();
    expect(group.reads.get(6)).toBe(1);
    group.passes = ({ kind }) => kind !== 'readIndexResponse';
    group.core(3).readIndex(7);
    group.settle();
    expect(group.reads.has(7)).toBe(false);
    group.pass(11);
    expect(group.reads.get(7)).toBeNull();
  });

  it('many reads share few rounds', () => {
    const group = three();
    const leader = group.elect(1);
    for (let context = 1; context <= 1_000; context++) {
      leader.readIndex(context);
      group.at(1).drain();
    }
    expect(group.messages.filter(({ kind }) => kind === 'heartbeatRequest').length).toBeLessThanOrEqual(2 * 64);
    group.settle();
    expect(group.reads.size).toBe(1_000);
  });
});

describe('thesis, 9.6: pre-vote', () => {
  it('a member that comes back raises no term and deposes nobody', () => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(3);
    group.pass(100);
    expect([group.core(3).role, group.core(3).term]).toEqual(['preCandidate', 1]);
    group.join();
    group.pass(5);
    expect([leader.role, leader.term, group.core(3).role]).toEqual(['leader', 1, 'follower']);
  });

  it('a lagging member gets no pre-vote, and one that is up to date gets it without a term being raised', () => {
    const group = new Group(votersUpTo(3)).give(1, [1], 1).give(2, [1, 1], 1).give(3, [1, 1], 1).start();
    group.core(1).startElection();
    group.at(1).drain();
    for (const request of group.said(1, 'preVoteRequest')) group.step(request);
    expect(group.said(2, 'preVoteResponse')).toMatchObject([{ granted: false, term: 1 }]);
    group.core(3).startElection();
    group.at(3).drain();
    for (const request of group.said(3, 'preVoteRequest')) if (request.to === 2) group.step(request);
    expect(group.said(2, 'preVoteResponse')).toMatchObject([{ granted: true, term: 2 }]);
    expect(group.core(2).term).toBe(1);
  });

  it('one asked for in a term that has passed teaches the newer one', () => {
    const group = new Group(votersUpTo(3)).give(1, [], 2).give(2, [], 5).start();
    group.core(1).startElection();
    group.at(1).drain();
    for (const request of group.said(1, 'preVoteRequest')) if (request.to === 2) group.step(request);
    for (const response of group.said(2, 'preVoteResponse')) group.step(response);
    expect(group.core(1)).toMatchObject({ term: 5, role: 'follower' });
  });
});

describe('thesis, 10.2.1: the leader writes while it replicates', () => {
  it('sends entries before its own write is done, and counts itself only then', () => {
    const group = three();
    const leader = group.elect(1);
    leader.propose(text('x'));
    expect(group.said(1, 'appendRequest')).toHaveLength(2);
    group.step({ ...ack(2, 1, 1, 2) });
    expect(leader.commitIndex).toBe(1);
    group.step({ ...ack(3, 1, 1, 2) });
    expect([leader.commitIndex, group.at(1).toApply.length]).toEqual([2, 0]);
    group.at(1).complete();
    group.at(1).drain();
    expect(group.at(1).toApply).toHaveLength(1);
  });

  it('a single voter commits when its disk says so', () => {
    const group = new Group(votersUpTo(1)).start();
    const leader = group.elect(1);
    leader.propose(text('x'));
    group.at(1).drain();
    expect(leader.commitIndex).toBe(1);
    group.at(1).complete();
    expect(leader.commitIndex).toBe(2);
  });

  it('a completion never speaks for an entry that a later write replaces, if only to bring it back', () => {
    const group = three();
    const member = group.at(1);
    group.step(append(2, 1, 1, [0, 0], [1, 1, 1]));
    group.step(append(3, 1, 2, [1, 1], [2]));
    group.step(append(2, 1, 3, [1, 1], [1, 1]));
    expect(group.terms(1)).toEqual([1, 1, 1]);
    member.complete(1);
    expect(group.core(1).log.durableIndex).toBe(1);
    member.complete(1);
    expect(group.core(1).log.durableIndex).toBe(1);
    member.complete(1);
    expect(group.core(1).log.durableIndex).toBe(3);
  });

  it('one write holds a bounded batch, and its hard state commits nothing beyond it', () => {
    const group = three();
    const leader = group.elect(1);
    const megabyte = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 20; i++)
      group
        .core(2)
        .log.append({ ...entriesOf(1)[0], index: logIndex(i + 2), term: term(1), type: 'command', data: megabyte });
    expect(leader.role).toBe('leader');
    group.step({ kind: 'heartbeatRequest', ...header(1, 2, 1), commit: logIndex(21), readContext: 0 });
    const jobs = group.at(2).jobs.map((job) => (job.kind === 'append' ? job.ready : null));
    expect(jobs.map((ready) => ready?.entries.length)).toEqual([7, 7, 6]);
    expect(jobs.map((ready) => ready?.hardState?.commit)).toEqual([8, 15, 21]);
  });

  it('a repeated append while its write is under way asks for no further write', () => {
    const group = three();
    group.step(append(2, 1, 1, [0, 0], [1]));
    for (let i = 0; i < 10; i++) group.step(append(2, 1, 1, [0, 0], [1]));
    expect(group.at(1).jobs).toHaveLength(1);
    group.at(1).complete();
    group.at(1).drain();
    expect(group.said(1, 'appendResponse')).toHaveLength(11);
  });
});

describe('proposals', () => {
  it('are refused beyond the limit of uncommitted bytes, empty ones too, until some are committed', () => {
    const group = new Group(votersUpTo(3), { uncommittedBytesMax: 1_000 }).start();
    const leader = group.elect(1);
    group.isolate(1);
    let accepted = 0;
    while (accepted < 1_000 && leader.propose(new Uint8Array(0)).ok) accepted++;
    expect(accepted).toBeLessThan(100);
    expect(leader.propose(text('x'))).toEqual({ ok: false, reason: 'busy' });
    group.join();
    group.pass(6);
    expect(leader.uncommittedBytes).toBe(0);
    expect(leader.propose(text('x')).ok).toBe(true);
  });
});

function ack(from: number, to: number, now: number, index: number) {
  const hint = { hintIndex: logIndex(0), hintTerm: term(0) };
  return {
    kind: 'appendResponse',
    ...header(from, to, now),
    rejected: false,
    index: logIndex(index),
    ...hint,
  } as const;
}
