import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findGo } from './judge.mjs';
import { root, run } from './process.mjs';
import { seconds } from './say.mjs';

const jest = 'node_modules/jest/bin/jest.js';
const simulator = 'dist/test/sim/main.js';

/** Every part runs even when an earlier one failed: a person wants the whole picture. Arguments go to jest alone. */
export async function runTests(args, started) {
  const parts = [{ title: 'jest', command: [jest, ...args, ...withoutGo()] }];
  if (args.length === 0) {
    parts.unshift({ title: 'native C++ tests', command: ['scripts/build-native.mjs', '--test'] });
    if (existsSync(join(root, simulator))) parts.push({ title: 'simulator', command: [simulator, '--seeds', '200'] });
  }
  const results = [];
  for (const part of parts) results.push(await runPart(part));
  const failed = results.filter((result) => !result.passed);
  console.log(
    `\n${results.map((result) => `${result.passed ? 'ok    ' : 'FAILED'} ${result.title}, ${result.took}`).join('\n')}`,
  );
  console.log(
    `${failed.length === 0 ? 'all parts passed' : `failed: ${failed.map((result) => result.title).join(', ')};`} in ${seconds(started)}`,
  );
  if (failed.length > 0) process.exitCode = 1;
}

/** The judge of histories is a Go program that users of the database do not need: said aloud, never skipped in silence. */
function withoutGo() {
  if (findGo() !== null) return [];
  console.log('LEFT OUT: tests of the judge, which is a Go program and Go is not installed');
  return ['--testPathIgnorePatterns', '/test/judge/'];
}

async function runPart({ title, command }) {
  const started = performance.now();
  console.log(`\n== ${title}`);
  const { code } = await run(process.execPath, command, { check: false });
  return { title, passed: code === 0, took: seconds(started) };
}

export async function lint(args) {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
  const { code } = await run(process.execPath, [biome, 'check', ...args], { check: false });
  process.exitCode = code;
}
