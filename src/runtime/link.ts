import { VectronError } from '../base/errors';
import type { ClusterId, NodeName } from '../base/ids';
import { linkQueueBytesMax, linkQueueMessagesMax } from '../base/limits';
import { decode, encode, struct, type TypeOf, u8 } from '../protocol/codec';
import { lanes } from '../protocol/envelope';
import { clusterIdCodec, nodeNameCodec } from '../protocol/ids';
import { SendWindow } from './credit';
import { type Batch, Batcher, openFrame, parcelKinds, parcelsOf, type RoutedFrame } from './frames';

/** The first bytes on every connection between processes, in both directions. */
const helloCodec = struct({ version: u8, node: nodeNameCodec, cluster: clusterIdCodec });
export type Hello = TypeOf<typeof helloCodec>;
const linkVersion = 1;

export const encodeHello = (node: NodeName, cluster: ClusterId): Uint8Array =>
  encode(helloCodec, { version: linkVersion, node, cluster });

/** Who is at the other end. Throws FAILED_PRECONDITION for another cluster or protocol version, CORRUPT for noise. */
export function acceptHello(bytes: Uint8Array, cluster: ClusterId): NodeName {
  const hello = decode(helloCodec, bytes);
  if (hello.version !== linkVersion) {
    throw new VectronError('FAILED_PRECONDITION', `link protocol ${hello.version}, expected ${linkVersion}`);
  }
  if (hello.cluster !== cluster) {
    throw new VectronError('FAILED_PRECONDITION', `node ${hello.node} is of cluster ${hello.cluster}, not ${cluster}`);
  }
  return hello.node;
}

/** A live way to one node, in both directions. */
export interface LinkConnection {
  readonly peer: NodeName;
  /** Takes the batch. False: take no more until Link.drained() was called with this connection. Never throws. */
  send(batch: Batch): boolean;
  close(reason: string): void;
}

/** Makes connections and keeps trying; answers with Link.attached() and Link.unreachable(), as often as they are true. */
export interface LinkTransport {
  open(peer: NodeName, address: string): void;
  close(): void;
}

export interface LinkOptions {
  readonly node: NodeName;
  /** A frame for this node has arrived; `bytes` is all of it. */
  readonly onFrame: (frame: RoutedFrame, bytes: Uint8Array) => void;
  /** A data frame could not be carried: its sender may be told. */
  readonly onBounced: (frame: RoutedFrame, bytes: Uint8Array) => void;
}

export interface PeerAddress {
  readonly node: string;
  readonly address: string;
}

interface Waiting {
  readonly frame: RoutedFrame;
  readonly bytes: Uint8Array;
}

interface Peer {
  readonly node: NodeName;
  address: string;
  state: 'connecting' | 'unreachable';
  readonly connections: LinkConnection[];
  readonly congested: Set<LinkConnection>;
  waiting: Waiting[];
  readonly window: SendWindow;
}

/**
 * A node's table of peers and what waits for them. Relays frames by their addresses and never reads a payload. Owned by
 * one thread; transports under node/ report connections to it.
 *
 *  1. Frames for a peer leave in order over one connection, the oldest live one, whoever opened it.
 *  2. What waits is bounded. Without room, or when the peer cannot be reached, data bounces to its sender, and the rest
 *     is dropped and counted: Raft repairs consensus, deadlines end what waits for completions.
 *  3. A frame is accepted only from the node it names as its origin, and only for this node.
 */
export class Link {
  droppedCount = 0;
  bouncedCount = 0;
  rejectedCount = 0;
  private readonly peers = new Map<NodeName, Peer>();
  private transport: LinkTransport | null = null;

  constructor(private readonly options: LinkOptions) {}

  /** The way to reach peers that have an address. Without one, only attached() makes peers reachable. */
  use(transport: LinkTransport): void {
    this.transport = transport;
    for (const peer of this.peers.values()) this.open(peer);
  }

  /** Adds or changes peers; one that is not named keeps what it has. */
  setPeers(peers: readonly PeerAddress[]): void {
    for (const { node, address } of peers) {
      const name = node as NodeName;
      const peer = this.peer(name);
      if (name === this.options.node || address === '' || peer.address === address) continue;
      peer.address = address;
      this.open(peer);
    }
  }

