import { MessageChannel, Worker } from 'node:worker_threads';
import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { NodeName } from '../../base/ids';
import { Prng } from '../../base/prng';
import { Backoff, type BackoffOptions } from '../backoff';
import type { ThreadNumber } from '../directory';
import { systemClock } from './clock';
import { HeartbeatReader, heartbeatMsFor, heartbeatWords, watchMsFor } from './heartbeat';
import type { LinkSpec } from './link-host';
import { randomSeed } from './random-seed';
import type { Switchboard } from './switchboard';
import { ThreadClient } from './thread-control';
import type { DedicatedThreadData } from './thread-entry';
import type { ThreadHub } from './thread-hub';

export interface ActorStart {
  readonly name: string;
  readonly descriptor: Uint8Array;
}

export interface DedicatedThreadOptions {
  readonly node: NodeName;
  /** For messages to people. */
  readonly name: string;
  /** The compiled file that calls runDedicatedThread(setup). */
  readonly entryFile: string;
  readonly workerData: unknown;
  /** Started on every incarnation of the thread, in order, and again when one of them ends by itself. */
  readonly actors: readonly ActorStart[];
  /** What link the thread holds, asked at each start; null: none. */
  readonly link: () => LinkSpec | null;
  /** A thread whose event loop has not turned for this long is terminated; null: never. */
  readonly silentMsMax: number | null;
  readonly backoff?: BackoffOptions;
  readonly hub: ThreadHub;
  readonly switchboard: Switchboard;
  /** The thread runs and has joined its peers; its actors start next. */
  readonly onUp?: (client: ThreadClient) => void;
  /** The thread has exited, or one of its actors ended or could not start; what ended is started again. */
  readonly onDown: (what: string, reason: string) => void;
  readonly onProblem: (what: string, error: unknown) => void;
}

const steadyMs = 2_000;

/**
 * A plain thread for actors that must not share one: the log writer, a placement driver, the link. Restarted with
 * back-off after its exit, and so is each of its actors. Lives on the main thread.
 */
export class DedicatedThread {
  private readonly backoff: Backoff;
  private readonly words = heartbeatWords(1);
  private readonly reader = new HeartbeatReader(this.words, systemClock);
  private readonly timers = new Set<NodeJS.Timeout>();
  private onFirstUp: () => void = () => undefined;
  private lastReason = 'it did not start in time';
  private monitor: NodeJS.Timeout | null = null;
  private worker: Worker | null = null;
  private client: ThreadClient | null = null;
  private thread: ThreadNumber | null = null;
  private upSinceMs = 0;
  private closed = false;

  constructor(private readonly options: DedicatedThreadOptions) {
    const backoff = options.backoff ?? { firstMs: 20, delayMsMax: 1_000, jitter: 0.5 };
    this.backoff = new Backoff(backoff, new Prng(randomSeed()));
  }

  get threadNumber(): ThreadNumber | null {
    return this.thread;
  }

