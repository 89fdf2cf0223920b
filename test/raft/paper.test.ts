import { logIndex, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { RaftMessage } from '../../src/protocol/raft-messages';
import { entriesOf, Group, id, text, votersUpTo } from './support/group';
import { ack, append, header, three, voteRequest } from './support/messages';

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

  it('candidates that split the votes, while a third member is dead, try again within one election time-out', () => {
    const rolesAfterSplit = (seed: number): string[] => {
      const group = new Group(votersUpTo(3), { random: new Prng(seed) }).start();
      group.isolate(3);
      group.core(1).becomeCandidate(false);
      group.core(2).becomeCandidate(false);
      group.settle();
      expect([group.core(1).role, group.core(2).role]).toEqual(['candidate', 'candidate']);
      group.pass(10);
      return [group.core(1).role, group.core(2).role];
    };
    // Now and then both try in the same tick and split the votes again.
    const elected = Array.from({ length: 40 }, (_, i) => rolesAfterSplit(i + 1)).filter((roles) =>
      roles.includes('leader'),
    );
    expect(elected.length).toBeGreaterThan(30);
  });

  it('of two that ask for pre-votes at a time one gives way, and no votes are split', () => {
    const group = three();
    group.isolate(3);
    group.core(1).startElection();
    group.core(2).startElection();
    group.settle();
    expect([group.core(1).role, group.core(2).role, group.core(1).term]).toEqual(['leader', 'follower', 1]);
  });

  it('who gave way to one that is not elected after all tries again within one election time-out', () => {
    const group = three();
    group.isolate(1);
    group.core(2).startElection();
    const last = { lastIndex: logIndex(0), lastTerm: term(0) };
    group.step({ kind: 'preVoteRequest', ...header(1, 2, 1), ...last });
    expect(group.core(2).role).toBe('follower');
    group.pass(10);
    expect([group.core(2).role, group.core(3).role]).toContain('leader');
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
  ])('figure 7 (%s) is mended after one refusal at most', (_name, followerTerms) => {
    const group = new Group(votersUpTo(3)).give(1, leaderTerms, 7).give(2, followerTerms, 7).give(3, [], 7).start();
    group.isolate(2);
    group.elect(1);
    const refusals = new Set<RaftMessage>();
    group.passes = (message) => {
      if (message.kind === 'appendResponse' && message.rejected) refusals.add(message);
      return true;
    };
    group.pass(4);
    expect(group.terms(2)).toEqual([...leaderTerms, 8]);
    expect(refusals.size).toBeLessThanOrEqual(1);
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

  it('an acknowledgement from a leader’s earlier term says nothing of the logs of its present one', () => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(2);
    group.isolate(3);
    leader.propose(text('a'));
    leader.propose(text('b'));
    group.at(1).drain();
    group.at(1).complete();
    leader.becomeFollower(term(leader.term + 1), id(0));
    leader.becomeCandidate(false);
    group.at(1).drain();
    group.at(1).complete();
    leader.step({ kind: 'voteResponse', ...header(2, 1, leader.term), granted: true });
    expect(leader.role).toBe('leader');
    group.at(1).drain();
    group.at(1).complete();
    const { lastIndex, commitIndex } = leader;
    // Late: they have lost those entries since.
    for (const from of [2, 3]) leader.step(ack(from, 1, 1, lastIndex));
    expect(leader.commitIndex).toBe(commitIndex);
    for (const from of [2, 3]) leader.step(ack(from, 1, leader.term, lastIndex));
    expect(leader.commitIndex).toBe(lastIndex);
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
    member.install(meta, { index: meta.index, term: meta.term, configuration: null, digest: '' });
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
