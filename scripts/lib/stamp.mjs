import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './process.mjs';

const stampFile = (name) => join(root, '.build', 'stamps', name);

/**
 * A digest over the contents of files and folders, build output left out: content, not time, so that a checkout back and
 * forth rebuilds nothing.
 */
export function hashOf(paths, { endsWith = [''], ...extra } = {}) {
  const hash = createHash('sha256').update(JSON.stringify(extra));
  for (const path of paths.flatMap((each) => filesUnder(each))) {
    if (!endsWith.some((ending) => path.endsWith(ending))) continue;
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update('\0');
  }
  return hash.digest('hex');
}

function filesUnder(path) {
  const stat = statSync(join(root, path), { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (!stat.isDirectory()) return [path];
  return readdirSync(join(root, path))
    .filter((name) => name !== 'build')
    .sort()
    .flatMap((name) => filesUnder(`${path}/${name}`));
}

export const isFresh = (name, digest) =>
  existsSync(stampFile(name)) && readFileSync(stampFile(name), 'utf8') === digest;

export function markFresh(name, digest) {
  mkdirSync(join(root, '.build', 'stamps'), { recursive: true });
  writeFileSync(stampFile(name), digest);
}
