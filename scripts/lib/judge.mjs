import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { withLock } from './lock.mjs';
import { root, run } from './process.mjs';
import { Problem, step } from './say.mjs';
import { hashOf, isFresh, markFresh } from './stamp.mjs';

const binary = join(root, '.build', 'bin', 'judge');

/** Builds the judge when its sources have changed; resolves with its path. */
export const ensureJudge = () => withLock(join(root, '.build', 'judge.lock'), buildWhenStale);

async function buildWhenStale() {
  const sources = hashOf(['judge'], { endsWith: ['.go', 'go.mod', 'go.sum'] });
  if (existsSync(binary) && isFresh('judge', sources)) return binary;
  await step('building the judge', () => go('build', '-o', binary, '.'));
  markFresh('judge', sources);
  return binary;
}

/** `--build` only builds it and prints where it is; `--test` runs its own tests. */
export async function judge(args) {
  if (args.includes('--test')) return await step('testing the judge', () => go('test', '-count=1', './...'));
  const path = await ensureJudge();
  if (args.includes('--build')) return console.log(path);
  const { code } = await run(path, args, { check: false });
  process.exitCode = code;
}

function go(...args) {
  const env = { GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
  return run('sh', ['-c', 'cd judge && exec "$0" "$@"', goCommand(), ...args], { quiet: true, env });
}

/** Where Go is, or null. */
export function findGo() {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'go'));
  return [...onPath, '/usr/local/go/bin/go', '/usr/lib/go/bin/go'].find((file) => existsSync(file)) ?? null;
}

function goCommand() {
  const found = findGo();
  if (found !== null) return found;
  throw new Problem('the judge is a Go program: install Go 1.19 or later (Debian: apt-get install golang-go)');
}
