import { describe, expect, test } from '@jest/globals';
import { mutations, openMutations } from './mutations';
import { checklist } from './mutations-checklist';
import { plantedDocument } from './planted-record';

const found = {
  name: 'a-bug',
  what: 'wrong',
  numbers: '1, 2',
  seed: 4,
  seedsRun: 4,
  first: 1,
  by: 'two | leaders\nmore',
};

describe('the record of planted bugs', () => {
  test('keeps what was found before, replaces what was hunted again, and forgets what is gone', () => {
    const first = plantedDocument(
      '',
      ['a-bug', 'b-bug', 'gone'],
      [{ ...found, name: 'gone' }, { ...found, name: 'b-bug', seed: null, seedsRun: 30, by: '' }, found],
    );
    expect(first).toContain('3 planted bugs, 2 found, 1 not found yet');
    expect(first).toContain('| b-bug | wrong | 1, 2 | none of 30 |  |');
    const second = plantedDocument(first, ['a-bug', 'b-bug'], [{ ...found, name: 'b-bug', seed: 31 }]);
    expect(second).toContain('2 planted bugs, 2 found, 0 not found yet');
    expect(second).toContain('| a-bug | wrong | 1, 2 | 4 | two / leaders |');
    expect(second).toContain('| b-bug | wrong | 1, 2 | 31 |');
    expect(second).not.toContain('gone');
    const late = plantedDocument(second, ['a-bug', 'b-bug'], [{ ...found, seed: 99, first: 90 }]);
    expect(late).toContain('| a-bug | wrong | 1, 2 | 99, from 90 on |');
    expect(plantedDocument(late, ['a-bug', 'b-bug'], [{ ...found, seed: null, first: 90 }])).toContain(
      '1 not found yet',
    );
    expect(plantedDocument(second, ['a-bug', 'b-bug'], [])).toBe(second);
  });

  test('the checklist names bugs that there are, and at least 40 of its own', () => {
    const names = [...mutations, ...openMutations].map(({ name }) => name);
    for (const name of Object.keys(checklist)) expect(names).toContain(name);
    expect(mutations.filter(({ name }) => (checklist[name] ?? '') !== '').length).toBeGreaterThanOrEqual(40);
  });
});
