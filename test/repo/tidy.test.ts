import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCatalogue } from '../../src/base/errors';
import { difference, namesInTable, tableRows } from './support/documents';
import { readText, root, type TextFile, textFiles, typescriptFiles } from './support/files';
import {
  linesAtMost,
  noAmbientInPureCode,
  noConflictMarkers,
  noMachinePaths,
  noSleepInTests,
  noSwallowedErrors,
  type Rule,
} from './support/tidiness';

const code = (): TextFile[] => [
  ...typescriptFiles('src', 'test', 'bench', 'examples'),
  ...textFiles('native').filter(({ path }) => /\.(cc|h)$/.test(path)),
];

/** Files above 400 lines, each to be cut. The list only shrinks. */
const longFiles: readonly string[] = [
  'src/actors/raft-member.ts',
  'test/actors/log-writer.test.ts',
  'test/runtime/actor-host.test.ts',
];

describe('every file', () => {
  const rules: readonly [string, Rule, () => readonly TextFile[]][] = [
    ['has at most 600 lines', linesAtMost(600), code],
    [
      'has at most 400 lines, or is listed',
      linesAtMost(400),
      () => code().filter(({ path }) => !longFiles.includes(path)),
    ],
    ['reaches time and chance through ports when it is pure', noAmbientInPureCode, code],
    ['waits for conditions when it is a test', noSleepInTests, code],
    ['swallows no error', noSwallowedErrors, code],
    ['names no path of one machine', noMachinePaths, () => textFiles()],
    ['is merged to the end', noConflictMarkers, () => textFiles()],
  ];
  it.each(rules)('%s', (_name, rule, files) => {
    expect(files().flatMap(rule)).toEqual([]);
  });

  it('that is listed as long is about as long', () => {
    const long = code().filter((file) => linesAtMost(350)(file).length > 0);
    expect(longFiles.filter((path) => !long.some((file) => file.path === path))).toEqual([]);
  });
});

describe('each rule can fail:', () => {
  const planted: readonly [string, Rule, TextFile][] = [
    ['length', linesAtMost(3), { path: 'src/a.ts', content: '\n\n\n\n' }],
    ['clock', noAmbientInPureCode, { path: 'src/raft/a.ts', content: 'const now = Date.now();' }],
    ['date', noAmbientInPureCode, { path: 'src/raft/a.ts', content: 'const now = new Date();' }],
    ['chance', noAmbientInPureCode, { path: 'src/shard/a.ts', content: 'if (Math.random() < 0.5) x();' }],
    ['timer', noAmbientInPureCode, { path: 'src/actors/a.ts', content: 'setTimeout(f, 10);' }],
    ['sleep', noSleepInTests, { path: 'test/a.test.ts', content: 'await new Promise((r) => setTimeout(r, 50));' }],
    ['fixed pause', noSleepInTests, { path: 'test/a.test.ts', content: 'await pause(i * 8);' }],
    ['blocked thread', noSleepInTests, { path: 'test/a.test.ts', content: 'Atomics.wait(cell, 0, 0, 50);' }],
    [
      'required sleep',
      noSleepInTests,
      { path: 'test/a.test.ts', content: "const t = require('node:timers/promises');" },
    ],
    ['drawn sleep', noSleepInTests, { path: 'test/a.test.ts', content: 'setTimeout(resolve, pauseMs);' }],
    [
      'imported sleep',
      noSleepInTests,
      { path: 'test/a.test.ts', content: "import { setTimeout as z } from 'timers/promises';" },
    ],
    ['catch', noSwallowedErrors, { path: 'src/a.ts', content: 'try { f(); } catch { /* no matter */ }' }],
    ['promise catch', noSwallowedErrors, { path: 'src/a.ts', content: 'f().catch(() => {});' }],
    ['path', noMachinePaths, { path: 'README.md', content: `see ${'/root'}/notes` }],
    ['merge', noConflictMarkers, { path: 'README.md', content: `${'<'.repeat(7)} HEAD\nours\n` }],
    ['home', noMachinePaths, { path: 'README.md', content: `see ${'/home'}/ann/notes` }],
  ];
  it.each(planted)('%s', (_name, rule, file) => {
    expect(rule(file)).toHaveLength(1);
  });

  const innocent: readonly [string, Rule, TextFile][] = [
    ['a clock in a node folder', noAmbientInPureCode, { path: 'src/runtime/node/clock.ts', content: 'Date.now();' }],
    ['a clock in a comment', noAmbientInPureCode, { path: 'src/raft/a.ts', content: '/* never Date.now() */' }],
    ['a clock in a string', noAmbientInPureCode, { path: 'src/raft/a.ts', content: "throw new E('Date.now()');" }],
    ['the limit of a test', noSleepInTests, { path: 'test/a.test.ts', content: 'jest.setTimeout(60_000);' }],
    ['a route', noMachinePaths, { path: 'a.ts', content: 'GET /v1/collections' }],
  ];
  it.each(innocent)('but %s passes', (_name, rule, file) => {
    expect(rule(file)).toEqual([]);
  });
});

