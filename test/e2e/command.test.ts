import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { flags } from '../../src/protocol/flags';
import type { ClusterFile } from '../../src/server/dev-cluster-types';
import { dropFolders, eventually, freshFolder, isAlive, say, secondsSince } from './support';

jest.setTimeout(60_000);

const mainFile = join(__dirname, '../../src/server/main.js');
const stopMsMax = 5_000;

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `vectron ...` in a folder of its own, with nothing but these settings. */
class Command {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  constructor(folder: string, args: readonly string[], settings: Readonly<Record<string, string>> = {}) {
    const env = { PATH: process.env['PATH'] ?? '', ...settings };
    this.child = spawn(process.execPath, [mainFile, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (bytes: Buffer) => {
      this.stdout += bytes.toString();
    });
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.stderr += bytes.toString();
    });
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve({ code, signal })));
    started.push(this);
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  says(text: string, timeoutMs: number): Promise<void> {
    return eventually(`the output has "${text}": ${this.stdout}${this.stderr}`, timeoutMs, () => {
      if (!this.isRunning) throw new Error(`it ended: ${this.stdout}${this.stderr}`);
      return this.stdout.includes(text);
    });
  }
}

const started: Command[] = [];
const anyPorts = { VECTRON_GRPC_PORT: '0', VECTRON_HTTP_PORT: '0' };

afterAll(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.map(({ ended }) => ended));
  dropFolders();
});

/** One line on stderr, that begins with the program's name, and exit code 1. */
async function expectRefusal(command: Command, line: RegExp): Promise<void> {
  expect(await command.ended).toEqual({ code: 1, signal: null });
  expect(command.stderr).toMatch(/^vectron: .*\n$/);
  expect(command.stderr).toMatch(line);
}

describe('vectron', () => {
  test('config prints the settings of every service', async () => {
    const command = new Command(freshFolder(), ['config']);
    expect(await command.ended).toEqual({ code: 0, signal: null });
    for (const service of ['dev', 'pd', 'worker', 'gateway']) expect(command.stdout).toContain(`## ${service}\n`);
    expect(command.stdout).toContain('| VECTRON_TICK_MS | `50` |');
    expect(command.stdout).toContain('| VECTRON_PD | required |');
  });

  test('without a command it knows says how it is used', async () => {
    await expectRefusal(new Command(freshFolder(), ['worm']), /usage: vectron dev/);
  });

  test('with a wrong setting names it', async () => {
    const folder = freshFolder();
    await Promise.all([
      expectRefusal(
        new Command(folder, ['dev'], { VECTRON_TICK_MS: 'soon' }),
        /configuration of dev: VECTRON_TICK_MS: /,
      ),
      expectRefusal(new Command(folder, ['worker']), /VECTRON_NODE: .*VECTRON_LISTEN: .*VECTRON_PD: /),
    ]);
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });
});

describe('vectron dev', () => {
  let folder: string;
  let data: string;
  let first: Command;
  let cluster: ClusterFile;
  let key: string;

  beforeAll(async () => {
    folder = freshFolder();
    data = join(folder, 'data');
    first = new Command(folder, ['dev'], anyPorts);
    await first.says('Ctrl-C stops it.', 40_000);
    cluster = JSON.parse(readFileSync(join(data, 'cluster.json'), 'utf8')) as ClusterFile;
    key = readFileSync(resolve(data, cluster.apiKeyFile), 'utf8').trim();
  });

  const collections = (): Promise<Response> =>
    fetch(`${cluster.http}/v1/collections`, { headers: { 'x-api-key': key } });

  test('prints addresses, key, directory and a request that works', async () => {
    expect(cluster.pid).toBe(first.child.pid);
    for (const part of [cluster.grpc, cluster.http, key, data]) expect(first.stdout).toContain(part);
    expect(statSync(join(data, 'api-key')).mode & 0o777).toBe(0o600);
    const [, header = '', url = ''] = /curl -s -H '(.*)' (\S+)/.exec(first.stdout) ?? [];
    const [name = '', value = ''] = header.split(': ');
    const answer = await fetch(url, { headers: { [name]: value } });
    expect([answer.status, await answer.json()]).toEqual([200, { collections: [] }]);
  });

  test('switches its flags on by itself, and says so', async () => {
    const asked = async (): Promise<string> => {
      const command = new Command(folder, ['flags', cluster.http], { VECTRON_API_KEY: key });
      expect((await command.ended).code).toBe(0);
      return command.stdout;
    };
    await eventually('the level of this program', 20_000, async () => JSON.parse(await asked()).level === flags.length);
    const { nodes } = JSON.parse(await asked()) as { nodes: { supports: number[] | null }[] };
    expect(nodes.map(({ supports }) => supports)).toEqual(Array.from({ length: 6 }, () => [0, flags.length]));
    const known = new Command(folder, ['flags']);
    await known.ended;
    expect(known.stdout).toContain('1 sessionKeys');
  });

  test('refuses a directory that another one uses', async () => {
    await expectRefusal(
      new Command(folder, ['dev'], anyPorts),
      new RegExp(`runs on ${data} already: process ${cluster.pid}`),
    );
    // The stores are locked even when nothing else tells.
    const content = readFileSync(join(data, 'cluster.json'));
    rmSync(join(data, 'cluster.json'));
    await expectRefusal(new Command(folder, ['dev'], anyPorts), /another process/);
    expect((await collections()).status).toBe(200);
    expect(content.length).toBeGreaterThan(0);
  });

  test('refuses a port that is taken, and says which', async () => {
    const port = new URL(cluster.http).port;
    const [grpc, http] = [freshFolder(), freshFolder()].map(
      (where, i) =>
        new Command(where, ['dev'], { ...anyPorts, [i === 0 ? 'VECTRON_GRPC_PORT' : 'VECTRON_HTTP_PORT']: port }),
    ) as [Command, Command];
    const line = new RegExp(`cannot listen on 127.0.0.1:${port} .*another program uses this port`);
    await Promise.all([expectRefusal(grpc, line), expectRefusal(http, line)]);
    expect((await collections()).status).toBe(200);
  });

  test('ends with exit code 0 on Ctrl-C, within seconds, and is gone', async () => {
    const stoppedMs = performance.now();
    first.child.kill('SIGINT');
    expect(await first.ended).toEqual({ code: 0, signal: null });
    say(`vectron dev stopped in ${secondsSince(stoppedMs)}`);
    expect(performance.now() - stoppedMs).toBeLessThan(stopMsMax);
    expect(first.stderr).toBe('');
    expect(isAlive(cluster.pid)).toBe(false);
    await expect(collections()).rejects.toThrow();
    expect(existsSync(join(data, 'cluster.json'))).toBe(false);
  });

  test('ends with exit code 0 on Ctrl-C while it starts', async () => {
    const command = new Command(freshFolder(), ['dev'], anyPorts);
    await command.says('starting', 20_000);
    command.child.kill('SIGINT');
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(command.stderr).toBe('');
  });
});
