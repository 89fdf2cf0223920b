import { execFileSync } from 'node:child_process';
import { Prng } from '../../src/base/prng';

/** Seeds above these belong to commits; those below are counted from 1. */
const base = 1_000_000;
const span = 1_000_000_000;

/** The checkout's commit. */
export const commitHash = (): string => execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();

/** Where the seeds of a commit begin: every commit is tried with seeds of its own, the same ones whenever it is tried. */
export const seedOf = (commit: string): number => base + (Number.parseInt(commit.slice(0, 12), 16) % span);

/** `count` of the names, other ones for another commit. */
export function sampleOf(names: readonly string[], count: number, commit: string): string[] {
  const prng = new Prng(seedOf(commit));
  const left = [...names];
  const drawn: string[] = [];
  while (drawn.length < count && left.length > 0) drawn.push(...left.splice(prng.between(0, left.length - 1), 1));
  return drawn;
}
