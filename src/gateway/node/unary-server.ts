import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { status } from '@grpc/grpc-js';
import { cannotListen } from './listen';
import { ProtocolStatus, UnaryCall, type UnaryHandler } from './unary-call';

export interface UnaryServerOptions {
  /** `host:port`; port 0: any. */
  readonly address: string;
  /** By the path of the call. */
  readonly handlers: ReadonlyMap<string, UnaryHandler>;
  /** Throws unless whoever sent these headers may call; asked before anything of the message is kept. */
  readonly admit: (headers: IncomingHttpHeaders) => void;
  readonly messageBytesMax: number;
}

export interface RunningServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** How long a server that stops lets calls finish. */
export const stopMs = 2_000;

/**
 * Unary gRPC straight on Node's HTTP/2: two thirds of the processor time a call of grpc-js' server, whose interceptors,
 * read queue and metadata nothing here needs. Throws one clear line when the address cannot be bound.
 */
export async function startUnaryServer(options: UnaryServerOptions): Promise<RunningServer> {
  // A message is bounded by messageBytesMax; the library's own bound, of a session, is below one large message.
  const server = createServer({ maxSessionMemory: Number.MAX_SAFE_INTEGER, settings: { enablePush: false } });
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    // It closes with its error; its calls end with it.
    session.on('error', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream, headers) => accept(stream, headers, options));
  const port = await listen(server, options.address);
  return { port, stop: () => stop(server, sessions) };
}

function accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: UnaryServerOptions): void {
  const call = new UnaryCall(stream, headers, options.messageBytesMax);
  if (headers['content-type']?.startsWith('application/grpc') !== true) {
    stream.respond({ ':status': 415 }, { endStream: true });
    stream.resume();
    return;
  }
  const handler = options.handlers.get(String(headers[':path']));
  if (handler === undefined)
    return call.refuse(new ProtocolStatus(status.UNIMPLEMENTED, `there is no method ${headers[':path']}`));
  try {
    options.admit(headers);
  } catch (error) {
    return call.refuse(error);
  }
  call.serve(handler);
}

function listen(server: Http2Server, address: string): Promise<number> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const port = Number(address.slice(at + 1));
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(cannotListen('gRPC', address, error));
    server.once('error', failed);
    try {
      server.listen({ host, port }, () => {
        server.off('error', failed);
        resolve((server.address() as AddressInfo).port);
      });
    } catch (error) {
      failed(error as Error);
    }
  });
}

/** Calls under way may finish; then connections are cut. */
function stop(server: Http2Server, sessions: ReadonlySet<ServerHttp2Session>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      for (const session of sessions) session.destroy();
    }, stopMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    for (const session of sessions) session.close();
  });
}
