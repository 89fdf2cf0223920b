import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Removes compiled files whose source is gone: a deleted test must not go on running. */
export function pruneOutput(output, sources, folders) {
  for (const folder of folders) prune(join(output, folder), join(sources, folder));
}

function prune(output, source) {
  if (!existsSync(output)) return;
  for (const name of readdirSync(output)) {
    const path = join(output, name);
    if (statSync(path).isDirectory()) prune(path, join(source, name));
    else if (/\.js(\.map)?$/.test(name) && !hasSource(source, name)) rmSync(path);
  }
}

const hasSource = (folder, name) => existsSync(join(folder, name.replace(/\.js(\.map)?$/, '.ts')));
