import { MessageChannel, type Worker } from 'node:worker_threads';
import type Piscina from 'piscina';
import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { NodeName } from '../../base/ids';
import { Prng } from '../../base/prng';
import { Backoff, type BackoffOptions } from '../backoff';
import type { ThreadNumber } from '../directory';
import { systemClock } from './clock';
import { HeartbeatReader, heartbeatMsFor, heartbeatWords, watchMsFor } from './heartbeat';
import { randomSeed } from './random-seed';
import type { Switchboard } from './switchboard';
import { makeTaskPool } from './task-pool';
import { ThreadClient, type ThreadStats } from './thread-control';
import type { GroupTask } from './thread-entry';
import type { ThreadHub } from './thread-hub';

export interface ShardPoolOptions {
  readonly node: NodeName;
  /** The compiled file whose default export is groupTask(setup). */
  readonly entryFile: string;
  readonly threads: number;
  readonly groupsPerThread?: number;
  /** Handed to the setup on every thread. Structured-cloned; shared memory and ports stay shared. */
  readonly workerData: unknown;
  /** A thread whose event loop has not turned for this long is terminated. Default: defaultSilentMsMax. */
  readonly silentMsMax?: number;
  readonly backoff?: BackoffOptions;
  readonly hub: ThreadHub;
  readonly switchboard: Switchboard;
  /** An actor started here has ended; if its thread died, after the thread's exit event. */
  readonly onActorEnded: (name: string, reason: string) => void;
  readonly onProblem: (what: string, error: unknown) => void;
}

interface Hosted {
  readonly name: string;
  readonly descriptor: Uint8Array;
}

interface Group {
  readonly index: number;
  readonly backoff: Backoff;
  readonly actors: Map<string, Hosted>;
  state: 'starting' | 'running' | 'down';
  client: ThreadClient | null;
  thread: ThreadNumber | null;
  runningSinceMs: number;
}

interface PoolThread {
  readonly worker: Worker;
  reason: string;
  /** When it was told to end for being silent; null: it was not. */
  terminatedMs: number | null;
}

/**
 * Others have elected a leader by then, so nothing is gained by ending the thread earlier; and on a machine without enough
 * processors a thread that only waits for its turn was taken for one that hangs (docs/decisions/0014).
 */
const defaultSilentMsMax = 4_000;
export const defaultGroupsPerThread = 2;
const steadyMs = 2_000;
const stuckMs = 5_000;
const refillDelays: BackoffOptions = { firstMs: 100, delayMsMax: 5_000, jitter: 0.2 };
const defaultBackoff: BackoffOptions = { firstMs: 20, delayMsMax: 1_000, jitter: 0.5 };

/**
 * A machine's shard threads (DESIGN D2): a Piscina pool in which each group of actors is one long task. Lives on the main
 * thread; its owner starts actors by name and hears of every end.
 *
 *  1. An actor is hosted at most once: it can be started again only after its end was reported, and the end of an actor
 *     whose thread died is reported only after that thread's exit and after its peers were told to hear it no more.
 *  2. There are exactly as many task slots as groups, so the groups of a dead thread wait for the fresh one.
 *  3. A thread that falls silent is terminated like one that failed.
 *  4. A new actor goes to the group with the fewest that is not down.
 */
export class ShardPool {
  private readonly pool: Piscina<GroupTask, void>;
  private readonly groups: Group[];
  private readonly hosted = new Map<string, Group>();
  private readonly threads = new Map<ThreadNumber, PoolThread>();
  private readonly retries = new Set<NodeJS.Timeout>();
  private readonly reader: HeartbeatReader;
  private readonly silentMsMax: number;
  private readonly monitor: NodeJS.Timeout;
  private readonly refillBackoff = new Backoff(refillDelays, new Prng(randomSeed()));
  private nextRefillMs = 0;
  private closed = false;

  constructor(private readonly options: ShardPoolOptions) {
    const groupsPerThread = options.groupsPerThread ?? defaultGroupsPerThread;
    const groupCount = options.threads * groupsPerThread;
    this.silentMsMax = options.silentMsMax ?? defaultSilentMsMax;
    const heartbeats = { words: heartbeatWords(groupCount), intervalMs: heartbeatMsFor(this.silentMsMax) };
    this.reader = new HeartbeatReader(heartbeats.words, systemClock);
    this.pool = makeTaskPool(options, groupsPerThread, heartbeats);
    this.pool.on('error', (error) => options.onProblem('shard thread', error));
    this.groups = Array.from({ length: groupCount }, (_, index) => newGroup(index, options.backoff ?? defaultBackoff));
    options.hub.events.on('gone', this.onGone);
    for (const group of this.groups) this.runGroup(group);
    this.monitor = setInterval(() => this.watchOver(), watchMsFor(this.silentMsMax));
  }

  /** Starts an actor on some live thread, as soon as there is one. The name must not be hosted. */
  startActor(name: string, descriptor: Uint8Array): void {
    assert(!this.hosted.has(name), () => `actor ${name} is hosted already`);
    assert(!this.closed, 'the pool is closed');
    this.place({ name, descriptor });
  }

