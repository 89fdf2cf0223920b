import { Group, id, text, votersUpTo } from './support/group';
import { header, three, voteRequest } from './support/messages';

const ids = (...numbers: number[]) => numbers.map(id);
const none = new Uint8Array(0);
const to = (voters: readonly number[], learners: readonly number[] = []) => ({
  voters: ids(...voters),
  learners: ids(...learners),
});
const settled = (voters: readonly number[], learners: readonly number[] = []) => ({
  ...to(voters, learners),
  votersOutgoing: [],
});

/** Three voters and 4, which has caught up as a learner. */
function withLearner(): Group {
  const group = three();
  const leader = group.elect(1);
  group.startEmpty(4);
  expect(leader.changeMembers(to([1, 2, 3], [4]), none).ok).toBe(true);
  group.settle();
  return group;
}

describe('Raft, 6: membership changes', () => {
  it('a change passes through a joint configuration, which its leader leaves by itself', () => {
    const group = withLearner();
    const leader = group.core(1);
    leader.changeMembers(to([1, 2, 4]), none);
    expect(leader.configuration).toEqual({ voters: ids(1, 2, 4), votersOutgoing: ids(1, 2, 3), learners: [] });
    expect(leader.isChanging).toBe(true);
    group.settle();
    expect([1, 2, 4].map((member) => group.core(member).configuration)).toEqual(Array(3).fill(settled([1, 2, 4])));
    expect(leader.isChanging).toBe(false);
  });

  it('a joint configuration needs a majority of both halves to commit', () => {
    const group = withLearner();
    const leader = group.core(1);
    group.isolate(1, 4);
    leader.changeMembers(to([1, 4]), none);
    const before = leader.commitIndex;
    group.pass(4);
    expect([leader.commitIndex, leader.isChanging]).toEqual([before, true]);
    group.isolate(1, 2);
    group.pass(4);
    // Entered, by 1 and 2 of the one half and 1 and 4 of the other; not left, as 4 is away now.
    expect([leader.commitIndex, leader.isChanging]).toEqual([before + 1, true]);
    group.join();
    group.pass(4);
    expect(leader.configuration).toEqual(settled([1, 4]));
  });

  it('a member uses the last configuration in its log, committed or not, also after a restart', () => {
    const group = withLearner();
    group.isolate(1);
    group.core(1).changeMembers(to([1, 4]), none);
    group.at(1).drain();
    group.at(1).complete();
    group.at(1).crash();
    group.start(1);
    expect(group.core(1).configuration.votersOutgoing).toEqual(ids(1, 2, 3));
  });

  it('another leader finishes the change that one began', () => {
    const group = withLearner();
    const keeps = ({ kind }: { readonly kind: string }): boolean => kind !== 'appendResponse';
    group.passes = keeps;
    group.core(1).changeMembers(to([1, 2, 4]), none);
    group.settle();
    expect(group.core(2).isChanging).toBe(true);
    group.isolate(1);
    for (const member of [2, 3, 4]) group.tick(member, 10);
    group.elect(2);
    expect([group.core(2).role, group.core(2).configuration]).toEqual(['leader', settled([1, 2, 4])]);
  });

  it('a server that is not part of the configuration still gives its vote', () => {
    const group = three();
    group.startEmpty(4);
    group.step(voteRequest(1, 4, 1, [0, 0]));
    group.at(4).drain();
    group.at(4).complete();
    expect(group.said(4, 'voteResponse').map(({ granted }) => granted)).toEqual([true]);
  });
});

