import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Compiled code may lie in any output directory below the project. */
function projectRoot(directory: string = __dirname): string {
  return existsSync(join(directory, 'package-lock.json')) ? directory : projectRoot(dirname(directory));
}

const verdicts = ['legal', 'illegal', 'unknown', 'malformed'] as const;

export interface Judgement {
  readonly verdict: (typeof verdicts)[number];
  /** What it printed: a line a file, and what is wrong. */
  readonly output: string;
}

/** Builds the judge when it is not up to date; returns the program's path. */
export function buildJudge(): string {
  const run = join(projectRoot(), 'scripts', 'run.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [run, 'judge', '--build'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the judge could not be built: ${stderr}`);
  return stdout.trim();
}

/** Anything but a clean verdict throws, so that a judge that did not run never passes for a legal history. */
export function judge(program: string, files: readonly string[], flags: readonly string[] = []): Judgement {
  const { status, error, stdout, stderr } = spawnSync(program, [...flags, ...files], { encoding: 'utf8' });
  if (error !== undefined) throw error;
  const verdict = status === null ? undefined : verdicts[status];
  if (verdict === undefined) throw new Error(`the judge ended with ${status}: ${stderr}`);
  return { verdict, output: stdout };
}
