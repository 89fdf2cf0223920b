import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { gunzip, inflate } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { grpcStatus } from './grpc-errors';

/**
 * Answers the one message of a call with one message; whatever it throws becomes the call's status. `deadlineMs` is the
 * caller's, by the wall clock; infinite: it has none.
 */
export type UnaryHandler = (message: Buffer, deadlineMs: number) => Promise<Uint8Array>;

/** What the protocol itself refuses, before or instead of the handler. */
export class ProtocolStatus extends Error {
  constructor(
    readonly code: status,
    message: string,
  ) {
    super(message);
  }
}

const prefixBytes = 5;
const timeoutPattern = /^(\d{1,8})([HMSmun])$/;
const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
/** A timer fires at once beyond this. */
const timerMsMax = 2 ** 31 - 1;
const contentType = 'application/grpc+proto';
const replyHeaders = { ':status': 200, 'content-type': contentType, 'grpc-accept-encoding': 'identity,deflate,gzip' };
const withTrailers = { waitForTrailers: true };
const okTrailers = { 'grpc-status': '0' };

/**
 * One unary call over HTTP/2, from the end of its headers to the end of its stream; lives on the stream's listeners.
 *
 *  1. At most one status is sent, and none after the stream has closed or the deadline has passed.
 *  2. Beyond messageBytesMax nothing is kept: what still comes is read and dropped.
 *  3. The handler runs at most once, with a whole message; nobody tells it that the caller has gone.
 */
export class UnaryCall {
  private chunks: Buffer[] = [];
  private received = 0;
  private isOver = false;
  private deadlineMs = Number.POSITIVE_INFINITY;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly stream: ServerHttp2Stream,
    private readonly headers: IncomingHttpHeaders,
    private readonly messageBytesMax: number,
  ) {
    stream.on('close', () => this.over());
    // What goes wrong with a stream closes it.
    stream.on('error', () => this.over());
  }

  /** Takes the message and has it answered. */
  serve(handler: UnaryHandler): void {
    this.stream.on('data', (chunk: Buffer) => this.take(chunk));
    this.stream.on('end', () => {
      if (!this.isOver) this.answer(handler);
    });
    const timeout = this.headers['grpc-timeout'];
    if (timeout !== undefined) this.limit(String(timeout));
  }

  /** Ends the call without taking its message. */
  refuse(thrown: unknown): void {
    this.fail(thrown);
    this.stream.resume();
  }

  private limit(timeout: string): void {
    const match = timeoutPattern.exec(timeout);
    if (match === null)
      return this.fail(new ProtocolStatus(status.INTERNAL, `Invalid grpc-timeout value "${timeout}"`));
    const timeoutMs = Number(match[1]) * (unitMs[match[2] as string] as number);
    this.deadlineMs = Date.now() + timeoutMs;
    if (timeoutMs > timerMsMax) return;
    const late = new ProtocolStatus(status.DEADLINE_EXCEEDED, 'Deadline exceeded');
    this.timer = setTimeout(() => this.fail(late), timeoutMs);
  }

  private take(chunk: Buffer): void {
    if (this.isOver) return;
    this.chunks.push(chunk);
    this.received += chunk.length;
    const bytes = this.announced();
    if (bytes > this.messageBytesMax)
      return this.fail(tooLarge(`Received message larger than max (${bytes} vs ${this.messageBytesMax})`));
    if (this.received > prefixBytes + bytes)
      this.fail(new ProtocolStatus(status.UNIMPLEMENTED, 'Received a second message for a unary method'));
  }

  /** The length of the message as its prefix tells it; until that is here, what is here. */
  private announced(): number {
    if (this.received < prefixBytes) return this.received;
    let [first] = this.chunks;
    if (first === undefined || first.length < prefixBytes) {
      first = Buffer.concat(this.chunks);
      this.chunks = [first];
    }
    return first.readUInt32BE(1);
  }

  private answer(handler: UnaryHandler): void {
    const whole = this.chunks.length === 1 ? (this.chunks[0] as Buffer) : Buffer.concat(this.chunks);
    this.chunks = [];
    if (whole.length < prefixBytes || whole.length < prefixBytes + whole.readUInt32BE(1))
      return this.fail(new ProtocolStatus(status.UNIMPLEMENTED, 'Received no whole message for a unary method'));
    const message = whole.subarray(prefixBytes);
    const answered = whole[0] === 0 ? handler(message, this.deadlineMs) : this.inflated(message, handler);
    answered.then(
      (reply) => this.succeed(reply),
      (error: unknown) => this.fail(error),
    );
  }

  private async inflated(message: Buffer, handler: UnaryHandler): Promise<Uint8Array> {
    const encoding = this.headers['grpc-encoding'];
    return handler(await inflated(message, String(encoding), this.messageBytesMax), this.deadlineMs);
  }

  /** Headers and message leave in one segment. */
  private succeed(reply: Uint8Array): void {
    const { stream } = this;
    if (this.hasEnded) return;
    this.over();
    const framed = Buffer.allocUnsafe(prefixBytes + reply.length);
    framed[0] = 0;
    framed.writeUInt32BE(reply.length, 1);
    framed.set(reply, prefixBytes);
    stream.respond(replyHeaders, withTrailers);
    stream.once('wantTrailers', () => stream.sendTrailers(okTrailers));
    stream.end(framed);
  }

  private fail(thrown: unknown): void {
    if (this.hasEnded) return;
    this.over();
    this.stream.respond({ ...replyHeaders, ...statusHeaders(thrown) }, { endStream: true });
  }

  /** A stream may be destroyed a moment before it says so. */
  private get hasEnded(): boolean {
    return this.isOver || this.stream.destroyed || this.stream.closed;
  }

  private over(): void {
    this.isOver = true;
    this.chunks = [];
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}

function statusHeaders(thrown: unknown): OutgoingHttpHeaders {
  if (thrown instanceof ProtocolStatus)
    return { 'grpc-status': thrown.code, 'grpc-message': percentEncoded(thrown.message) };
  const { code, details, metadata } = grpcStatus(thrown);
  return { 'grpc-status': code, 'grpc-message': percentEncoded(details), ...metadata?.toHttp2Headers() };
}

const tooLarge = (why: string): ProtocolStatus => new ProtocolStatus(status.RESOURCE_EXHAUSTED, why);

/** As gRPC over HTTP/2 has it: UTF-8, of which printable ASCII but for the percent sign stands for itself. */
export function percentEncoded(text: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(text)) return text;
  const octet = (byte: number): string =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return Array.from(Buffer.from(text, 'utf8'), octet).join('');
}

function inflated(message: Buffer, encoding: string, bytesMax: number): Promise<Buffer> {
  if (encoding === 'identity') return Promise.resolve(message);
  const inflating = encoding === 'gzip' ? gunzip : encoding === 'deflate' ? inflate : null;
  if (inflating === null)
    throw new ProtocolStatus(
      status.UNIMPLEMENTED,
      `Received message compressed with unsupported encoding "${encoding}"`,
    );
  return new Promise((resolve, reject) => {
    inflating(message, { maxOutputLength: bytesMax }, (error, plain) => {
      if (error === null) resolve(plain);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
        reject(tooLarge(`Received message that decompresses to a size larger than ${bytesMax}`));
      else reject(new ProtocolStatus(status.INTERNAL, 'Failed to decompress message'));
    });
  });
}
