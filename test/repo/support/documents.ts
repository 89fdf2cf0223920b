/** Cells of the rows of every Markdown table in the text, head and rule rows left out. */
export function tableRows(markdown: string): string[][] {
  const rows = markdown.split('\n').map((line) => (line.startsWith('|') ? cellsOf(line) : null));
  return rows.flatMap((row, index) => {
    if (row === null || isRule(row)) return [];
    const next = rows[index + 1];
    return next !== undefined && next !== null && isRule(next) ? [] : [row];
  });
}

const cellsOf = (line: string): string[] =>
  line
    .replace(/^\|/, '')
    .replace(/\|\s*$/, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());

const isRule = (cells: readonly string[]): boolean => cells.every((cell) => /^:?-+:?$/.test(cell));

/** `NAME` in the first cell of each row. */
export const namesInTable = (markdown: string): string[] =>
  tableRows(markdown).map(([first]) => (first ?? '').replace(/`/g, ''));

/** What is in one list and not in the other, in both directions. */
export function difference(left: readonly string[], right: readonly string[]): string[] {
  const only = (these: readonly string[], those: readonly string[]): string[] =>
    these.filter((one) => !those.includes(one));
  return [...only(left, right), ...only(right, left)];
}
