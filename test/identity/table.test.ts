import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { tableRows } from '../repo/support/documents';
import { root } from '../repo/support/files';
import { carried, type Mark, marks } from './carried';

const columns = Object.keys(marks) as Mark[];
const text = readFileSync(join(root, 'docs', 'identity.md'), 'utf8');
const section = text.slice(text.indexOf('## Messages'), text.indexOf('## Commands'));
const rows = new Map(tableRows(section).map(([kind = '', ...cells]) => [kind, cells]));

describe('the table of who says what', () => {
  test('has a row for every kind of message, and no other', () => {
    expect([...rows.keys()].sort()).toEqual([...carried().keys()].sort());
  });

  test.each([...carried()])('%s carries what its row says, and somebody checks it', (kind, has) => {
    const cells = rows.get(kind) ?? [];
    const said = columns.filter((_, at) => cells[at] === 'x');
    expect(said).toEqual(columns.filter((mark) => has.has(mark)));
    expect(cells[columns.length]?.length).toBeGreaterThan(3);
  });

  test('what crosses machines without a cluster id is checked by its link, or answers to a number', () => {
    const between = /^(peer|data|pd|members|level|beat\.machine)/;
    for (const [kind, has] of carried()) {
      if (!between.test(kind) || has.has('cluster')) continue;
      const checked = rows.get(kind)?.[columns.length] ?? '';
      expect(`${kind}: ${checked}`).toMatch(/link|number|shard|PlacementClient|GroupCalls/);
    }
  });
});
