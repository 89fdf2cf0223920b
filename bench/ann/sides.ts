import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The processor all are pinned to: the last one, as the first takes most interrupts. */
const processor = String(availableParallelism() - 1);

export interface Figures {
  readonly micros: number;
  readonly recall: number;
  readonly distances?: number;
  /** The share of the searches that went through the graph. */
  readonly graph?: number;
}
export interface Built {
  readonly buildMicros: number;
  readonly bytes: number;
  readonly kernel?: string;
}

/** A searcher process: one line of JSON when it is built, then one for each line written to it. */
export class Searcher {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;

  constructor(command: string, args: readonly string[]) {
    this.child = spawn('taskset', ['-c', processor, command, ...args]);
    this.child.stderr.pipe(process.stderr);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  async next<T>(): Promise<T> {
    const line = await this.lines.next();
    if (line.done === true) throw new Error('a searcher ended early');
    return JSON.parse(line.value) as T;
  }

  search(asked: string): Promise<Figures> {
    this.child.stdin.write(`${asked}\n`);
    return this.next<Figures>();
  }

  stop(): void {
    this.child.kill();
  }
}

const compiler = process.env['CXX'] ?? 'g++';

/** Compiles bench/NAME/searcher.cc for this processor; gives the program's path. */
export function compileSearcher(root: string, folder: string, name: 'hnswlib' | 'faiss'): string {
  const out = join(folder, `${name}-searcher`);
  const libraries = name === 'faiss' ? ['-l:libfaiss.a', '-lopenblas', '-lgomp', '-lpthread'] : ['-lpthread'];
  const source = join(root, 'bench', name, 'searcher.cc');
  const args = ['-O3', '-march=native', '-std=c++17', '-o', out, source, ...libraries];
  const done = spawnSync(compiler, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${name} does not compile (apt-get install lib${name}-dev):\n${done.stderr}`);
  return out;
}

export const compilerVersion = (): string =>
  spawnSync(compiler, ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0] ?? compiler;
