import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { freePorts } from '../../src/server/ports';
import type { MeasuredProcess } from './cpu';
import { put, status, txn } from './etcd-service';
import { type Target, unary } from './load';

const members = 3;
const readyMsMax = 30_000;
const pollMs = 100;
/** Beyond its default of 2 GiB, so that no long run fills it: nothing is compacted. */
const quotaBytes = 8 * 1024 ** 3;

/** The version of the etcd that is installed; throws with how to install it. */
export function etcdVersion(): string {
  const found = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
  if (found.status !== 0) throw new Error('etcd is not installed: apt-get install etcd-server');
  return /etcd Version: (\S+)/.exec(found.stdout)?.[1] ?? 'of unknown version';
}

/** Three members on loopback, with etcd's own defaults: every write is on the disk of a majority before its answer. */
export class EtcdCluster {
  private readonly children: ChildProcess[] = [];
  private readonly clients: Client[] = [];
  private readonly killAll = (): void => {
    for (const child of this.children) child.kill('SIGKILL');
  };

  private constructor(
    private readonly directory: string,
    private readonly clientPorts: readonly number[],
    private readonly peerPorts: readonly number[],
  ) {}

  static async start(directory: string): Promise<EtcdCluster> {
    const ports = await freePorts(2 * members);
    mkdirSync(directory, { recursive: true });
    const cluster = new EtcdCluster(directory, ports.slice(0, members), ports.slice(members));
    process.once('exit', cluster.killAll);
    for (let i = 0; i < members; i++) cluster.spawn(i);
    return cluster;
  }

  private get processes(): MeasuredProcess[] {
    return this.children.map((child, i) => ({ name: `etcd-${i + 1}`, pid: child.pid ?? 0 }));
  }

  /** A channel to the member that leads. */
  async leader(): Promise<Target> {
    const until = performance.now() + readyMsMax;
    for (;;) {
      for (const client of this.clients) {
        const found = await unary(client, status, null).catch(() => null);
        if (found !== null && found.leader !== 0n && found.leader === found.member)
          return targetOf(client, this.processes);
      }
      if (performance.now() > until) throw new Error(`etcd has no leader after ${readyMsMax} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async stop(): Promise<void> {
    process.off('exit', this.killAll);
    for (const client of this.clients) client.close();
    await Promise.all(
      this.children.map(
        (child) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) return resolve();
            child.once('exit', () => resolve());
            child.kill('SIGKILL');
          }),
      ),
    );
  }

  private spawn(i: number): void {
    const url = (ports: readonly number[], at: number): string => `http://127.0.0.1:${ports[at]}`;
    const name = (at: number): string => `etcd-${at + 1}`;
    const log = createWriteStream(join(this.directory, `${name(i)}.log`));
    const settings = {
      name: name(i),
      'data-dir': join(this.directory, name(i)),
      'listen-client-urls': url(this.clientPorts, i),
      'advertise-client-urls': url(this.clientPorts, i),
      'listen-peer-urls': url(this.peerPorts, i),
      'initial-advertise-peer-urls': url(this.peerPorts, i),
      'initial-cluster': this.peerPorts.map((_, at) => `${name(at)}=${url(this.peerPorts, at)}`).join(','),
      'quota-backend-bytes': String(quotaBytes),
      'log-level': 'warn',
    };
    const args = Object.entries(settings).map(([key, value]) => `--${key}=${value}`);
    const child = spawn('etcd', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.children.push(child);
    this.clients.push(new Client(`127.0.0.1:${this.clientPorts[i]}`, credentials.createInsecure()));
  }
}

function targetOf(client: Client, processes: readonly MeasuredProcess[]): Target {
  const value = Buffer.alloc(256);
  let written = 0;
  const putOf = (key: number): { key: Uint8Array; value: Uint8Array } => {
    const fresh = Buffer.from(value);
    fresh.writeUInt32LE(++written, 0);
    return { key: Buffer.from(`key-${key}`), value: fresh };
  };
  return {
    name: 'etcd',
    client,
    metadata: new Metadata(),
    processes,
    write: (keys) => {
      const [first] = keys;
      const isOne = keys.length === 1 && first !== undefined;
      const { path, decode } = isOne ? put : txn;
      return {
        path,
        body: isOne ? put.encode(putOf(first)) : txn.encode(keys.map(putOf)),
        check: (reply) => {
          if (!decode(reply)) throw new Error('etcd did not write');
        },
      };
    },
  };
}
