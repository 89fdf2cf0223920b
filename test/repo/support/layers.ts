import { posix } from 'node:path';
import type { TextFile } from './files';
import { importsOf } from './source-text';

/** Layer folder (`src/raft`, `test`) to the folders it may import from; null: from everywhere. */
export type LayerTable = ReadonlyMap<string, readonly string[] | null>;

/**
 * npm packages that pure code may import: functions of their arguments, without clock, randomness, files or sockets. Each
 * with the reason why it is one.
 */
export const purePackages: ReadonlyMap<string, string> = new Map([
  ['zod', 'validation: a function of the value'],
  ['@bufbuild/protobuf/wire', 'reads and writes bytes in memory; imported by the generated code'],
  ['eventemitter3', 'calls listeners at once, in order; has no timer'],
]);

/** Reads the table of docs/ARCHITECTURE.md: | folder | what lives there | may import |. */
export function parseLayerTable(markdown: string): LayerTable {
  const rows = [...markdown.matchAll(/^\| *([a-z][a-z/]*) *\|[^|]*\| *([^|]*?) *\|$/gm)].filter(
    ([, name]) => name !== 'folder',
  );
  return new Map(rows.map(([, folder, allowed]) => [folder as string, foldersOf(allowed as string)]));
}

function foldersOf(allowed: string): readonly string[] | null {
  if (allowed === 'everything') return null;
  if (allowed === 'nothing') return [];
  return allowed.split(',').map((name) => `src/${name.trim()}`);
}

/** Every breach of the table, and every impure import of a pure file. */
export const layerProblems = (files: readonly TextFile[], table: LayerTable): string[] =>
  files.flatMap((file) => importsOf(file.content).flatMap((imported) => importProblems(file.path, imported, table)));

function importProblems(path: string, imported: string, table: LayerTable): string[] {
  const layer = layerOf(path, table);
  if (layer === undefined) return [`${path}: lies in no layer of the table`];
  const pure = isPure(path);
  if (!imported.startsWith('.')) {
    return pure && !purePackages.has(imported) ? [`${path}: pure code imports ${imported}`] : [];
  }
  const target = posix.join(posix.dirname(path), imported);
  const allowed = table.get(layer);
  const problems: string[] = [];
  if (pure && /\/node(\/|$)/.test(target)) problems.push(`${path}: pure code imports ${target}`);
  const targetLayer = layerOf(target, table);
  if (allowed !== null && targetLayer !== layer && !(allowed ?? []).includes(targetLayer ?? '')) {
    problems.push(`${path}: ${layer} may not import ${target}`);
  }
  return problems;
}

const layerOf = (path: string, table: LayerTable): string | undefined =>
  [...table.keys()].find((folder) => path.startsWith(`${folder}/`));

/** Pure: what the simulator can run. */
export const isPure = (path: string): boolean =>
  path.startsWith('src/') &&
  !path.startsWith('src/server/') &&
  !path.includes('/node/') &&
  !path.includes('/generated/');
