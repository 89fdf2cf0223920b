import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mutations, openMutations } from '../sim/mutations';
import { faultKindNames } from '../sim/tally';
import { tableRows } from './support/documents';
import { readText, root, textFiles } from './support/files';

/** What is said in one place of another one is there. */
const namesOf = (list: readonly { readonly name: string }[]): readonly string[] => list.map(({ name }) => name);

describe('a decision that is named by its number', () => {
  const decided = new Set(readText('docs/DESIGN.md').match(/\bD\d+\b/g));

  it('is in docs/DESIGN.md', () => {
    const missing = textFiles().flatMap(({ path, content }) =>
      [...content.matchAll(/DESIGN ((?:D\d+(?:, | and )?)+)/g)].flatMap(([, numbers]) =>
        (numbers?.match(/D\d+/g) ?? []).filter((one) => !decided.has(one)).map((one) => `${path}: ${one}`),
      ),
    );
    expect(missing).toEqual([]);
    expect(decided.size).toBeGreaterThan(10);
  });
});

describe('a link between documents', () => {
  it('leads to a file', () => {
    const documents = textFiles().filter(({ path }) => path.endsWith('.md'));
    const broken = documents.flatMap(({ path, content }) =>
      [...content.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)]
        .map(([, target]) => target ?? '')
        .filter((target) => !existsSync(join(root, dirname(path), target)))
        .map((target) => `${path}: ${target}`),
    );
    expect(broken).toEqual([]);
  });
});

/** One row: its number and the pieces of evidence in backticks. */
interface Row {
  readonly number: number;
  readonly pieces: readonly string[];
  readonly words: string;
}

function rowsOf(markdown: string): Row[] {
  return tableRows(markdown).map(([number, , evidence = '']) => ({
    number: Number(number),
    pieces: [...evidence.matchAll(/`([^`]+)`/g)].map(([, piece]) => piece ?? ''),
    words: evidence
      .replace(/`[^`]+`/g, '')
      .replace(/[,;]/g, '')
      .trim(),
  }));
}

/** Whether what a piece of evidence names exists, and finds something today. */
function holds(piece: string): boolean {
  const [kind, name = ''] = piece.split(/:(?!\/)(.*)/);
  if (kind === 'planted') return namesOf(mutations).includes(name);
  if (kind === 'fault') return (faultKindNames as readonly string[]).includes(name);
  const [file = '', title = ''] = piece.split(' > ');
  return existsSync(join(root, file)) && title !== '' && readText(file).includes(title);
}

const isOpen = (piece: string): boolean => namesOf(openMutations).includes(piece.replace(/^planted:/, ''));

describe('docs/checklist.md', () => {
  const rows = rowsOf(readText('docs/checklist.md'));

  it('names tests, planted bugs and faults that there are', () => {
    const wrong = rows.flatMap(({ number, pieces }) =>
      pieces.filter((piece) => !holds(piece) && !isOpen(piece)).map((piece) => `${number}: ${piece}`),
    );
    expect(wrong).toEqual([]);
  });

  it('has every bug of elections, logs, reads, members, snapshots, apply and disks, each with something that finds it', () => {
    const wanted = Array.from({ length: 88 }, (_, index) => index + 1);
    expect(wanted.filter((number) => !rows.some((row) => row.number === number))).toEqual([]);
    const empty = rows.filter(({ pieces, words }) => words === '' && !pieces.some(holds));
    expect(empty.map(({ number }) => number)).toEqual([]);
  });

  it.each(['planted:no-such-bug', 'fault:none', 'test/raft/paper.test.ts > no such title', 'test/none.test.ts > x'])(
    'would notice that %s does not exist',
    (piece) => expect(holds(piece)).toBe(false),
  );
});
