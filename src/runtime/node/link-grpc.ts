import * as grpc from '@grpc/grpc-js';
import { assert } from '../../base/assert';
import { asVectronError, VectronError } from '../../base/errors';
import type { ClusterId, NodeName } from '../../base/ids';
import { frameBytesMax } from '../../base/limits';
import { Prng } from '../../base/prng';
import { Backoff } from '../backoff';
import type { Batch } from '../frames';
import { acceptHello, encodeHello, type Link, type LinkConnection, type LinkTransport } from '../link';
import { pulseDelayMs } from '../pulse';
import { restBeats, restBeatsMax, StreamBeats } from '../stream-beats';
import { randomSeed } from './random-seed';

export interface GrpcLinkOptions {
  readonly node: NodeName;
  readonly cluster: ClusterId;
  readonly link: Link;
  /**
   * A stream on which nothing else is said carries an empty message this often; one that hears nothing for three is dead. One
   * that has carried nothing for a while rests (StreamBeats).
   */
  readonly heartbeatMs: number;
  readonly serverCredentials?: grpc.ServerCredentials;
  readonly channelCredentials?: grpc.ChannelCredentials;
}

/** How often an end speaks that rests (StreamBeats), told to the other end at the start. Earlier versions do not say it. */
const restKey = 'vectron-rest-beats';

const noBytes = new Uint8Array(0);
const passBytes = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const viewOf = (buffer: Buffer): Uint8Array => new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** One bidirectional stream of opaque byte strings: a hello, then batches of frames; an empty one is a heartbeat. */
const service = {
  exchange: {
    path: '/vectron.link.v1.Link/Exchange',
    requestStream: true,
    responseStream: true,
    requestSerialize: passBytes,
    requestDeserialize: viewOf,
    responseSerialize: passBytes,
    responseDeserialize: viewOf,
  },
} as const satisfies grpc.ServiceDefinition;

const channelOptions = {
  'grpc.max_receive_message_length': 2 * frameBytesMax,
  'grpc.max_send_message_length': -1,
  // Its counters are read by nobody and cost several microseconds a message.
  'grpc.enable_channelz': 0,
  // Retries are the link's own; a channel that waits on its own schedule would only delay them.
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1_000,
};

type Stream = grpc.ServerDuplexStream<Uint8Array, Uint8Array> | grpc.ClientDuplexStream<Uint8Array, Uint8Array>;

/** What this end says of its rests. */
function restMetadata(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(restKey, String(restBeats));
  return metadata;
}

/** How often the other end speaks at rest; null: it never rests. */
function restBeatsOf(metadata: grpc.Metadata | null): number | null {
  const beats = Number(metadata?.get(restKey)[0]);
  return Number.isInteger(beats) && beats > 0 && beats <= restBeatsMax ? beats : null;
}

/** A stream after its hello, in either direction. */
class GrpcConnection implements LinkConnection {
  private readonly beats: StreamBeats;
  private wroteMs = 0;
  private closed = false;

  constructor(
    readonly peer: NodeName,
    private readonly stream: Stream,
    private readonly options: GrpcLinkOptions,
    private readonly pulse: Pulse,
    /** What the other end said. */
    metadata: grpc.Metadata | null,
    /** Ends the stream. */
    private readonly onClosed: (reason: string) => void,
  ) {
    this.beats = new StreamBeats(restBeatsOf(metadata));
    pulse.add(this);
    stream.on('drain', () => this.options.link.drained(this));
    options.link.attached(this);
  }

  send(batch: Batch): boolean {
    if (this.closed) return true;
    this.beats.sent();
    return this.write(batch.bytes);
  }

  received(bytes: Uint8Array): void {
    this.beats.heard(bytes.length > 0);
    if (bytes.length > 0 && !this.closed) this.options.link.received(this, bytes);
  }

  close(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.pulse.remove(this);
    this.options.link.detached(this);
    this.onClosed(reason);
  }

  /** Once a heartbeat. Whatever was written lately is as good as an empty message. */
  keepAlive(): void {
    const next = this.beats.beat();
    if (next === 'dead') this.close(`nothing heard for ${this.beats.silentMax} heartbeats`);
    else if (next === 'speak' && performance.now() - this.wroteMs > this.options.heartbeatMs / 2) this.write(noBytes);
  }

