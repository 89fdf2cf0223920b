import { setTimeout as sleep } from 'node:timers/promises';
import { errorCatalogue } from '../../src/base/errors';
import type { Prng } from '../../src/base/prng';
import { connect, type VectronClient, VectronClientError } from '../../src/client/node';
import type { WriteResult } from '../../src/client/types';
import type { Ending, HistoryWriter, Invocation } from '../history/history-writer';
import { KeyChoice } from './key-choice';
import type { ChaosOptions } from './options';

export const collection = 'judged';
export const dimension = 4;
const connectionsPerGateway = 2;
const retryPauseMs = 20;

type Asked = 'put' | 'get' | 'del';

/**
 * Clients that work on shared registers, one operation at a time each, and write down what they ask and are told.
 */
export class Clients {
  private readonly connections: VectronClient[];
  private readonly keys: KeyChoice;
  private begun = 0;
  private values = 0;
  private running: Promise<void>[] = [];
  /** Acknowledged operations of each client. */
  private readonly acked: number[];
  private ackedTotal = 0;
  private failure: unknown = null;
  /** By key: unknown writes. */
  readonly unknown = new Map<string, number>();
  private finished = false;

  constructor(
    addresses: readonly string[],
    apiKey: string,
    private readonly options: ChaosOptions,
    private readonly random: Prng,
    private readonly history: HistoryWriter,
  ) {
    this.connections = Array.from({ length: addresses.length * connectionsPerGateway }, (_, i) =>
      connect({
        url: addresses[i % addresses.length] ?? '',
        apiKey,
        timeoutMs: options.timeoutMs,
        retry: { attempts: options.attempts },
      }),
    );
    this.keys = new KeyChoice(options, random.fork());
    this.acked = Array<number>(options.clients).fill(0);
  }

  get ackedCount(): number {
    return this.ackedTotal;
  }
  get begunCount(): number {
    return this.begun;
  }
  /** All operations have ended, or a client has failed in a way that no fault explains. */
  get isDone(): boolean {
    return this.finished;
  }

  start(): void {
    this.running = this.acked.map((_, client) => this.run(client, this.random.fork()));
    Promise.all(this.running)
      .catch((error: unknown) => {
        this.failure = error;
      })
      .finally(() => {
        this.finished = true;
      });
  }

  async ended(): Promise<void> {
    while (!this.finished) await sleep(retryPauseMs);
    if (this.failure !== null) throw this.failure;
  }

  close(): void {
    for (const connection of this.connections) connection.close();
  }

  /** Resolves when every client has been acknowledged something more, or no operation is left to be done. */
  async everyClientServed(timeoutMs: number): Promise<void> {
    const before = [...this.acked];
    const deadlineMs = performance.now() + timeoutMs;
    while (!this.finished && !this.acked.every((count, client) => count > (before[client] ?? 0))) {
      if (performance.now() > deadlineMs) throw new Error(`not every client was served within ${timeoutMs} ms`);
      await sleep(5);
    }
  }

  /** Reads every key once, linearizable; resolves with the values. Part of the history. */
  async readAll(): Promise<Map<string, string | null>> {
    const values = new Map<string, string | null>();
    for (const key of this.keys.all()) {
      const read = await this.perform(0, { p: 0, f: 'get', k: key });
      if (read.st !== 'ok') throw new Error(`the last read of ${key} failed: ${read.err}`);
      values.set(key, (read.o as { readonly h: string | null }).h);
    }
    return values;
  }

  private async run(client: number, random: Prng): Promise<void> {
    let connection = client;
    while (this.begun < this.options.ops && this.failure === null) {
      const invocation = this.draw(client, random);
      this.begun++;
      const ending = await this.perform(connection, invocation);
      if (ending.st === 'ok') {
        this.acked[client] = (this.acked[client] ?? 0) + 1;
        this.ackedTotal++;
        continue;
      }
      // Whoever did not answer may be gone: on over another connection, and only when it stands, so that nothing is
      // unknown which was never sent.
      connection = await this.standing(connection + 1);
    }
  }

  private async standing(from: number): Promise<number> {
    for (let at = from; !this.finished; at++) {
      try {
        await this.connectionAt(at).ready(1_000);
        return at;
      } catch (error) {
        if (!(error instanceof VectronClientError)) throw error;
        await sleep(retryPauseMs);
      }
    }
    return from;
  }

  private draw(client: number, random: Prng): Invocation {
    const k = this.keys.choose(client, this.begun);
    const drawn = random.float();
    const f: Asked = drawn < 0.5 ? 'get' : drawn < 0.9 ? 'put' : 'del';
    return f === 'put' ? { p: client, f, k, v: { h: `v${++this.values}` } } : { p: client, f, k };
  }

  private async perform(connection: number, invocation: Invocation): Promise<Ending> {
    const id = this.history.begin(invocation);
    const ending = await this.send(this.connectionAt(connection), invocation);
    this.history.end(id, ending);
    if (ending.st === 'info' && invocation.f !== 'get') {
      this.unknown.set(invocation.k, (this.unknown.get(invocation.k) ?? 0) + 1);
    }
    return ending;
  }

  private connectionAt(position: number): VectronClient {
    return this.connections[position % this.connections.length] as VectronClient;
  }

  private async send(connection: VectronClient, invocation: Invocation): Promise<Ending> {
    const { k } = invocation;
    try {
      switch (invocation.f) {
        case 'put': {
          const { h } = invocation.v;
          const written = await connection.upsert(collection, [{ id: k, vector: vectorOf(h), payload: { h } }]);
          return { st: 'ok', o: versionIn(written) };
        }
        case 'del':
          return { st: 'ok', o: deletedIn(await connection.delete(collection, k)) };
        default: {
          const point = await connection.find(collection, k, { consistency: 'linearizable' });
          if (point === null) return { st: 'ok', o: { h: null } };
          return { st: 'ok', o: { h: String(point.payload?.['h']), ver: point.version } };
        }
      }
    } catch (error) {
      if (error instanceof VectronClientError) return endingOf(error, this.options.attempts);
      throw error;
    }
  }
}

/**
 * The server's own word that it did nothing is believed, and so put to the test; silence and broken connections are not,
 * and of several attempts only the last one's error is known.
 */
function endingOf({ code, fromServer, message }: VectronClientError, attempts: number): Ending {
  const isRefused = attempts === 1 && fromServer && errorCatalogue[code].retry === 'safe';
  return { st: isRefused ? 'fail' : 'info', err: `${code}: ${message}` };
}

function versionIn({ versions }: WriteResult): { readonly ver?: number } {
  const [ver] = versions;
  return ver === undefined ? {} : { ver };
}

/** The count of a repetition says what was found by then. */
function deletedIn(written: WriteResult): { readonly n?: number; readonly ver?: number } {
  return { ...versionIn(written), ...(written.replayed ? {} : { n: written.count }) };
}

const vectorOf = (value: string): number[] => {
  const number = Number(value.slice(1));
  return Array.from({ length: dimension }, (_, i) => Math.sin(number * (i + 1)) + 1.5);
};