  /** Asks the actor to end; its end is reported. Without effect if it is not hosted. */
  stopActor(name: string, reason: string): void {
    const group = this.hosted.get(name);
    if (group === undefined) return;
    if (group.state === 'running') {
      group.client?.tell(`stop ${name}`, (remote) => remote.stopActor(name, reason));
    } else {
      this.ended(name, reason);
    }
  }

  isHosted(name: string): boolean {
    return this.hosted.has(name);
  }

  /** The thread that hosts the actor; null: none, or not yet. */
  threadOf(name: string): ThreadNumber | null {
    return this.hosted.get(name)?.thread ?? null;
  }

  /** For tests and examples: ends the actor as if it had failed. */
  killActor(name: string): void {
    this.stopActor(name, 'killed');
  }

  /** For tests and examples: ends the thread that hosts the actor. False: it has none. */
  async killThreadOf(name: string): Promise<boolean> {
    const thread = this.threadOf(name);
    const worker = this.pool.threads.find(({ threadId }) => threadId === thread);
    if (thread === null || worker === undefined) return false;
    await worker.terminate();
    return true;
  }

  /** For tests: ends one of the threads, at a share in [0, 1) of them all. False: there is none. */
  async killThread(at: number): Promise<boolean> {
    const { threads } = this.pool;
    const worker = threads[Math.floor(at * threads.length)];
    if (worker === undefined) return false;
    await worker.terminate();
    return true;
  }

  /** For tests: ends every thread, those that are still loading as well. */
  async killThreads(): Promise<void> {
    await Promise.all(this.pool.threads.map((worker) => worker.terminate()));
  }

  /** Whether the group's thread has not turned its event loop for longer than `forMs`. */
  isSilent(group: number, forMs: number): boolean {
    return this.reader.isSilent(group, forMs);
  }

  /** The group that hosts the actor, as heartbeats number it; null: none. */
  groupOf(name: string): number | null {
    return this.hosted.get(name)?.index ?? null;
  }

  /** Of every thread that answers. */
  async stats(): Promise<readonly ThreadStats[]> {
    const byThread = new Map(this.groups.map((group) => [group.thread, group.client]));
    const running = [...byThread].filter(([thread]) => thread !== null);
    const results = await Promise.allSettled(running.map(([, client]) => client?.call((remote) => remote.stats())));
    return results.flatMap((result) => (result.status === 'fulfilled' && result.value ? [result.value] : []));
  }

