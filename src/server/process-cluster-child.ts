import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { VectronError } from '../base/errors';
import type { NodeName } from '../base/ids';

export type ProcessKind = 'pd' | 'worker' | 'gateway';

export interface ChildOptions {
  readonly kind: ProcessKind;
  readonly node: NodeName;
  /** Its settings; nothing else of this process's environment but PATH reaches it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where it runs, so that no settings file is found there, and where its log goes. */
  readonly directory: string;
}

/** How a process ended: exit code, or the signal that ended it. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const readyMsMax = 60_000;
const stopMsMax = 15_000;
const mainFile = join(__dirname, 'main.js');
const linesMax = 20;

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<ProcessEnd>;
}

/** One `vectron` process: started, killed and started again on the same data and ports. */
export class ProcessNode {
  private running: Running | null = null;

  constructor(private readonly options: ChildOptions) {}

  get node(): NodeName {
    return this.options.node;
  }
  get kind(): ProcessKind {
    return this.options.kind;
  }
  get alive(): boolean {
    return this.running !== null;
  }
  get pid(): number | null {
    return this.running?.child.pid ?? null;
  }
  /** What all its processes have printed. */
  get logFile(): string {
    return join(this.options.directory, `${this.node}.log`);
  }

  /** Resolves when it says that it is ready; rejects with its last lines if it ends before. */
  async restart(): Promise<void> {
    if (this.running !== null) return;
    const { kind, environment, directory } = this.options;
    const child = spawn(process.execPath, [mainFile, kind], {
      cwd: directory,
      env: { PATH: process.env['PATH'] ?? '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<ProcessEnd>((resolve) => {
      child.once('exit', (code, signal) => {
        if (this.running?.child === child) this.running = null;
        resolve({ code, signal });
      });
    });
    this.running = { child, ended };
    await this.ready(child, ended);
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill9(): Promise<void> {
    const { running } = this;
    if (running === null) return;
    running.child.kill('SIGKILL');
    await running.ended;
  }

  /** SIGTERM, and SIGKILL when it does not end. Null: it did not run. */
  async stop(): Promise<ProcessEnd | null> {
    const { running } = this;
    if (running === null) return null;
    running.child.kill('SIGTERM');
    const timer = setTimeout(() => running.child.kill('SIGKILL'), stopMsMax);
    const end = await running.ended;
    clearTimeout(timer);
    return end;
  }

  /** For a process that is ending itself: no process of ours may outlive it. */
  killNow(): void {
    this.running?.child.kill('SIGKILL');
  }

  private ready({ stdout, stderr }: ChildProcess, ended: Promise<ProcessEnd>): Promise<void> {
    const log = createWriteStream(this.logFile, { flags: 'a' });
    const lastLines: string[] = [];
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer);
        reject(new VectronError('UNAVAILABLE', `${this.node} ${why}: ${lastLines.join(' | ')}`));
      };
      const timer = setTimeout(() => fail(`is not ready after ${readyMsMax} ms`), readyMsMax);
      const heard = (line: string): void => {
        log.write(`${line}\n`);
        lastLines.push(line);
        if (lastLines.length > linesMax) lastLines.shift();
        if (!line.startsWith(`${this.node}: `) || !line.includes(' ready, ')) return;
        clearTimeout(timer);
        resolve();
      };
      for (const output of [stdout, stderr]) if (output !== null) createInterface(output).on('line', heard);
      ended
        .then(({ code, signal }) => {
          log.end(`${this.node} ended: ${signal ?? code}\n`);
          fail(`ended (${signal ?? code})`);
        })
        .catch(reject);
    });
  }
}
