import { logIndex, term } from '../../src/base/ids';
import { entriesOf, Group, id, text, votersUpTo } from './support/group';
import { ack, append, header, three, voteRequest } from './support/messages';

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
    group.step({ kind: 'timeoutNow', ...header(1, 2, 1) });
    group.settle();
    expect([group.core(2).role, ...group.reads]).toEqual(['leader', [7, null]]);
    group.step({ kind: 'timeoutNow', ...header(2, 1, 2) });
    group.settle();
    expect([first.role, first.term]).toEqual(['leader', 3]);
    first.readIndex(8);
    group.at(1).drain();
    group.messages.length = 0;
    for (const late of [1, 2, 99]) {
      group.step({ kind: 'heartbeatResponse', ...header(2, 1, 1), readContext: late });
      group.step({ kind: 'heartbeatResponse', ...header(3, 1, 1), readContext: late });
    }
    group.at(1).drain();
    expect(group.reads.has(8)).toBe(false);
    group.pass(2);
    expect(group.reads.get(8)).toBe(3);
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
