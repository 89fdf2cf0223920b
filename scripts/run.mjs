// The one way in: `npm start`, `npm test` and every other npm script come here. Plain Node, no dependencies, because it
// runs before anything is installed: it first brings packages, addon and compiled code up to date, each only when stale.
import { ensureAddon, ensureCode, ensureNode, ensurePackages, ensureProgram, withSetupLock } from './lib/ensure.mjs';
import { judge } from './lib/judge.mjs';
import { runMain } from './lib/process.mjs';
import { resetData } from './lib/reset.mjs';
import { Problem } from './lib/say.mjs';
import { lint, runTests } from './lib/test.mjs';

const [verb, ...args] = process.argv.slice(2);

const ensureAll = (ensureCompiled = ensureCode) =>
  withSetupLock(async () => {
    await ensurePackages();
    await ensureAddon();
    await ensureCompiled();
  });

const program = (path, ensureCompiled, ...first) =>
  async function runProgram() {
    await ensureAll(ensureCompiled);
    runMain(path, [...first, ...args]);
  };

const verbs = {
  start: program('dist/src/server/main.js', ensureProgram, 'dev'),
  build: () => ensureAll(),
  test: async () => {
    const started = performance.now();
    await ensureAll();
    await runTests(args, started);
  },
  reset: async () => resetData(),
  lint: async () => {
    await withSetupLock(ensurePackages);
    await lint(args);
  },
  format: async () => {
    await withSetupLock(ensurePackages);
    await lint(['--write', ...args]);
  },
  sim: program('dist/test/sim/main.js'),
  oracle: program('dist/test/oracle/main.js'),
  chaos: program('dist/test/chaos/run.js'),
  judge: () => judge(args),
};

/** `example:failover` is dist/examples/failover.js, `bench:ann` is dist/bench/ann.js. */
function verbOf(name) {
  const match = /^(example|bench):([a-z0-9-]+)$/.exec(name ?? '');
  if (match?.[1] === 'example') return program(`dist/examples/${match[2]}.js`, ensureProgram);
  if (match?.[1] === 'bench') return program(`dist/bench/${match[2]}.js`);
  return Object.hasOwn(verbs, name ?? '') ? verbs[name] : undefined;
}

async function main() {
  ensureNode();
  const chosen = verbOf(verb);
  if (chosen === undefined) {
    throw new Problem(
      `unknown command ${verb ?? '(none)'}; there are: ${Object.keys(verbs).join(', ')}, example:NAME, bench:NAME`,
    );
  }
  await chosen();
}

main().catch((error) => {
  process.exitCode = 1;
  console.error(error instanceof Problem ? `vectron: ${error.message}` : error);
});
