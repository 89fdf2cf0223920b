import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './support/files';

const library = (name: string): string => JSON.stringify(join(root, 'scripts', 'lib', name));

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Runs a module that may import the scripts; its output holds what it printed on both streams. */
function runModule(source: string, environment: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd: root, env: { ...process.env, ...environment } };
    execFile(process.execPath, ['--input-type=module', '--eval', source], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vectron-scripts-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the set-up lock', () => {
  const holder = (file: string): string => `
    import { withLock } from ${library('lock.mjs')};
    import { readFileSync, writeFileSync } from 'node:fs';
    const counter = ${JSON.stringify(join(folder, 'counter'))};
    for (let turn = 0; turn < 5; turn++) {
      await withLock(${JSON.stringify(file)}, async () => {
        const value = Number(readFileSync(counter, 'utf8'));
        await new Promise((resolve) => setImmediate(resolve));
        writeFileSync(counter, String(value + 1));
      });
    }`;

  it('lets one process in at a time, and is not held by one that died', async () => {
    const file = join(folder, 'lock');
    writeFileSync(join(folder, 'counter'), '0');
    const dead = await runModule(`console.log(process.pid)`);
    writeFileSync(file, dead.output.trim());
    const ended = await Promise.all(Array.from({ length: 4 }, () => runModule(holder(file))));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(readFileSync(join(folder, 'counter'), 'utf8')).toBe('20');
    expect(existsSync(file)).toBe(false);
  });
});

