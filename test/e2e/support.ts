import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made: string[] = [];
const pollMs = 20;

/** A fresh directory that dropFolders() removes. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vectron-e2e-'));
  made.push(folder);
  return folder;
}

export function dropFolders(): void {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** Asks until it holds; fails, saying what did not, when it still does not at the deadline. */
export async function eventually(
  what: string,
  timeoutMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`not after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** What measurements say, beside the test's own report. */
export const say = (line: string): void => {
  process.stderr.write(`      ${line}\n`);
};

export const secondsSince = (startedMs: number): string => `${((performance.now() - startedMs) / 1000).toFixed(2)} s`;

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