  private write(bytes: Uint8Array): boolean {
    this.wroteMs = performance.now();
    return this.stream.write(bytes);
  }
}

/**
 * One timer for the heartbeats of all streams, at whole intervals of the wall clock: processes whose clocks agree speak at
 * once, so that an idle thread wakes once for what it says and most of what it hears, and not for each of its peers.
 */
class Pulse {
  private readonly connections = new Set<GrpcConnection>();
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly intervalMs: number) {}

  add(connection: GrpcConnection): void {
    this.connections.add(connection);
    if (this.timer === null) this.arm();
  }

  remove(connection: GrpcConnection): void {
    this.connections.delete(connection);
    if (this.connections.size > 0 || this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
  }

  private arm(): void {
    this.timer = setTimeout(() => this.beat(), pulseDelayMs(Date.now(), this.intervalMs));
  }

  private beat(): void {
    this.arm();
    for (const connection of [...this.connections]) connection.keepAlive();
  }
}

/** One attempt to reach a peer, and the stream it became. Ends once, for whatever reason. */
class Dial {
  private readonly client: grpc.Client;
  private readonly stream: grpc.ClientDuplexStream<Uint8Array, Uint8Array>;
  private readonly helloTimer: NodeJS.Timeout;
  private connection: GrpcConnection | null = null;
  private metadata: grpc.Metadata | null = null;
  private isOver = false;

  constructor(
    private readonly peer: NodeName,
    private readonly address: string,
    private readonly options: GrpcLinkOptions,
    private readonly pulse: Pulse,
    private readonly onConnected: () => void,
    private readonly onOver: (error: VectronError) => void,
  ) {
    const { path, requestSerialize, responseDeserialize } = service.exchange;
    const credentials = options.channelCredentials ?? grpc.credentials.createInsecure();
    this.client = new grpc.Client(address, credentials, channelOptions);
    this.stream = this.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, restMetadata());
    this.helloTimer = setTimeout(() => this.end(unavailable('no hello for 3 heartbeats')), 3 * options.heartbeatMs);
    this.stream.on('metadata', (metadata: grpc.Metadata) => {
      this.metadata = metadata;
    });
    this.stream.on('data', (bytes: Uint8Array) => this.received(bytes));
    this.stream.on('error', (error) => this.end(unavailable(error.message)));
    this.stream.on('end', () => this.end(unavailable('stream ended')));
    this.stream.write(encodeHello(options.node, options.cluster));
  }

  end(error: VectronError): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.helloTimer);
    this.connection?.close(error.message);
    this.stream.cancel();
    this.client.close();
    this.onOver(error);
  }

  private received(bytes: Uint8Array): void {
    if (this.isOver) return;
    if (this.connection !== null) this.connection.received(bytes);
    else this.greeted(bytes);
  }

  private greeted(bytes: Uint8Array): void {
    clearTimeout(this.helloTimer);
    try {
      const peer = acceptHello(bytes, this.options.cluster);
      if (peer !== this.peer) {
        throw new VectronError('FAILED_PRECONDITION', `${this.address} is ${peer}, not ${this.peer}`);
      }
    } catch (error) {
      this.end(asVectronError(error));
      return;
    }
    this.onConnected();
    const closed = (reason: string): void => this.end(unavailable(reason));
    this.connection = new GrpcConnection(this.peer, this.stream, this.options, this.pulse, this.metadata, closed);
  }
}

/** Keeps one stream to one address alive: dials, and dials again with back-off, until it is closed. */
class Dialer {
  private readonly backoff = new Backoff({ firstMs: 50, delayMsMax: 2_000, jitter: 0.5 }, new Prng(randomSeed()));
  private retry: NodeJS.Timeout | null = null;
  private dial: Dial;
  private closed = false;

  constructor(
    private readonly peer: NodeName,
    private readonly address: string,
    private readonly options: GrpcLinkOptions,
    private readonly pulse: Pulse,
    private readonly onFailure: (peer: NodeName, error: VectronError) => void,
  ) {
    this.dial = this.begin();
  }

