import type { MessagePort } from 'node:worker_threads';
import { EventEmitter } from 'eventemitter3';
import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { NodeName } from '../../base/ids';
import type { Prng } from '../../base/prng';
import { decode } from '../../protocol/codec';
import type { Failure } from '../../protocol/data-messages';
import { type Address, addressText, type Lane, lanes } from '../../protocol/envelope';
import { type Message, messageCodec } from '../../protocol/messages';
import { ActorHost, type Clock } from '../actor-host';
import { Directory, type ThreadNumber } from '../directory';
import { FrameEncoder, openFrame, parcelKinds, parcelsOf, type RoutedFrame } from '../frames';
import type { Link } from '../link';
import { failure, refusalOf } from '../refusal';
import { DataPort, type Gone } from './data-port';

/** The directory's entry of the thread that holds the node's link. No actor may have this name. */
const linkName = '~link';
const retryAfterMs = 50;

export interface ThreadHubOptions {
  readonly node: NodeName;
  readonly thread: ThreadNumber;
  readonly clock: Clock;
  readonly random: Prng;
  readonly onEnded: (address: Address, reason: string, error: unknown) => void;
  /** There is something to run or to flush. */
  readonly wake: () => void;
}

interface HubEvents {
  /** An actor of another thread has ended; for a dead thread's actors, after its exit. */
  gone: (name: string, thread: ThreadNumber, reason: string) => void;
}

/**
 * One thread's place among the threads of its machine: its actors, a direct port to each other thread, the directory of
 * who lives where, and perhaps the machine's link. Called from its own thread only.
 *
 *  1. Frames for other nodes go to the thread that holds the link; all others go straight to their thread.
 *  2. A frame from an actor that, as this thread knows, lives on another thread by now is dropped: its sender's thread is
 *     dead or has given the name away. So a message of a dead incarnation is never taken for one of its successor's.
 *  3. Without credit consensus is dropped, data requests are refused to their sender.
 */
export class ThreadHub {
  readonly host: ActorHost;
  readonly events = new EventEmitter<HubEvents>();
  readonly directory = new Directory();
  staleCount = 0;
  droppedCount = 0;
  refusedCount = 0;
  malformedCount = 0;
  private readonly ports = new Map<ThreadNumber, DataPort>();
  private readonly encoder = new FrameEncoder();
  private link: Link | null = null;

  constructor(private readonly options: ThreadHubOptions) {
    const { node, clock, random, onEnded, wake } = options;
    this.host = new ActorHost({
      node,
      clock,
      random,
      onEnded,
      outbound: (to, from, message, lane) => this.outbound(to, from, message, lane),
      elsewhere: (name) => (this.directory.threadOf(name) ?? options.thread) !== options.thread,
      onWork: wake,
    });
    this.host.events.on('started', ({ actor }) => this.announceAdded(actor));
    this.host.events.on('ended', ({ actor }, reason) => this.announceRemoved(actor, reason));
  }

  get thread(): ThreadNumber {
    return this.options.thread;
  }

  addPeer(thread: ThreadNumber, port: MessagePort): void {
    assert(!this.ports.has(thread) && thread !== this.thread, () => `thread ${thread} is a peer already`);
    const peer = new DataPort(thread, port, {
      onBatch: (from, batch) => this.receiveBatch(from, batch),
      onAdded: (from, names) => this.peerAdded(from, names),
      onRemoved: (from, names) => this.peerRemoved(from, names),
    });
    this.ports.set(thread, peer);
    const names = this.link === null ? this.host.names() : [linkName, ...this.host.names()];
    if (names.length > 0) peer.announceAdded(names);
  }

  /** The thread has exited: its actors are gone, and what is still on its way from them is not heard. */
  removePeer(thread: ThreadNumber, reason: string): void {
    this.ports.get(thread)?.close();
    this.ports.delete(thread);
    for (const name of this.directory.left(thread)) this.gone(name, thread, reason);
  }

  /** This thread carries the node's frames to and from other nodes from now on. */
  attachLink(link: Link): void {
    this.link = link;
    this.announceAdded(linkName);
  }

  /** A frame from another node. */
  fromLink(frame: RoutedFrame, bytes: Uint8Array): void {
    const thread = this.directory.threadOf(frame.to.actor) ?? this.thread;
    if (thread === this.thread) this.host.deliverEncoded(frame.to, frame.from, frame.payload, frame.lane);
    else if (!this.post(thread, frame.lane, bytes)) this.overloaded(frame);
  }

  /** The link could not carry a frame of one of this node's actors: back to its thread, which refuses it. */
  bounce(frame: RoutedFrame, bytes: Uint8Array): void {
    const thread = this.directory.threadOf(frame.from.actor) ?? this.thread;
    if (thread === this.thread) this.refuse(frame, failure('UNAVAILABLE', unreachable(frame.to), retryAfterMs));
    else this.ports.get(thread)?.send(lanes.completion, parcelKinds.bounced, bytes);
  }

