import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export const root = findRoot(__dirname);

/** Compiled tests may lie in any output directory below the project. */
function findRoot(directory: string): string {
  return existsSync(join(directory, 'package-lock.json')) ? directory : findRoot(dirname(directory));
}

export interface TextFile {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly content: string;
}

export const readText = (path: string): string => readFileSync(join(root, path), 'utf8');

const notOurs = new Set(['node_modules', 'dist', '.build', 'build', 'data', 'out', '.git', 'generated']);
const textual = /\.(ts|mjs|js|cjs|py|sh|md|json|proto|env|cc|h|txt|golden)$/;

/** Text files of the project below the folders, or of the whole project; generated code and data left out. */
export function textFiles(...folders: readonly string[]): TextFile[] {
  const roots = folders.length === 0 ? [''] : folders;
  return roots
    .flatMap((folder) => filesBelow(join(root, folder)))
    .map((path) => ({ path: relative(root, path), content: readFileSync(path, 'utf8') }));
}

function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return notOurs.has(entry.name) ? [] : filesBelow(path);
    return textual.test(entry.name) && entry.name !== 'package-lock.json' ? [path] : [];
  });
}

export const typescriptFiles = (...folders: readonly string[]): TextFile[] =>
  textFiles(...folders).filter(({ path }) => path.endsWith('.ts'));