describe('npm run reset', () => {
  const reset = (directory: string): Promise<Ended> =>
    runModule(`
    import { resetData } from ${library('reset.mjs')};
    try { resetData(${JSON.stringify(directory)}); } catch (error) { console.log(error.message); process.exitCode = 1; }`);

  it('wipes a data directory on which nothing runs', async () => {
    const dead = await runModule(`console.log(process.pid)`);
    writeFileSync(join(folder, 'cluster.json'), JSON.stringify({ pid: Number(dead.output) }));
    expect((await reset(folder)).code).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  it('refuses while a cluster runs', async () => {
    writeFileSync(join(folder, 'cluster.json'), JSON.stringify({ pid: process.pid }));
    const { code, output } = await reset(folder);
    expect(code).toBe(1);
    expect(output).toContain(`process ${process.pid}`);
    expect(existsSync(folder)).toBe(true);
  });

  it.each([
    ['somebody else’s folder', () => folder],
    ['the project', () => root],
    ['all that holds the project', () => join(root, '..')],
  ])('refuses %s', async (_what, directory) => {
    writeFileSync(join(folder, 'thesis.txt'), 'years of work');
    const { code, output } = await reset(directory());
    expect(code).toBe(1);
    expect(output).toContain('nothing was removed');
    expect(existsSync(join(folder, 'thesis.txt'))).toBe(true);
  });
});

describe('before anything is installed', () => {
  it.each([
    ['18.20.0', 'linux-x64', /^Node 20\.\d+\.\d+ or later is needed, this is 18\.20\.0$/],
    ['22.0.0', 'linux-riscv64', /^linux-riscv64 is not supported: .*$/],
  ])('Node %s on %s gets one clear line', async (version, platform, line) => {
    const { output } = await runModule(`
      import { ensureNode } from ${library('ensure.mjs')};
      try { ensureNode('${version}', '${platform}'); } catch (error) { console.log(error.message); }`);
    expect(output.trim()).toMatch(line);
  });

  it('this Node on this platform gets none', async () => {
    expect((await runModule(`import { ensureNode } from ${library('ensure.mjs')}; ensureNode();`)).output).toBe('');
  });

  it('an unknown command is named, with those that there are', async () => {
    const ended = await new Promise<Ended>((resolve) => {
      execFile(process.execPath, [join(root, 'scripts/run.mjs'), 'strat'], (error, stdout, stderr) =>
        resolve({ code: Number(error?.code), output: stdout + stderr }),
      );
    });
    expect(ended.code).toBe(1);
    expect(ended.output).toMatch(/^vectron: unknown command strat; there are: start, .*\n$/);
  });
});

describe('system packages', () => {
  const ask = async (expression: string): Promise<unknown> => {
    const names = 'installLine, mayInstall, missingPackages';
    const source = `import { ${names} } from ${library('addon.mjs')}; console.log(JSON.stringify(${expression}));`;
    return JSON.parse((await runModule(source)).output);
  };

  it('are found missing one by one', async () => {
    expect(await ask(`missingPackages('linux', () => true)`)).toEqual([]);
    expect(await ask(`missingPackages('linux', (path) => !path.includes('faiss'))`)).toEqual(['libfaiss-dev']);
    expect(await ask(`missingPackages('linux', () => false)`)).toEqual(
      expect.arrayContaining(['g++', 'libopenblas-dev']),
    );
  });

  it('are installed by root with apt-get unless that is forbidden', async () => {
    expect(await ask(`mayInstall({ hasApt: true, isRoot: true, isForbidden: false })`)).toBe(true);
    expect(await ask(`mayInstall({ hasApt: true, isRoot: true, isForbidden: true })`)).toBe(false);
    expect(await ask(`mayInstall({ hasApt: true, isRoot: false, isForbidden: false })`)).toBe(false);
    expect(await ask(`mayInstall({ hasApt: false, isRoot: true, isForbidden: false })`)).toBe(false);
  });

  it.each([
    ['linux', true, false, 'sudo apt-get install libfaiss-dev'],
    ['linux', true, true, 'apt-get install libfaiss-dev'],
    ['darwin', false, false, 'brew install libfaiss-dev'],
    ['linux', false, false, "your package manager: libfaiss-dev (Debian's names)"],
  ])('otherwise get one line: on %s, apt %s, root %s', async (platform, hasApt, isRoot, line) => {
    expect(await ask(`installLine(['libfaiss-dev'], ${JSON.stringify({ platform, hasApt, isRoot })})`)).toBe(line);
  });
});

describe('stamps', () => {
  it('see a changed file and nothing else', async () => {
    const inside = join('.build', `stamp-${process.pid}`);
    mkdirSync(join(root, inside, 'build'), { recursive: true });
    const hash = async (): Promise<string> =>
      (
        await runModule(
          `import { hashOf } from ${library('stamp.mjs')}; console.log(hashOf([${JSON.stringify(inside)}]));`,
        )
      ).output;
    try {
      writeFileSync(join(root, inside, 'a.cc'), 'one');
      const first = await hash();
      writeFileSync(join(root, inside, 'a.cc'), 'one');
      writeFileSync(join(root, inside, 'build', 'a.o'), 'output');
      expect(await hash()).toBe(first);
      writeFileSync(join(root, inside, 'a.cc'), 'two');
      expect(await hash()).not.toBe(first);
    } finally {
      rmSync(join(root, inside), { recursive: true });
    }
  });
});

describe('output without a source', () => {
  it('is removed, and nothing else', async () => {
    for (const path of ['out/src', 'in/src']) mkdirSync(join(folder, path), { recursive: true });
    for (const path of [
      'in/src/kept.ts',
      'out/src/kept.js',
      'out/src/gone.js',
      'out/src/gone.js.map',
      'out/src/data.json',
    ]) {
      writeFileSync(join(folder, path), '');
    }
    await runModule(`
      import { pruneOutput } from ${library('prune.mjs')};
      pruneOutput(${JSON.stringify(join(folder, 'out'))}, ${JSON.stringify(join(folder, 'in'))}, ['src']);`);
    const left = ['kept.js', 'gone.js', 'gone.js.map', 'data.json'].filter((name) =>
      existsSync(join(folder, 'out/src', name)),
    );
    expect(left).toEqual(['kept.js', 'data.json']);
  });
});

it('what `npm start` compiles has no test and no bench in it', async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const listed = await runModule(`
    import { execFileSync } from 'node:child_process';
    const flags = ['-p', 'tsconfig.program.json', '--listFilesOnly'];
    console.log(execFileSync(process.execPath, [${JSON.stringify(tsc)}, ...flags], { encoding: 'utf8' }));`);
  const files = listed.output.split('\n').filter((line) => line.startsWith(root) && !line.includes('node_modules'));
  expect(files).toContain(join(root, 'src/server/main.ts'));
  expect(files).toContain(join(root, 'examples/failover.ts'));
  expect(files.filter((file) => /^(test|bench)\//.test(file.slice(root.length + 1)))).toEqual([]);
});
