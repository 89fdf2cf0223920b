import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { addonFiles, buildAddon } from './addon.mjs';
import { withLock } from './lock.mjs';
import { root, run } from './process.mjs';
import { pruneOutput } from './prune.mjs';
import { Problem, step } from './say.mjs';
import { hashOf, isFresh, markFresh } from './stamp.mjs';

const platforms = ['linux-x64', 'darwin-arm64'];

export function ensureNode(version = process.versions.node, platform = `${process.platform}-${process.arch}`) {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const least = engines.node.replace('>=', '');
  if (compareVersions(version, least) < 0) throw new Problem(`Node ${least} or later is needed, this is ${version}`);
  if (!platforms.includes(platform)) {
    throw new Problem(
      `${platform} is not supported: the RocksDB binding has binaries for ${platforms.join(' and ')} only`,
    );
  }
}

export function compareVersions(left, right) {
  const [a, b] = [left, right].map((version) => version.split('.').map(Number));
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** Set-up steps of two commands at a time would write over each other. */
export const withSetupLock = (work) => withLock(join(root, '.build', 'setup.lock'), work);

/**
 * What the lock file asks for, and nothing else is written (--no-save). Not `npm ci`: it refuses a lock file that lacks
 * the binaries of platforms which the registry in use does not carry. Install scripts stay off: the RocksDB binding and
 * the tools bring their binaries inside their packages.
 */
export async function ensurePackages() {
  if (packagesAreFresh()) return;
  const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await step('installing npm packages', () => run('npm', ['install', ...flags], { quiet: true }));
}

/** Compares what the lock file asks for with what npm says it has installed. */
function packagesAreFresh() {
  const installedFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

export async function ensureAddon() {
  const sources = hashOf(['native', 'scripts/build-native.mjs'], { node: process.arch });
  if (addonFiles().length > 0 && isFresh('addon', sources)) return;
  await buildAddon();
  markFresh('addon', sources);
}

/** What a user runs. A test or bench that does not compile must not keep anybody from starting. */
export const ensureProgram = () => compile('program', 'tsconfig.program.json', ['src', 'examples']);

export const ensureCode = () => compile('code', 'tsconfig.json', ['src', 'test', 'bench', 'examples']);

async function compile(stamp, project, folders) {
  const configuration = ['tsconfig.json', project, 'package-lock.json'];
  const sources = hashOf([...folders, ...configuration], { endsWith: ['.ts', '.json'] });
  if (existsSync(join(root, 'dist')) && isFresh(stamp, sources)) return;
  await step('compiling TypeScript', () =>
    run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], { quiet: true }),
  );
  pruneOutput(join(root, 'dist'), root, folders);
  markFresh(stamp, sources);
}