  /** Resolves when every group runs. */
  async ready(deadlineMs = 30_000): Promise<void> {
    const until = systemClock.now() + deadlineMs;
    while (!this.groups.every(({ state }) => state === 'running')) {
      const isOver = this.closed || systemClock.now() > until;
      if (isOver) throw new VectronError('UNAVAILABLE', `shard threads are not up after ${deadlineMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Ends all actors in order, then the threads. */
  async stop(): Promise<void> {
    this.close();
    const finishing = this.groups.map(({ client }) => client?.call((remote) => remote.finish()));
    for (const result of await Promise.allSettled(finishing)) {
      if (result.status === 'rejected') this.options.onProblem('finish shard thread', result.reason);
    }
    await this.pool.destroy();
  }

  /** Terminates all threads as they are. */
  async kill(): Promise<void> {
    this.close();
    await this.pool.destroy();
  }

  private close(): void {
    this.closed = true;
    clearInterval(this.monitor);
    for (const retry of this.retries) clearTimeout(retry);
    this.options.hub.events.off('gone', this.onGone);
  }

  private runGroup(group: Group): void {
    const { port1, port2 } = new MessageChannel();
    const client = new ThreadClient(port1, this.options.onProblem);
    group.state = 'starting';
    group.client = client;
    const task = this.pool.run({ group: group.index, control: port2 }, { transferList: [port2] });
    task.then(
      () => this.taskEnded(group, client, 'finished'),
      (error: unknown) => this.taskEnded(group, client, reasonOf(error)),
    );
    client
      .call((remote) => remote.hello())
      .then(
        (thread) => this.groupUp(group, client, thread),
        // The task's own end says the same, and is always heard.
        (error: unknown) => this.taskEnded(group, client, reasonOf(error)),
      );
  }

  private groupUp(group: Group, client: ThreadClient, thread: ThreadNumber): void {
    if (group.client !== client || this.closed) return;
    const worker = this.pool.threads.find(({ threadId }) => threadId === thread);
    // Dead already: the end of the task follows.
    if (worker === undefined) return;
    if (!this.threads.has(thread)) this.joinThread(thread, worker, client);
    group.thread = thread;
    group.state = 'running';
    group.runningSinceMs = systemClock.now();
    this.refillBackoff.reset();
    this.reader.restarted(group.index);
    for (const hosted of group.actors.values()) this.startOn(group, hosted);
  }

  private joinThread(thread: ThreadNumber, worker: Worker, client: ThreadClient): void {
    const entry: PoolThread = { worker, reason: '', terminatedMs: null };
    this.threads.set(thread, entry);
    worker.once('error', (error) => {
      entry.reason = reasonOf(error);
    });
    worker.once('exit', (code) => this.threadExited(thread, entry.reason || `thread exited with code ${code}`));
    this.options.switchboard.join(thread, client);
  }

  /** Before the thread's exit nothing is concluded from the end of its tasks. */
  private taskEnded(group: Group, client: ThreadClient, reason: string): void {
    if (group.client !== client) return;
    if (group.thread === null || !this.threads.has(group.thread)) this.groupDown(group, reason);
  }

  private threadExited(thread: ThreadNumber, reason: string): void {
    this.threads.delete(thread);
    // Tells the peers and this thread's hub, which reports the actors that had been announced.
    this.options.switchboard.leave(thread, reason);
    for (const group of this.groups) if (group.thread === thread) this.groupDown(group, reason);
  }

  private groupDown(group: Group, reason: string): void {
    const wasRunning = group.state === 'running';
    const actors = [...group.actors.values()];
    const { client } = group;
    group.state = 'down';
    group.client = null;
    group.thread = null;
    client?.exited(reason);
    if (this.closed) return;
    if (wasRunning && systemClock.now() - group.runningSinceMs > steadyMs) group.backoff.reset();
    this.later(group.backoff.nextDelayMs(), () => this.runGroup(group));
    for (const hosted of actors) {
      if (wasRunning) this.ended(hosted.name, reason);
      else this.moveElsewhere(group, hosted);
    }
  }

  /** It never started, so nobody needs to hear of it. */
  private moveElsewhere(group: Group, hosted: Hosted): void {
    group.actors.delete(hosted.name);
    this.hosted.delete(hosted.name);
    this.place(hosted);
  }

  private place(hosted: Hosted): void {
    const up = this.groups.filter(({ state }) => state !== 'down');
    const candidates = up.length > 0 ? up : this.groups;
    const group = candidates.reduce((best, next) => (next.actors.size < best.actors.size ? next : best));
    group.actors.set(hosted.name, hosted);
    this.hosted.set(hosted.name, group);
    if (group.state === 'running') this.startOn(group, hosted);
  }

  private startOn(group: Group, hosted: Hosted): void {
    const { client } = group;
    assert(client !== null, 'a running group has a client');
    client
      .call((remote) => remote.startActor(hosted.name, hosted.descriptor))
      .catch((error: unknown) => {
        // If the thread has died, its exit reports the actor, if it has not done so already.
        const isCurrent = group.client === client && group.actors.get(hosted.name) === hosted;
        if (isCurrent) this.ended(hosted.name, `could not start: ${reasonOf(error)}`);
      });
  }

  private readonly onGone = (name: string, thread: ThreadNumber, reason: string): void => {
    if (this.hosted.get(name)?.thread === thread) this.ended(name, reason);
  };

  private ended(name: string, reason: string): void {
    const group = this.hosted.get(name);
    if (group === undefined) return;
    group.actors.delete(name);
    this.hosted.delete(name);
    if (!this.closed) this.options.onActorEnded(name, reason);
  }

  private watchOver(): void {
    this.reader.observe();
    for (const group of this.groups) {
      if (group.state === 'running' && this.reader.isSilent(group.index, this.silentMsMax)) this.terminate(group);
    }
    for (const [thread, entry] of this.threads) this.reportIfStuck(thread, entry);
    this.refill();
  }

  /** Native code cannot be interrupted: only a new process helps, which is for its owner to decide. */
  private reportIfStuck(thread: ThreadNumber, entry: PoolThread): void {
    if (entry.terminatedMs === null || systemClock.now() - entry.terminatedMs < stuckMs) return;
    entry.terminatedMs = Number.POSITIVE_INFINITY;
    this.options.onProblem('a silent thread does not end', new VectronError('INTERNAL', `thread ${thread} is stuck`));
  }

  private terminate(group: Group): void {
    const entry = group.thread === null ? undefined : this.threads.get(group.thread);
    if (entry === undefined || entry.terminatedMs !== null) return;
    entry.reason = 'thread fell silent';
    entry.terminatedMs = systemClock.now();
    entry.worker.terminate().catch((error: unknown) => this.options.onProblem('terminate a silent thread', error));
  }

  /**
   * Piscina stops refilling for good once a thread has died while loading its code. A task that finds no thread makes
   * it add one; the balancer places no abortable task, so this one only ever has that effect.
   */
  private refill(): void {
    const isShort = this.pool.threads.length < this.options.threads;
    if (!isShort || systemClock.now() < this.nextRefillMs) return;
    this.nextRefillMs = systemClock.now() + this.refillBackoff.nextDelayMs();
    const abort = new AbortController();
    this.pool.run({ group: null, control: null }, { signal: abort.signal }).catch((error: unknown) => {
      if (!abort.signal.aborted) this.options.onProblem('replace a shard thread', error);
    });
    abort.abort();
  }

  private later(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.retries.delete(timer);
      action();
    }, delayMs);
    this.retries.add(timer);
  }
}

function newGroup(index: number, backoff: BackoffOptions): Group {
  return {
    index,
    backoff: new Backoff(backoff, new Prng(randomSeed())),
    actors: new Map(),
    state: 'down',
    client: null,
    thread: null,
    runningSinceMs: 0,
  };
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
