import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './process.mjs';
import { Problem, step } from './say.mjs';

const addonFolder = join(root, 'native', 'build', 'Release');

export const addonFiles = () =>
  existsSync(addonFolder) ? readdirSync(addonFolder).filter((name) => name.endsWith('.node')) : [];

export async function buildAddon() {
  await ensureSystemPackages();
  await step('building the native addon', () => run(process.execPath, ['scripts/build-native.mjs'], { quiet: true }));
}

/** What the addon's build needs from the system: a file that proves it is there, and the package that brings it. */
const needs = {
  linux: [
    { package: 'g++', anyOf: ['/usr/bin/c++', '/usr/bin/g++', '/usr/bin/clang++'] },
    { package: 'make', anyOf: ['/usr/bin/make'] },
    { package: 'libfaiss-dev', anyOf: ['/usr/include/faiss/IndexHNSW.h', '/usr/local/include/faiss/IndexHNSW.h'] },
    {
      package: 'libopenblas-dev',
      anyOf: [
        '/usr/lib/x86_64-linux-gnu/libopenblas.so',
        '/usr/lib/x86_64-linux-gnu/libblas.so',
        '/usr/lib64/libopenblas.so',
      ],
    },
  ],
  darwin: [
    { package: 'faiss', anyOf: ['/opt/homebrew/include/faiss/IndexHNSW.h', '/usr/local/include/faiss/IndexHNSW.h'] },
    { package: 'libomp', anyOf: ['/opt/homebrew/opt/libomp/include/omp.h', '/usr/local/opt/libomp/include/omp.h'] },
  ],
};

async function ensureSystemPackages() {
  const names = missingPackages();
  if (names.length === 0) return;
  if (!mayInstall()) throw new Problem(`missing system packages; install them with: ${installLine(names)}`);
  console.error(`vectron: will install system packages ${names.join(', ')} (apt-get; VECTRON_NO_INSTALL=1 forbids it)`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await step('apt-get update', () => run('apt-get', ['update', '-qq'], { quiet: true, env }));
  await step(`apt-get install ${names.join(' ')}`, () =>
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], { quiet: true, env }),
  );
}

export const missingPackages = (platform = process.platform, exists = existsSync) =>
  needs[platform].filter(({ anyOf }) => !anyOf.some((path) => exists(path))).map((need) => need.package);

const here = () => ({
  platform: process.platform,
  hasApt: existsSync('/usr/bin/apt-get'),
  isRoot: process.getuid?.() === 0,
  isForbidden: (process.env.VECTRON_NO_INSTALL ?? '') !== '',
});

export const mayInstall = ({ hasApt, isRoot, isForbidden } = here()) => hasApt && isRoot && !isForbidden;

/** What a person has to type. */
export function installLine(names, { platform, hasApt, isRoot } = here()) {
  if (platform === 'darwin') return `brew install ${names.join(' ')}`;
  if (!hasApt) return `your package manager: ${names.join(', ')} (Debian's names)`;
  return `${isRoot ? '' : 'sudo '}apt-get install ${names.join(' ')}`;
}
