import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type VectronClient } from '../../src/client/node';
import type { ClusterFile } from '../../src/server/dev-cluster-types';

const startMsMax = 120_000;

/** `vectron dev` in a process of its own. */
export class Cluster {
  private constructor(
    private readonly child: ChildProcess,
    readonly client: VectronClient,
  ) {}

  get pid(): number {
    return this.child.pid as number;
  }

  /** Resolves when it says that it is ready. */
  static async start(folder: string, settings: Readonly<Record<string, string>> = {}): Promise<Cluster> {
    const env = { PATH: process.env['PATH'] ?? '', VECTRON_GRPC_PORT: '0', VECTRON_HTTP_PORT: '0', ...settings };
    const main = join(__dirname, '../../src/server/main.js');
    const child = spawn(process.execPath, [main, 'dev'], { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] });
    const file = join(folder, 'data', 'cluster.json');
    await until('cluster.json of this start', startMsMax, () => fileOf(file)?.pid === child.pid);
    const { grpc, apiKeyFile } = fileOf(file) as ClusterFile;
    const [apiKey = ''] = readFileSync(resolve(folder, 'data', apiKeyFile), 'utf8').split('\n');
    return new Cluster(child, connect({ url: grpc, apiKey, timeoutMs: 60_000 }));
  }

  async kill(): Promise<void> {
    this.client.close();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

/** Written whole or not at all. Null: not there yet. */
const fileOf = (path: string): ClusterFile | null =>
  existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as ClusterFile) : null;

export async function until(what: string, timeoutMs: number, isSo: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!isSo()) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(20);
  }
}
