import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const made: string[] = [];

/** A fresh directory that dropScratch() removes. */
export function scratch(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'vectron-storage-'));
  made.push(directory);
  return directory;
}

export function dropScratch(): void {
  for (const directory of made.splice(0)) fs.rmSync(directory, { recursive: true, force: true });
}

/** What kill -9 leaves of a directory whose files are open: everything written so far. */
export function imageOf(directory: string): string {
  const image = scratch();
  fs.cpSync(directory, image, { recursive: true, filter: (from) => path.basename(from) !== 'LOCK' });
  return image;
}
