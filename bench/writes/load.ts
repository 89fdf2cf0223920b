import { type Client, Metadata } from '@grpc/grpc-js';
import { type CpuTimes, cpuPerCall, cpuTimes, type MeasuredProcess } from './cpu';

export interface UnaryCall<Request, Reply> {
  readonly path: string;
  encode(request: Request): Buffer;
  decode(reply: Buffer): Reply;
}

/** One system as the load sees it: a channel to whoever leads, and what a write is. */
export interface Target {
  readonly name: string;
  readonly client: Client;
  readonly metadata: Metadata;
  /** Everything that takes part but the client, which is this process. */
  readonly processes: readonly MeasuredProcess[];
  /** Encodes a write of these keys, all with fresh values. */
  write(keys: readonly number[]): Outgoing;
}

export interface Outgoing {
  readonly path: string;
  readonly body: Buffer;
  /** Throws if the reply does not say that everything was written. */
  check(reply: Buffer): void;
}

export interface Load {
  readonly clients: number;
  /** Values in one call. */
  readonly batch: number;
  readonly warmupMs: number;
  readonly measureMs: number;
  readonly keyCount: number;
}

export interface Figures {
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the system and its client. */
  readonly cpu: CpuTimes;
}

const deadlineMs = 30_000;
const asIs = (body: Buffer): Buffer => body;

export function unary<Request, Reply>(
  client: Client,
  call: UnaryCall<Request, Reply>,
  request: Request,
  metadata = new Metadata(),
): Promise<Reply> {
  return send(client, call.path, call.encode(request), metadata).then((reply) => call.decode(reply));
}

function send(client: Client, path: string, body: Buffer, metadata: Metadata): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + deadlineMs;
    client.makeUnaryRequest(path, asIs, asIs, body, metadata, { deadline }, (error, reply) => {
      if (error !== null) reject(error);
      else resolve(reply ?? Buffer.alloc(0));
    });
  });
}

/** Distinct keys of [0, keyCount): a cheap generator, the same for every system. */
class Keys {
  private state = 1;

  constructor(private readonly keyCount: number) {}

  take(count: number): number[] {
    const keys = new Set<number>();
    while (keys.size < count) keys.add(this.next());
    return [...keys];
  }

  private next(): number {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * this.keyCount);
  }
}

/**
 * Closed loop: each client sends its next write when the last is acknowledged, all over one HTTP/2 connection. A write
 * counts if it was acknowledged within the measured time. The first failure ends the run.
 */
export async function runLoad(target: Target, load: Load): Promise<Figures> {
  const keys = new Keys(load.keyCount);
  const beginMs = performance.now() + load.warmupMs;
  const endMs = beginMs + load.measureMs;
  const latencies: number[] = [];
  const processes = [...target.processes, { name: 'client', pid: process.pid }];
  const cpuAt = (ms: number): Promise<CpuTimes> =>
    new Promise((resolve) => setTimeout(() => resolve(cpuTimes(processes)), ms - performance.now()));
  const cpu = Promise.all([cpuAt(beginMs), cpuAt(endMs)]);
  const client = async (): Promise<void> => {
    for (let sentMs = performance.now(); sentMs < endMs; ) {
      const { path, body, check } = target.write(keys.take(load.batch));
      check(await send(target.client, path, body, target.metadata));
      const nowMs = performance.now();
      if (nowMs >= beginMs && nowMs < endMs) latencies.push(nowMs - sentMs);
      sentMs = nowMs;
    }
  };
  await Promise.all(Array.from({ length: load.clients }, client));
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => latencies[Math.floor(latencies.length * q)] ?? Number.NaN;
  return {
    callsPerSecond: (latencies.length * 1_000) / load.measureMs,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    cpu: cpuPerCall(...(await cpu), latencies.length),
  };
}