  /** Hands over everything that was sent since the last call. */
  flush(): void {
    for (const port of this.ports.values()) port.flush();
    this.link?.flush();
  }

  close(): void {
    for (const port of this.ports.values()) port.close();
    this.ports.clear();
    this.link?.close();
  }

  private outbound(to: Address, from: Address, message: Message, lane: Lane): void {
    const bytes = this.encoder.encode(to, from, message, lane);
    if (to.node !== this.options.node && this.link !== null) {
      const kept = bytes.slice();
      this.link.send(openFrame(kept), kept);
      this.options.wake();
      return;
    }
    const thread = this.directory.threadOf(to.node === this.options.node ? to.actor : linkName);
    if (thread !== undefined && this.post(thread, lane, bytes)) return;
    if (lane !== lanes.data) this.droppedCount++;
    else if (thread === undefined) this.refuseMessage(to, from, message, failure('UNAVAILABLE', unreachable(to)));
    else this.refuseMessage(to, from, message, failure('RESOURCE_EXHAUSTED', `${addressText(to)} is overloaded`));
  }

  private post(thread: ThreadNumber, lane: Lane, bytes: Uint8Array): boolean {
    const isTaken = this.ports.get(thread)?.send(lane, parcelKinds.frame, bytes) === true;
    if (isTaken) this.options.wake();
    return isTaken;
  }

  private receiveBatch(thread: ThreadNumber, batch: Uint8Array): void {
    try {
      for (const { kind, bytes } of parcelsOf(batch)) {
        const frame = openFrame(bytes);
        if (kind === parcelKinds.bounced)
          this.refuse(frame, failure('UNAVAILABLE', unreachable(frame.to), retryAfterMs));
        else this.receive(thread, frame, bytes);
      }
    } catch (error) {
      this.malformed(error);
    }
  }

  private receive(thread: ThreadNumber, frame: RoutedFrame, bytes: Uint8Array): void {
    const { from, to, lane, payload } = frame;
    if (from.node === this.options.node && this.directory.isStale(from.actor, thread)) this.staleCount++;
    else if (to.node === this.options.node) this.host.deliverEncoded(to, from, payload, lane);
    else if (this.link !== null) {
      this.link.send(frame, bytes);
      this.options.wake();
    } else this.bounce(frame, bytes);
  }

  private overloaded(frame: RoutedFrame): void {
    if (frame.lane !== lanes.data) this.droppedCount++;
    else this.refuse(frame, failure('RESOURCE_EXHAUSTED', `${addressText(frame.to)} is overloaded`, retryAfterMs));
  }

  private refuse(frame: RoutedFrame, failed: Failure): void {
    try {
      this.refuseMessage(frame.to, frame.from, decode(messageCodec, frame.payload), failed);
    } catch (error) {
      this.malformed(error);
    }
  }

  /** Answers a request in the name of the actor it could not be carried to. */
  private refuseMessage(to: Address, from: Address, message: Message, failed: Failure): void {
    this.refusedCount++;
    const reply = refusalOf(message, failed);
    if (reply === null) return;
    if (from.node === this.options.node && this.host.has(from.actor)) {
      this.host.deliver(from, to, reply, lanes.completion);
    } else {
      this.outbound(from, to, reply, lanes.completion);
    }
  }

  private malformed(error: unknown): void {
    if (!(error instanceof VectronError) || error.code !== 'CORRUPT') throw error;
    this.malformedCount++;
  }

  private announceAdded(name: string): void {
    this.moved(name, this.directory.added(name, this.thread));
    for (const port of this.ports.values()) port.announceAdded([name]);
  }

  private announceRemoved(name: string, reason: string): void {
    if (!this.directory.removed(name, this.thread)) return;
    for (const port of this.ports.values()) port.announceRemoved([[name, reason]]);
  }

  private peerAdded(thread: ThreadNumber, names: readonly string[]): void {
    for (const name of names) this.moved(name, this.directory.added(name, thread));
  }

  private peerRemoved(thread: ThreadNumber, names: readonly Gone[]): void {
    for (const [name, reason] of names) {
      if (this.directory.removed(name, thread)) this.gone(name, thread, reason);
    }
  }

  /** Two threads' announcements may cross: the actor that had the name before is gone, whatever is still to come. */
  private moved(name: string, before: ThreadNumber | null): void {
    if (before !== null && before !== this.thread) this.gone(name, before, 'runs on another thread');
  }

  private gone(name: string, thread: ThreadNumber, reason: string): void {
    this.host.endedElsewhere(name, reason);
    this.events.emit('gone', name, thread, reason);
  }
}

const unreachable = (to: Address): string => `${addressText(to)} cannot be reached`;