describe('thesis, 4.2: availability during changes', () => {
  it('4.2.1: who has not caught up does not become a voter', () => {
    const group = three();
    const leader = group.elect(1);
    group.startEmpty(4);
    expect(leader.changeMembers(to([1, 2, 3, 4]), none)).toEqual({ ok: false, reason: 'lagging' });
    group.isolate(4);
    leader.changeMembers(to([1, 2, 3], [4]), none);
    group.settle();
    expect(leader.changeMembers(to([1, 2, 3, 4]), none)).toEqual({ ok: false, reason: 'lagging' });
    group.join();
    group.pass(4);
    expect(leader.changeMembers(to([1, 2, 3, 4]), none).ok).toBe(true);
  });

  it('4.2.2: a leader that is left out leads until that is committed, and counts nothing of its own', () => {
    const group = three();
    const leader = group.elect(1);
    leader.changeMembers(to([2, 3]), none);
    group.passes = ({ kind, from }) => kind !== 'appendResponse' || from !== 3;
    group.settle();
    expect([leader.role, leader.isChanging]).toEqual(['leader', true]);
    group.join();
    group.pass(4);
    expect([leader.role, leader.configuration]).toEqual(['follower', settled([2, 3])]);
    group.tick(1, 100);
    expect([leader.role, leader.term]).toEqual(['follower', 1]);
  });

  it('4.2.2: one with the only entry that leaves it out campaigns until it is committed', () => {
    const group = new Group(votersUpTo(2)).start();
    const leader = group.elect(1);
    leader.changeMembers(to([2]), none);
    group.passes = ({ kind, entries }: { kind: string; entries?: readonly { data: Uint8Array }[] }) =>
      kind !== 'appendRequest' || (entries?.length ?? 0) === 0 || leader.lastIndex < 3;
    group.settle();
    expect(leader.configuration).toEqual(settled([2]));
    group.at(1).crash();
    group.join();
    group.start(1);
    for (let ticks = 0; ticks < 60; ticks++) group.pass(1);
    expect(group.core(2).configuration).toEqual(settled([2]));
    expect(group.core(2).role).toBe('leader');
  });

  it('4.2.3: who was removed and does not know it deposes nobody', () => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(3);
    leader.changeMembers(to([1, 2]), none);
    group.settle();
    group.join();
    for (let ticks = 0; ticks < 60; ticks++) group.pass(1);
    expect([leader.role, leader.term, group.core(3).role]).toEqual(['leader', 1, 'preCandidate']);
  });

  it('4.3: one change at a time, and none before the leader has committed in its term', () => {
    const group = withLearner();
    const leader = group.core(1);
    group.isolate(1);
    leader.changeMembers(to([1, 2, 4]), none);
    expect(leader.changeMembers(to([1, 2, 3]), none)).toEqual({ ok: false, reason: 'changing' });
    const fresh = three();
    fresh.passes = ({ kind }) => kind !== 'appendResponse';
    expect(fresh.elect(1).role).toBe('leader');
    expect(fresh.core(1).changeMembers(to([1, 2]), none)).toEqual({ ok: false, reason: 'early' });
  });

  it('a change that silent members could not end is not begun', () => {
    const group = new Group(votersUpTo(5)).start();
    const leader = group.elect(1);
    group.isolate(4, 5);
    group.pass(12);
    expect(leader.changeMembers(to([1, 4, 5]), none)).toEqual({ ok: false, reason: 'silent' });
    expect(leader.changeMembers(to([1, 2, 3]), none).ok).toBe(true);
  });
});

describe('thesis, 3.10: leadership transfer by the leader', () => {
  it('brings the other up to date first, refuses proposals, and ends within the wait', () => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(2);
    leader.propose(text('x'));
    group.settle();
    expect(leader.transferLeadership(id(2))).toEqual({ ok: true });
    expect(leader.propose(text('y'))).toEqual({ ok: false, reason: 'transferring' });
    expect(leader.transferee).toBe(2);
    group.join();
    group.pass(4);
    expect([group.core(2).role, group.core(2).term]).toEqual(['leader', 2]);
    expect(group.core(2).propose(text('z')).ok).toBe(true);
  });

  it('is given up after an election timeout', () => {
    const group = three();
    const leader = group.elect(1);
    group.isolate(2);
    leader.transferLeadership(id(2));
    group.pass(9);
    expect(leader.propose(text('x'))).toEqual({ ok: false, reason: 'transferring' });
    group.pass(1);
    expect([leader.transferee, leader.propose(text('x')).ok]).toEqual([0, true]);
  });

  it('is not made to learners, strangers, or by anybody else', () => {
    const group = withLearner();
    const leader = group.core(1);
    for (const other of [1, 4, 9]) {
      expect(leader.transferLeadership(id(other))).toEqual({ ok: false, reason: 'ineligible' });
    }
    expect(group.core(2).transferLeadership(id(3))).toEqual({ ok: false, reason: 'notLeader' });
    group.step({ kind: 'timeoutNow', ...header(1, 4, 1) });
    group.settle();
    expect([group.core(4).role, leader.role]).toEqual(['learner', 'leader']);
  });
});