  /** Whether frames for the node have somewhere to go right now. */
  isConnected(node: NodeName): boolean {
    return (this.peers.get(node)?.connections.length ?? 0) > 0;
  }

  /** Queues a frame for its node; flush() sends it on its way. */
  send(frame: RoutedFrame, bytes: Uint8Array): void {
    const peer = this.peers.get(frame.to.node);
    const canCarry = peer !== undefined && (peer.connections.length > 0 || peer.state === 'connecting');
    if (!canCarry || !peer.window.take(frame.lane, bytes.length)) this.discard({ frame, bytes });
    else peer.waiting.push({ frame, bytes });
  }

  /** Hands over what waits to every connection that takes it. Called at the end of a turn. */
  flush(): void {
    for (const peer of this.peers.values()) this.flushPeer(peer);
  }

  attached(connection: LinkConnection): void {
    const peer = this.peer(connection.peer);
    peer.connections.push(connection);
    this.flushPeer(peer);
  }

  detached(connection: LinkConnection): void {
    const peer = this.peer(connection.peer);
    peer.congested.delete(connection);
    const at = peer.connections.indexOf(connection);
    if (at >= 0) peer.connections.splice(at, 1);
    if (peer.connections.length === 0) this.unreachable(peer.node);
  }

  drained(connection: LinkConnection): void {
    const peer = this.peer(connection.peer);
    peer.congested.delete(connection);
    this.flushPeer(peer);
  }

  /** An attempt to connect failed, or the last connection was lost. What waits is given up. */
  unreachable(node: NodeName): void {
    const peer = this.peer(node);
    if (peer.connections.length > 0) return;
    peer.state = 'unreachable';
    const waiting = peer.waiting;
    peer.waiting = [];
    for (const item of waiting) {
      peer.window.give(1, item.bytes.length);
      this.discard(item);
    }
  }

  /** A batch has arrived. A malformed one ends its connection. */
  received(connection: LinkConnection, batch: Uint8Array): void {
    try {
      for (const { bytes } of parcelsOf(batch)) this.accept(connection, openFrame(bytes), bytes);
    } catch (error) {
      if (!(error instanceof VectronError) || error.code !== 'CORRUPT') throw error;
      this.rejectedCount++;
      connection.close(error.message);
    }
  }

  close(): void {
    this.transport?.close();
    for (const peer of this.peers.values()) {
      for (const connection of [...peer.connections]) connection.close('link closed');
    }
  }

  private peer(node: NodeName): Peer {
    const known = this.peers.get(node);
    if (known !== undefined) return known;
    const peer: Peer = {
      node,
      address: '',
      state: 'unreachable',
      connections: [],
      congested: new Set(),
      waiting: [],
      window: new SendWindow({ messagesMax: linkQueueMessagesMax, bytesMax: linkQueueBytesMax }),
    };
    this.peers.set(node, peer);
    return peer;
  }

  private open(peer: Peer): void {
    if (this.transport === null || peer.address === '') return;
    peer.state = 'connecting';
    this.transport.open(peer.node, peer.address);
  }

  private flushPeer(peer: Peer): void {
    const connection = peer.connections[0];
    if (connection === undefined || peer.waiting.length === 0) return;
    const waiting = peer.waiting;
    let next = 0;
    while (next < waiting.length && !peer.congested.has(connection)) {
      const batcher = new Batcher();
      for (; next < waiting.length && !batcher.isFull; next++) {
        const { bytes } = waiting[next] as Waiting;
        batcher.add(parcelKinds.frame, bytes);
        peer.window.give(1, bytes.length);
      }
      if (!connection.send(batcher.take())) peer.congested.add(connection);
    }
    peer.waiting = waiting.slice(next);
  }

  private accept(connection: LinkConnection, frame: RoutedFrame, bytes: Uint8Array): void {
    if (frame.to.node !== this.options.node || frame.from.node !== connection.peer) this.rejectedCount++;
    else this.options.onFrame(frame, bytes);
  }

  private discard({ frame, bytes }: Waiting): void {
    if (frame.lane === lanes.data) {
      this.bouncedCount++;
      this.options.onBounced(frame, bytes);
    } else {
      this.droppedCount++;
    }
  }
}
