import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../repo/support/files';

/** The text of a test file that a document names; empty: there is none. */
export function filesOf(name: string): string {
  const file = join(root, 'test', name.replace(/`/g, ''));
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
