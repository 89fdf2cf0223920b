import type { MessagePort } from 'node:worker_threads';
import { VectronError } from '../../base/errors';
import type { NodeName } from '../../base/ids';
import { Prng } from '../../base/prng';
import type { Actor } from '../actor';
import type { ThreadNumber } from '../directory';
import { systemClock } from './clock';
import type { Heart } from './heartbeat';
import { LinkHost, type LinkSpec } from './link-host';
import { randomSeed } from './random-seed';
import type { ThreadControl, ThreadStats } from './thread-control';
import { ThreadHub, type ThreadHubOptions } from './thread-hub';
import { ThreadLoop } from './thread-loop';

/** Makes a thread's actors. Lives as long as its thread. */
export interface ThreadActors {
  /** The actor of that name, from what whoever starts it has described. */
  create(name: string, descriptor: Uint8Array): Actor | Promise<Actor>;
  /** Gives back what the actors shared, after the last of them has ended. Not called when the thread is killed. */
  close?(): void | Promise<void>;
}

export interface ThreadEnvironment {
  readonly node: NodeName;
  readonly thread: ThreadNumber;
  /** Of a pool's threads that live: no two have the same, and each is below the number of groups. 0 for a dedicated one. */
  readonly place: number;
  /** What the machine was configured to hand to this kind of thread. */
  readonly workerData: unknown;
  readonly hub: ThreadHub;
}

/** What an entry file of a thread provides. */
export type ThreadSetup = (environment: ThreadEnvironment) => ThreadActors | Promise<ThreadActors>;

export interface RunningThread {
  readonly hub: ThreadHub;
  readonly loop: ThreadLoop;
  flush(): void;
}

/** Whose heart beats with the turns of a thread's loop, and how often at least. */
export type BeatingHeart = Pick<Heart, 'turned' | 'intervalMs'>;

/** A hub and the loop that drives it, on the calling thread. */
export function runThread(
  options: Pick<ThreadHubOptions, 'node' | 'thread' | 'onEnded'>,
  heart: BeatingHeart | null = null,
): RunningThread {
  const hub = new ThreadHub({
    ...options,
    clock: systemClock,
    random: new Prng(randomSeed()),
    wake: () => loop.wake(),
  });
  const afterTurn = (): void => {
    hub.flush();
    heart?.turned();
  };
  const turning = heart === null ? {} : { turnMsMax: heart.intervalMs };
  const loop = new ThreadLoop({ host: hub.host, clock: systemClock, afterTurn, ...turning });
  if (heart !== null) loop.wake();
  return { hub, loop, flush: () => hub.flush() };
}

/** The thread's side of its control calls. */
export class ThreadController implements ThreadControl {
  /** Being made; true: wanted no more. */
  private readonly creating = new Map<string, boolean>();
  private linkHost: LinkHost | null = null;
  private finishing: Promise<void> | null = null;
  /** Resolves when finish() was asked for and is done. */
  readonly finished: Promise<void>;
  private onFinished: () => void = () => undefined;

  constructor(
    private readonly running: RunningThread,
    private readonly actors: ThreadActors,
  ) {
    this.finished = new Promise((resolve) => {
      this.onFinished = resolve;
    });
  }

  async startLink(spec: LinkSpec): Promise<void> {
    this.linkHost = new LinkHost(this.running.hub, spec);
    await this.linkHost.start();
  }

  hello(): ThreadNumber {
    return this.running.hub.thread;
  }

  addPeer(thread: ThreadNumber, port: MessagePort): void {
    this.running.hub.addPeer(thread, port);
  }

  removePeer(thread: ThreadNumber, reason: string): void {
    this.running.hub.removePeer(thread, reason);
  }

  async startActor(name: string, descriptor: Uint8Array): Promise<void> {
    const { host } = this.running.hub;
    if (host.has(name) || this.creating.has(name)) throw new VectronError('ALREADY_EXISTS', `actor ${name} runs here`);
    this.creating.set(name, false);
    try {
      const actor = await this.actors.create(name, descriptor);
      if (this.creating.get(name) === true) {
        actor.stopped();
        throw new VectronError('CANCELLED', `actor ${name} was stopped before it started`);
      }
      host.spawn(name, actor);
    } finally {
      this.creating.delete(name);
    }
  }

  stopActor(name: string, reason: string): boolean {
    if (this.creating.has(name)) this.creating.set(name, true);
    const isStopped = this.running.hub.host.stop(name, reason) || this.creating.has(name);
    this.running.flush();
    return isStopped;
  }

  stats(): ThreadStats {
    const { hub } = this.running;
    return {
      thread: hub.thread,
      actors: hub.host.names(),
      handledCount: hub.host.handledCount,
      queuedCounts: hub.host.queuedCounts(),
      refusedCount: hub.refusedCount + hub.host.refusedDataCount,
      droppedCount: hub.droppedCount + hub.host.droppedConsensusCount,
      staleCount: hub.staleCount,
      malformedCount: hub.malformedCount + hub.host.malformedCount,
    };
  }

  finish(): Promise<void> {
    this.finishing ??= this.end();
    return this.finishing;
  }

  setPeers(peers: Parameters<ThreadControl['setPeers']>[0]): void {
    this.linkHost?.setPeers(peers);
  }

  acceptLinkPort(...[peer, port, faults]: Parameters<ThreadControl['acceptLinkPort']>): void {
    this.linkHost?.acceptPort(peer, port, faults);
  }

  linkAddress(): string {
    return this.linkHost?.address ?? '';
  }

  private async end(): Promise<void> {
    const { hub, loop } = this.running;
    for (const name of [...hub.host.names()].reverse()) hub.host.stop(name, 'thread finishes');
    this.running.flush();
    await this.actors.close?.();
    hub.close();
    loop.close();
    this.onFinished();
  }
}
