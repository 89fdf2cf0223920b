import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { tableRows } from '../repo/support/documents';
import { root } from '../repo/support/files';
import { filesOf } from './support/claims';
import { Group, text, votersUpTo } from './support/group';
import { append, three, voteRequest } from './support/messages';

describe('Raft, 5.1: what may be sent twice', () => {
  it('a repeated request for a vote gets the same answer, and costs no second write', () => {
    const group = three();
    for (const _ of [1, 2, 3]) {
      group.step(voteRequest(2, 1, 1, [0, 0]));
      group.at(1).complete();
    }
    expect(group.said(1, 'voteResponse').map(({ granted }) => granted)).toEqual([true, true, true]);
    expect(group.at(1).disk.hardState).toMatchObject({ term: 1, vote: 2 });
  });

  it('a repeated append is acknowledged again and changes nothing', () => {
    const group = new Group(votersUpTo(3)).give(1, [1, 1], 1).start();
    for (const _ of [1, 2, 3]) {
      group.step(append(2, 1, 2, [2, 1], [2]));
      group.at(1).complete();
    }
    expect(group.said(1, 'appendResponse')).toMatchObject([
      { rejected: false, index: 3 },
      { rejected: false, index: 3 },
      { rejected: false, index: 3 },
    ]);
    expect(group.terms(1)).toEqual([1, 1, 2]);
  });
});

describe('Raft, 5.3: the leader’s own log', () => {
  it('is only ever appended to, whatever others answer', () => {
    const group = new Group(votersUpTo(3)).give(2, [1, 1, 1], 1).start();
    const leader = group.elect(2);
    const before = group.terms(2);
    leader.propose(text('a'));
    group.step(append(3, 2, leader.term - 1, [1, 1], [1]));
    group.settle();
    expect(group.terms(2).slice(0, before.length)).toEqual(before);
  });
});

describe('Raft, 8: a new leader', () => {
  it('begins its term with an entry of it, before anybody asks', () => {
    const group = three();
    const leader = group.elect(1);
    expect([group.terms(1), leader.lastIndex]).toEqual([[leader.term], 1]);
    group.isolate(1);
    group.pass(60);
    const next = [2, 3].map((n) => group.core(n)).find(({ role }) => role === 'leader');
    expect(next?.lastIndex).toBe(2);
    expect(next?.commitIndex).toBe(2);
  });
});

/** What its tests and groups of tests are called. */
const titlesIn = (source: string): string[] =>
  [...source.matchAll(/\b(?:it|test|describe)(?:\.each\([\s\S]*?\))?\(\s*(['"`])([\s\S]*?)\1/g)].map(
    ([, , title]) => title ?? '',
  );

describe('the list of claims', () => {
  const claims = tableRows(readFileSync(join(root, 'docs', 'raft-claims.md'), 'utf8'));

  it('has a test for each, that exists', () => {
    expect(claims.length).toBeGreaterThan(50);
    for (const [section = '', claim = '', file = '', name = ''] of claims) {
      const where = `${section} ${claim}: ${file}`;
      expect([where, titlesIn(filesOf(file)).some((title) => title.includes(name))]).toEqual([where, true]);
    }
  });
});
