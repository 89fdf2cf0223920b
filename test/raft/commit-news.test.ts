import { logIndex } from '../../src/base/ids';
import type { RaftMessage } from '../../src/protocol/raft-messages';
import { id, text } from './support/group';
import { three } from './support/messages';

describe('an append that tells a new commit and nothing else', () => {
  it('a message that only tells a new commit is not answered, and one that tells it again is', () => {
    const group = three();
    const leader = group.elect(1);
    leader.propose(text('a'));
    group.at(1).drain();
    group.at(1).complete();
    const [append] = group.said(1, 'appendRequest').filter(({ to }) => to === id(2));
    group.step(append as RaftMessage);
    group.at(2).complete();
    expect(group.said(2, 'appendResponse')).toMatchObject([{ index: 2 }]);
    const commit = { ...append, prevIndex: logIndex(2), prevTerm: leader.term, commit: logIndex(2), entries: [] };
    group.step(commit as RaftMessage);
    expect(group.core(2).commitIndex).toBe(2);
    expect(group.said(2, 'appendResponse')).toEqual([]);
    group.step(commit as RaftMessage);
    expect(group.said(2, 'appendResponse')).toMatchObject([{ index: 2 }]);
  });

  it('a lost answer to the last entry is made up for, though the commit that follows has none', () => {
    const group = three();
    const leader = group.elect(1);
    group.passes = ({ kind, from }) => kind !== 'appendResponse' || from !== id(3);
    leader.propose(text('a'));
    group.settle();
    expect(group.core(3).commitIndex).toBe(leader.lastIndex);
    const matchOf = (member: number) => leader.leadership?.progress.get(id(member))?.match;
    expect(matchOf(3)).toBeLessThan(leader.lastIndex);
    group.join();
    group.pass(2);
    expect([matchOf(2), matchOf(3)]).toEqual([leader.lastIndex, leader.lastIndex]);
  });
});
