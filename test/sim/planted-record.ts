import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** What is known of one planted bug. */
export interface PlantedRow {
  readonly name: string;
  readonly what: string;
  /** Of the checklist; empty: none of it. */
  readonly numbers: string;
  /** The first seed that finds it; null: none has. */
  readonly seed: number | null;
  readonly seedsRun: number;
  /** Where the hunt began. */
  readonly first: number;
  /** What the simulator said. */
  readonly by: string;
}

const header = `# Planted bugs

Bugs as somebody might make them, switched on in test builds only, to prove that the simulator finds them: a harness that finds
no planted bug proves nothing. Written by

    npm run sim -- --mutations all --max-seeds 2000 --record

which puts the bugs it hunts into this table and leaves the others as they are; with names in place of \`all\` it hunts
those, and with \`open\` the ones that no seed has found yet. Numbers are those of the checklist of bugs that real systems
had; a dash marks one of our own. Hunts begin with seed 1, unless the table says where (\`--first\`), and leave the corpus out.
`;

const columns = '| bug | what is wrong | checklist | first seed | what the simulator says |\n|---|---|---|---|---|';
const said = 120;

/** A table's cell: one line, no bars. */
function cell(text: string): string {
  const line = (text.split('\n')[0] ?? '').replaceAll('|', '/').trim();
  return line.length > said ? `${line.slice(0, said - 1)}…` : line;
}

function lineOf({ name, what, numbers, seed, seedsRun, first, by }: PlantedRow): string {
  const begun = first === 1 ? '' : `, from ${first} on`;
  const found = `${seed ?? `none of ${seedsRun}`}${begun}`;
  return `| ${name} | ${cell(what)} | ${numbers || '–'} | ${found} | ${cell(by)} |`;
}

/** The lines of an earlier table, by bug. */
function linesIn(text: string): Map<string, string> {
  const lines = text.split('\n').filter((line) => /^\| [a-z0-9-]+ \|/.test(line) && !line.startsWith('| bug |'));
  return new Map(lines.map((line) => [line.split('|')[1]?.trim() ?? '', line]));
}

/** The document with these rows in it. `order`: all bugs there are; what is of none of them goes. */
export function plantedDocument(earlier: string, order: readonly string[], rows: readonly PlantedRow[]): string {
  const lines = linesIn(earlier);
  for (const row of rows) lines.set(row.name, lineOf(row));
  const known = order.flatMap((name) => lines.get(name) ?? []);
  const open = known.filter((line) => /\| none of \d+/.test(line)).length;
  const count = `${known.length} planted bugs, ${known.length - open} found, ${open} not found yet.`;
  return `${header}\n${count}\n\n${columns}\n${known.join('\n')}\n`;
}

export function recordPlanted(file: string, order: readonly string[], rows: readonly PlantedRow[]): void {
  const earlier = existsSync(file) ? readFileSync(file, 'utf8') : '';
  writeFileSync(file, plantedDocument(earlier, order, rows));
}
