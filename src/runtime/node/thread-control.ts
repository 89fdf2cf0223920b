import type { MessagePort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import { VectronError } from '../../base/errors';
import type { NodeName } from '../../base/ids';
import type { ThreadNumber } from '../directory';
import type { PeerAddress } from '../link';
import { comlinkEndpoint, transferred } from './comlink-port';
import type { FaultCells } from './link-ports';

export interface ThreadStats {
  readonly thread: ThreadNumber;
  readonly actors: readonly string[];
  readonly handledCount: number;
  /** Waiting messages and signals, by lane. */
  readonly queuedCounts: readonly [number, number, number];
  readonly refusedCount: number;
  readonly droppedCount: number;
  readonly staleCount: number;
  readonly malformedCount: number;
}

/** What the main thread may ask of another thread. Control only: messages between actors never come this way. */
export interface ThreadControl {
  /** Answers once the thread is ready. */
  hello(): ThreadNumber;
  addPeer(thread: ThreadNumber, port: MessagePort): void;
  removePeer(thread: ThreadNumber, reason: string): void;
  /** Resolves when the actor is hosted; rejects when it could not be made. */
  startActor(name: string, descriptor: Uint8Array): Promise<void>;
  /** False: there is none. */
  stopActor(name: string, reason: string): boolean;
  stats(): ThreadStats;
  /** Ends all actors, newest first, and gives the thread's resources back. */
  finish(): Promise<void>;
  setPeers(peers: readonly PeerAddress[]): void;
  acceptLinkPort(peer: NodeName, port: MessagePort, faults: FaultCells): void;
  /** Where the thread's link listens; empty: nowhere. */
  linkAddress(): string;
}

export function exposeControl(control: ThreadControl, port: MessagePort): void {
  Comlink.expose(control, comlinkEndpoint(port));
}

type Call<T> = (remote: Comlink.Remote<ThreadControl>) => Promise<T>;

/**
 * The main thread's handle on another thread. A call to a thread that exits first is rejected with UNAVAILABLE: left to
 * Comlink it would wait for ever.
 */
export class ThreadClient {
  private readonly remote: Comlink.Remote<ThreadControl>;
  private readonly waiting = new Set<(error: Error) => void>();
  private exitReason: string | null = null;

  constructor(
    private readonly port: MessagePort,
    /** Hears of calls nobody waits for that fail while the thread lives. */
    private readonly onProblem: (what: string, error: unknown) => void,
  ) {
    this.remote = Comlink.wrap<ThreadControl>(comlinkEndpoint(port));
  }

  call<T>(call: Call<T>): Promise<T> {
    if (this.exitReason !== null) return Promise.reject(unavailable(this.exitReason));
    return new Promise<T>((resolve, reject) => {
      this.waiting.add(reject);
      const settled = (): void => {
        this.waiting.delete(reject);
      };
      call(this.remote).then(resolve, reject).finally(settled);
    });
  }

  /** A call whose outcome matters only if it is a failure. */
  tell(what: string, call: Call<unknown>): void {
    this.call(call).catch((error: unknown) => {
      if (this.exitReason === null) this.onProblem(what, error);
    });
  }

  addPeer(thread: ThreadNumber, port: MessagePort): void {
    this.tell('addPeer', (remote) => remote.addPeer(thread, transferred(port)));
  }

  removePeer(thread: ThreadNumber, reason: string): void {
    this.tell('removePeer', (remote) => remote.removePeer(thread, reason));
  }

  /** The thread is no more. */
  exited(reason: string): void {
    if (this.exitReason !== null) return;
    this.exitReason = reason;
    this.port.close();
    for (const reject of this.waiting) reject(unavailable(reason));
    this.waiting.clear();
  }
}

const unavailable = (reason: string): VectronError => new VectronError('UNAVAILABLE', `thread has ended: ${reason}`);