  close(): void {
    this.closed = true;
    if (this.retry !== null) clearTimeout(this.retry);
    this.dial.end(unavailable('link closed'));
  }

  private begin(): Dial {
    return new Dial(
      this.peer,
      this.address,
      this.options,
      this.pulse,
      () => this.backoff.reset(),
      (error) => this.failed(error),
    );
  }

  private failed(error: VectronError): void {
    if (this.closed) return;
    this.onFailure(this.peer, error);
    this.retry = setTimeout(() => {
      this.dial = this.begin();
    }, this.backoff.nextDelayMs());
  }
}

/**
 * Joins nodes of separate processes: each dials the peers it knows an address of, and accepts streams from any node of
 * its cluster; what one of two nodes has to say travels over whichever stream is alive.
 */
export class GrpcLinkTransport implements LinkTransport {
  /** The last failure of each peer that cannot be reached, for people. */
  readonly failures = new Map<NodeName, VectronError>();
  private readonly dialers = new Map<NodeName, Dialer>();
  private readonly accepted = new Set<GrpcConnection>();
  private readonly pulse: Pulse;
  private server: grpc.Server | null = null;

  constructor(private readonly options: GrpcLinkOptions) {
    this.pulse = new Pulse(options.heartbeatMs);
  }

  /** Accepts streams at `host:port`; resolves to the address with the port it got. */
  async listen(address: string): Promise<string> {
    assert(this.server === null, 'the link listens already');
    const server = new grpc.Server(channelOptions);
    this.server = server;
    server.addService(service, {
      exchange: (stream: grpc.ServerDuplexStream<Uint8Array, Uint8Array>) => this.serve(stream),
    });
    const credentials = this.options.serverCredentials ?? grpc.ServerCredentials.createInsecure();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
    return `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
  }

  open(peer: NodeName, address: string): void {
    this.dialers.get(peer)?.close();
    const failed = (node: NodeName, error: VectronError): void => {
      this.failures.set(node, error);
      this.options.link.unreachable(node);
    };
    this.dialers.set(peer, new Dialer(peer, address, this.options, this.pulse, failed));
  }

  close(): void {
    for (const dialer of this.dialers.values()) dialer.close();
    this.dialers.clear();
    for (const connection of [...this.accepted]) connection.close('link closed');
    this.server?.forceShutdown();
    this.server = null;
  }

  private serve(stream: grpc.ServerDuplexStream<Uint8Array, Uint8Array>): void {
    let connection: GrpcConnection | null = null;
    const silence = setTimeout(() => stream.end(), 3 * this.options.heartbeatMs);
    const over = (reason: string): void => {
      clearTimeout(silence);
      connection?.close(reason);
    };
    stream.on('data', (bytes: Uint8Array) => {
      if (connection !== null) {
        connection.received(bytes);
        return;
      }
      clearTimeout(silence);
      connection = this.greeted(stream, bytes);
    });
    stream.on('error', (error) => over(error.message));
    stream.on('cancelled', () => over('cancelled by peer'));
    stream.on('end', () => {
      over('ended by peer');
      stream.end();
    });
  }

  /** Answers a hello; null: refused, and the stream is told why. */
  private greeted(stream: grpc.ServerDuplexStream<Uint8Array, Uint8Array>, bytes: Uint8Array): GrpcConnection | null {
    try {
      const peer = acceptHello(bytes, this.options.cluster);
      stream.sendMetadata(restMetadata());
      stream.write(encodeHello(this.options.node, this.options.cluster));
      const closed = (): void => {
        this.accepted.delete(connection);
        stream.end();
      };
      const connection = new GrpcConnection(peer, stream, this.options, this.pulse, stream.metadata, closed);
      this.accepted.add(connection);
      return connection;
    } catch (error) {
      const refused = asVectronError(error);
      stream.emit('error', { code: grpc.status.FAILED_PRECONDITION, details: refused.message });
      return null;
    }
  }
}

const unavailable = (why: string): VectronError => new VectronError('UNAVAILABLE', why);
