#!/usr/bin/env node
// Builds the addon into native/build/Release. With --test also builds and runs the core's own tests; --asan and --tsan
// run them under the address and the thread sanitizer. make compares times, so an unchanged tree costs nothing.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, 'native');
const headers = join(root, 'node_modules', 'node-api-headers', 'include');
const compiler = process.env.CXX ?? 'g++';
const options = new Set(process.argv.slice(2));

function fail(line) {
  console.error(`build-native: ${line}`);
  process.exit(1);
}

function runs(command, args, input) {
  return spawnSync(command, args, { input, encoding: 'utf8' });
}

/** One line for each thing that may be missing, before make says it in fifty. */
function checkTools() {
  for (const tool of [compiler, 'make']) {
    if (runs(tool, ['--version']).status !== 0) fail(`${tool} is missing: apt-get install build-essential`);
  }
  if (!existsSync(join(headers, 'node_api.h'))) fail('node-api-headers is missing: npm install');
  const folder = mkdtempSync(join(tmpdir(), 'vectron-native-'));
  const source = join(folder, 'probe.cc');
  writeFileSync(
    source,
    '#include <faiss/IndexHNSW.h>\nint main() { return faiss::IndexHNSWFlat(4, 4).d == 4 ? 0 : 1; }\n',
  );
  const link = ['-l:libfaiss.a', '-lopenblas', '-lgomp', '-lpthread'];
  const probe = runs(compiler, ['-std=c++17', '-o', join(folder, 'probe'), source, ...link]);
  rmSync(folder, { recursive: true });
  if (probe.status !== 0) {
    const why = probe.stderr.split('\n').find((line) => /error|cannot find|undefined/.test(line)) ?? '';
    fail(`FAISS or BLAS is missing: apt-get install libfaiss-dev libopenblas-dev (${why.trim()})`);
  }
}

function make(target, variables) {
  const args = ['-C', native, `-j${availableParallelism()}`, `NODE_API=${headers}`, `CXX=${compiler}`, ...variables];
  const upToDate = runs('make', ['-q', ...args, target]).status === 0;
  if (upToDate) return;
  if (!existsSync(join(native, 'build'))) checkTools();
  console.log(`build-native: compiling ${target} ${variables.join(' ')}`.trimEnd());
  const built = runs('make', ['--no-print-directory', ...args, target]);
  process.stderr.write(built.stderr);
  if (built.status !== 0) {
    checkTools();
    fail('the compiler failed, see above');
  }
}

function test(build, variables, environment) {
  make('test', [`BUILD=${build}`, ...variables]);
  console.log(`build-native: running ${build}/core_test`);
  const env = { ...process.env, ...environment };
  const done = spawnSync(join(native, build, 'core_test'), { stdio: 'inherit', env });
  if (done.status !== 0) fail(`${build}/core_test failed`);
}

if (runs('make', ['--version']).status !== 0) fail('make is missing: apt-get install build-essential');
make('addon', []);
if (options.has('--test')) test('build/Release', [], {});
if (options.has('--asan')) test('build/asan', ['SANITIZE=address,undefined', 'OPTIMISE=-O1'], {});
if (options.has('--tsan')) test('build/tsan', ['SANITIZE=thread', 'OPTIMISE=-O1'], {});