describe('the linter finds', () => {
  // Outside the project: inside it, a second configuration is refused.
  const folder = mkdtempSync(join(tmpdir(), 'vectron-lint-'));
  const rules = {
    complexity: { noExcessiveLinesPerFunction: { level: 'error', options: { maxLines: 60 } } },
    suspicious: { noExplicitAny: 'error', noFocusedTests: 'error', noSkippedTests: 'error' },
  };
  beforeAll(() =>
    writeFileSync(
      join(folder, 'biome.json'),
      JSON.stringify({ root: true, linter: { rules: { preset: 'none', ...rules } } }),
    ),
  );
  afterAll(() => rmSync(folder, { recursive: true }));

  const lint = (...paths: readonly string[]): LintReport => {
    const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
    const flags = ['lint', '--reporter=json', '--max-diagnostics=none', `--config-path=${folder}`];
    return reportIn(outputOf(process.execPath, [biome, ...flags, ...paths]));
  };

  it('no `any`, no test that is focused or skipped, no function over 60 lines', () => {
    const report = lint('src', 'bench', 'examples', 'scripts', 'test');
    expect(report.files).toBeGreaterThan(100);
    // A suite is a function too, of any length.
    const ours = report.findings.filter((finding) => !/^test\/.*too many lines|\/generated\//.test(finding));
    expect(ours).toEqual([]);
  });

  it('each of them when planted', () => {
    const long = `export function long(): number {\n${'  f();\n'.repeat(61)}  return 1;\n}\n`;
    const tests = `it.${'only'}('x', () => f());\ndescribe.${'skip'}('x', () => f());\n`;
    writeFileSync(join(folder, 'planted.ts'), `${long}export const x = (y: ${'any'}): number => y;\n${tests}`);
    expect(lint(join(folder, 'planted.ts')).findings).toHaveLength(4);
  });
});

describe('the documents', () => {
  it('list every error code with its true statuses', () => {
    const documented = tableRows(readText('docs/errors.md')).map((cells) =>
      cells.slice(0, 4).join(' ').replace(/`/g, ''),
    );
    const actual = Object.entries(errorCatalogue).map(
      ([name, { grpc, http, retry }]) => `${name} ${grpc} ${http} ${retry}`,
    );
    expect(difference(documented, actual)).toEqual([]);
  });

  it('give a reason for every dependency and for no other', () => {
    const { dependencies, devDependencies, overrides } = JSON.parse(readText('package.json')) as Record<string, object>;
    const declared = Object.keys({ ...dependencies, ...devDependencies, ...overrides });
    expect(difference(namesInTable(readText('docs/dependencies.md')), declared)).toEqual([]);
  });

  it('explain the terms that the code uses, by names which the code has', () => {
    const rows = tableRows(readText('docs/GLOSSARY.md'));
    const terms = rows.map(([term]) => term ?? '');
    const needed = ['term', 'index', 'epoch', 'shard', 'replica', 'learner', 'ef', 'efConstruction', 'recall@k'];
    expect(needed.filter((term) => !terms.includes(term))).toEqual([]);
    const source = typescriptFiles('src').map(({ content }) => content);
    const identifiers = rows.flatMap(([, , inCode]) =>
      [...(inCode ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] as string),
    );
    expect(identifiers.length).toBeGreaterThan(10);
    expect(identifiers.filter((name) => !source.some((content) => content.includes(name)))).toEqual([]);
  });

  it('link only to files that exist', () => {
    const documents = textFiles('docs').concat(
      ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'].map((path) => ({ path, content: readText(path) })),
    );
    expect(documents.filter(({ path }) => path.endsWith('.md')).flatMap(deadLinks)).toEqual([]);
  });

  it('and these checks can fail', () => {
    const table = '| a | b |\n|---|---|\n| `X` | 1 |\n| Y | 2 |\n';
    expect(tableRows(table)).toEqual([
      ['`X`', '1'],
      ['Y', '2'],
    ]);
    expect(difference(namesInTable(table), ['X', 'Z'])).toEqual(['Y', 'Z']);
    expect(deadLinks({ path: 'README.md', content: '[gone](docs/gone.md) [here](package.json)' })).toHaveLength(1);
  });
});

function deadLinks({ path, content }: TextFile): string[] {
  const folder = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
  const targets = [...content.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map((match) => match[1] as string);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(root, folder, target)))
    .map((target) => `${path}: ${target}`);
}

/** Standard output of a command, whether it succeeds or not. */
function outputOf(command: string, args: readonly string[]): string {
  return spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }).stdout;
}

interface LintReport {
  readonly files: number;
  /** `path: message` each. */
  readonly findings: readonly string[];
}

/** The linter's JSON report stands on a line of its own. */
function reportIn(output: string): LintReport {
  const line = output.split('\n').find((each) => each.startsWith('{"summary"'));
  const report = JSON.parse(line ?? 'null') as {
    summary: { unchanged: number };
    diagnostics: { message: string; location: { path: string } }[];
  };
  const findings = report.diagnostics.map(({ message, location }) => `${location.path}: ${message}`);
  return { files: report.summary.unchanged, findings };
}
