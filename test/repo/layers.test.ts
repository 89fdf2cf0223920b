import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readText, root, typescriptFiles } from './support/files';
import { layerProblems, parseLayerTable } from './support/layers';

const table = parseLayerTable(readText('docs/ARCHITECTURE.md'));

describe('the layer table', () => {
  it('is read whole from docs/ARCHITECTURE.md', () => {
    expect(table.get('src/base')).toEqual([]);
    expect(table.get('src/raft')).toEqual(['src/base', 'src/protocol']);
    expect(table.get('src/server')).toBeNull();
    expect([...table.keys()]).toEqual(
      expect.arrayContaining(['src/actors', 'src/client', 'examples', 'bench', 'test']),
    );
  });

  it('holds for every import of the project', () => {
    expect(layerProblems(typescriptFiles('src', 'test', 'bench', 'examples'), table)).toEqual([]);
  });

  it.each([
    ['an upper layer', 'src/raft/core.ts', `import { x } from '../actors/replica';`],
    ['an upper layer as a type', 'src/base/x.ts', `import type { X } from '../protocol/codec';`],
    ['an upper layer, re-exported', 'src/base/x.ts', `export * from "../raft/types";`],
    ['over several lines', 'src/raft/x.ts', `import {\n  a,\n  b,\n} from '../storage/ports';`],
    ['dynamically', 'src/raft/x.ts', `const x = await import('../server/main');`],
    ['a Node module', 'src/raft/core.ts', `import fs from 'node:fs';`],
    ['a Node module by its old name', 'src/shard/x.ts', `const fs = require('fs');`],
    ['an npm package with side effects', 'src/gateway/x.ts', `import fastify from 'fastify';`],
    ['for its side effects', 'src/gateway/x.ts', `import 'fastify';`],
    ['its own node folder', 'src/storage/x.ts', `import { open } from './node/rocks';`],
    ['what examples may not', 'examples/x.ts', `import { Core } from '../src/raft/core';`],
    ['from a folder outside the table', 'src/unknown/x.ts', `import { a } from '../base/assert';`],
  ])('refuses a file that imports %s', (_what, path, content) => {
    expect(layerProblems([{ path, content }], table)).toHaveLength(1);
  });

  it.each([
    ['src/storage/node/rocks.ts', `import { RocksLevel } from '@nxtedition/rocksdb';`],
    ['src/actors/replica.ts', `import { x } from '../raft/types';`],
    ['src/raft/core.ts', `// import { x } from '../actors/replica';`],
    ['src/gateway/x.ts', `import { z } from 'zod';`],
    ['src/server/main.ts', `import { x } from '../storage/node/rocks';`],
  ])('allows %s: %s', (path, content) => {
    expect(layerProblems([{ path, content }], table)).toEqual([]);
  });
});

describe('pure code', () => {
  /** What the compiler complains of. */
  const compile = (project: string): string => {
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    return spawnSync(process.execPath, [compiler, '-p', project], { cwd: root, encoding: 'utf8' }).stdout;
  };
  const folder = (() => {
    mkdirSync(join(root, '.build'), { recursive: true });
    return mkdtempSync(join(root, '.build', 'pure-'));
  })();
  afterAll(() => rmSync(folder, { recursive: true }));

  it('compiles without the types of Node', () => {
    expect(compile('tsconfig.pure.json')).toBe('');
  });

  it('would not compile if it used a timer', () => {
    writeFileSync(join(folder, 'x.ts'), 'export const wait = (): unknown => setTimeout(() => 1, 1);\n');
    const project = {
      extends: '../../tsconfig.pure.json',
      compilerOptions: { rootDir: '.' },
      include: ['*.ts'],
      exclude: [],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
    expect(compile(join(folder, 'tsconfig.json'))).toContain("Cannot find name 'setTimeout'");
  });
});