  /** Resolves when the thread is up for the first time; UNAVAILABLE says why it is not. It keeps being restarted. */
  start(deadlineMs = 30_000): Promise<void> {
    assert(this.worker === null && !this.closed, () => `thread ${this.options.name} was started already`);
    this.options.hub.events.on('gone', this.onGone);
    const { silentMsMax } = this.options;
    if (silentMsMax !== null) this.monitor = setInterval(() => this.watchOver(), watchMsFor(silentMsMax));
    this.spawn();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.timers.delete(timer);
        reject(new VectronError('UNAVAILABLE', `thread ${this.options.name} is not up: ${this.lastReason}`));
      }, deadlineMs);
      this.timers.add(timer);
      this.onFirstUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Asks the thread as it is now. */
  call: ThreadClient['call'] = (call) => {
    assert(this.client !== null, () => `thread ${this.options.name} is down`);
    return this.client.call(call);
  };

  /** A call that matters only while the thread is up: on its next start, onUp says it again. */
  tell(what: string, call: Parameters<ThreadClient['tell']>[1]): void {
    if (this.thread !== null) this.client?.tell(what, call);
  }

  /** For tests and examples: ends the thread as it is; it is restarted. */
  async killThread(): Promise<boolean> {
    const { worker } = this;
    if (worker === null || this.thread === null) return false;
    await worker.terminate();
    return true;
  }

  async stop(): Promise<void> {
    this.close();
    const { client, worker } = this;
    if (client === null || worker === null) return;
    try {
      if (this.thread !== null) await client.call((remote) => remote.finish());
    } catch (error) {
      this.options.onProblem(`finish thread ${this.options.name}`, error);
    }
    await worker.terminate();
    client.exited('stopped');
  }

  async kill(): Promise<void> {
    this.close();
    await this.worker?.terminate();
    this.client?.exited('killed');
  }

  private close(): void {
    this.closed = true;
    if (this.monitor !== null) clearInterval(this.monitor);
    for (const timer of this.timers) clearTimeout(timer);
    this.options.hub.events.off('gone', this.onGone);
  }

  private spawn(): void {
    const { options, words } = this;
    const { port1, port2 } = new MessageChannel();
    const { node, name, workerData, silentMsMax } = options;
    const heartbeats = silentMsMax === null ? null : { words, intervalMs: heartbeatMsFor(silentMsMax) };
    const data: DedicatedThreadData = { node, name, control: port2, heartbeats, link: options.link(), workerData };
    const worker = new Worker(options.entryFile, { workerData: data, transferList: [port2] });
    const client = new ThreadClient(port1, options.onProblem);
    let reason = '';
    this.worker = worker;
    this.client = client;
    worker.once('error', (error) => {
      reason = error.message;
    });
    worker.once('exit', (code) => this.exited(client, reason || `thread exited with code ${code}`));
    client
      .call((remote) => remote.hello())
      .then(
        (thread) => this.up(client, thread),
        // Fails only with the thread, whose exit is handled.
        (error: unknown) => {
          if (this.client === client && !this.closed) options.onProblem(`start thread ${options.name}`, error);
        },
      );
  }

  private up(client: ThreadClient, thread: ThreadNumber): void {
    // The answer of a thread that has exited since is no sign of life.
    if (this.client !== client || this.closed) return;
    this.thread = thread;
    this.upSinceMs = systemClock.now();
    this.reader.restarted(0);
    this.options.switchboard.join(thread, client);
    this.options.onUp?.(client);
    for (const actor of this.options.actors) this.startActor(client, actor);
    this.onFirstUp();
  }

  private exited(client: ThreadClient, reason: string): void {
    const { thread } = this;
    this.thread = null;
    this.worker = null;
    this.client = null;
    client.exited(reason);
    if (thread !== null) this.options.switchboard.leave(thread, reason);
    if (this.closed) return;
    if (thread !== null && systemClock.now() - this.upSinceMs > steadyMs) this.backoff.reset();
    this.lastReason = reason;
    this.options.onDown(`thread ${this.options.name}`, reason);
    this.later(this.backoff.nextDelayMs(), () => this.spawn());
  }

  private startActor(client: ThreadClient, actor: ActorStart): void {
    client
      .call((remote) => remote.startActor(actor.name, actor.descriptor))
      .catch((error: unknown) => {
        if (this.client === client)
          this.actorEnded(client, actor, error instanceof Error ? error.message : String(error));
      });
  }

  private readonly onGone = (name: string, thread: ThreadNumber, reason: string): void => {
    const actor = this.options.actors.find((candidate) => candidate.name === name);
    const { client } = this;
    if (actor !== undefined && client !== null && thread === this.thread) this.actorEnded(client, actor, reason);
  };

  private actorEnded(client: ThreadClient, actor: ActorStart, reason: string): void {
    if (this.closed) return;
    this.options.onDown(`actor ${actor.name}`, reason);
    this.later(this.backoff.nextDelayMs(), () => {
      if (this.client === client) this.startActor(client, actor);
    });
  }

  private watchOver(): void {
    const { silentMsMax } = this.options;
    if (silentMsMax === null || this.thread === null || !this.reader.isSilent(0, silentMsMax)) return;
    this.reader.restarted(0);
    this.worker
      ?.terminate()
      .catch((error: unknown) => this.options.onProblem(`terminate silent thread ${this.options.name}`, error));
  }

  private later(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      action();
    }, delayMs);
    this.timers.add(timer);
  }
}
