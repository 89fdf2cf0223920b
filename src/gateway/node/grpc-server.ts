import {
  logVerbosity,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { invalid, VectronError } from '../../base/errors';
import { requestBytesMax } from '../../base/limits';
import { MalformedMessage, vectronService } from '../../protocol/node/grpc-service';
import type { PublicMethod, ReplyOf, RequestOf, UnaryMethod } from '../../protocol/public-api';
import type { GatewayBackend } from '../calls';
import * as check from '../validate/fields';
import * as from from '../validate/from-proto';
import type { ApiKeys } from './api-keys';
import { budgetMs, withMargin } from './deadlines';
import { grpcError, grpcStatus } from './grpc-errors';
import { cannotListen } from './listen';
import * as reply from './proto-replies';

export interface GrpcServerOptions {
  readonly backend: GatewayBackend;
  readonly keys: ApiKeys;
  /** `host:port`; port 0: any. */
  readonly address: string;
  readonly defaults: from.CollectionDefaults;
  /** For calls without a deadline. */
  readonly timeoutMs: number;
}

export interface RunningServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** How long a server that stops lets calls finish. */
export const stopMs = 2_000;

/** Serves the public .proto. Throws one clear line when the address cannot be bound. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<RunningServer> {
  // The library would print what it also hands to us, and a taken port gets one line, not three.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    'grpc.max_receive_message_length': requestBytesMax,
    'grpc.max_send_message_length': -1,
    'grpc.so_reuseport': 0,
    // Its counters are read by nobody and cost several microseconds a call.
    'grpc.enable_channelz': 0,
    interceptors: [authenticate(options.keys)],
  });
  server.addService(vectronService, implementation(options));
  const port = await bind(server, options.address);
  return { port, stop: () => stop(server) };
}

function bind(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(cannotListen('gRPC', address, error));
    });
  });
}

/** Calls under way may finish; then connections are cut. */
function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, stopMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Before the request's message is taken: a stranger cannot make us parse anything. */
function authenticate(keys: ApiKeys): ServerInterceptor {
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            try {
              keys.check(textOf(metadata.get('authorization')[0]), textOf(metadata.get('x-api-key')[0]));
            } catch (error) {
              call.sendStatus(grpcStatus(error));
              return;
            }
            proceed(metadata);
          },
        }),
    });
}

const textOf = (value: string | Buffer | undefined): string | undefined => value?.toString();

type Handlers = { [K in UnaryMethod]?: (request: RequestOf<K>, timeoutMs: number) => Promise<ReplyOf<K>> };

function implementation(options: GrpcServerOptions): UntypedServiceImplementation {
  const handlers = handlersOf(options) as Record<string, Handler | undefined>;
  const methods = Object.keys(vectronService) as PublicMethod[];
  return Object.fromEntries(
    methods.map((name) => {
      const handler = handlers[name];
      return [name, handler === undefined ? unimplemented(name) : unary(handler, options.timeoutMs)];
    }),
  );
}

type Handler = (request: unknown, timeoutMs: number) => Promise<unknown>;
type AnyCall = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

function unimplemented(name: string) {
  return (call: AnyCall, callback?: sendUnaryData<unknown>): void => {
    const error = grpcError(new VectronError('UNIMPLEMENTED', `${name} is not available yet`));
    if (callback === undefined) call.emit('error', error);
    else callback(error);
  };
}

function unary(handler: Handler, defaultMs: number) {
  return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
    answer(handler, call, defaultMs).then(
      (value) => callback(null, value),
      (error: unknown) => callback(grpcError(error)),
    );
  };
}

async function answer(handler: Handler, call: ServerUnaryCall<unknown, unknown>, defaultMs: number): Promise<unknown> {
  if (call.request instanceof MalformedMessage) throw invalid('body', call.request.message);
  const leftMs = Number(call.getDeadline()) - Date.now();
  return handler(call.request, withMargin(budgetMs(Math.max(1, leftMs), defaultMs)));
}

function handlersOf({ backend, defaults }: GrpcServerOptions): Handlers {
  return {
    createCollection: async (request, timeoutMs) => {
      await backend.call(from.createCollection(request, defaults), timeoutMs);
      return { success: true };
    },
    deleteCollection: async ({ name }, timeoutMs) => {
      await backend.call({ kind: 'deleteCollection', name: check.collectionName(name, 'name') }, timeoutMs);
      return { success: true };
    },
    listCollections: async (_request, timeoutMs) => {
      const { names } = await backend.call({ kind: 'listCollections' }, timeoutMs);
      return { names: [...names] };
    },
    getCollectionStatus: async ({ name }, timeoutMs) => {
      const call = { kind: 'collectionStatus', name: check.collectionName(name, 'name') } as const;
      return reply.collectionStatus(await backend.call(call, timeoutMs));
    },
    updateCollection: async (request, timeoutMs) => backend.call(from.updateCollection(request), timeoutMs),
    upsert: async (request, timeoutMs) => reply.writeReply(await backend.call(from.upsert(request), timeoutMs)),
    delete: async (request, timeoutMs) => reply.writeReply(await backend.call(from.remove(request), timeoutMs)),
    getCapacity: async (request, timeoutMs) =>
      reply.capacityReply(await backend.call(from.capacity(request), timeoutMs)),
    deleteByFilter: async (request, timeoutMs) =>
      reply.byFilterReply(await backend.call(from.deleteByFilter(request), timeoutMs)),
    setPayloadByFilter: async (request, timeoutMs) =>
      reply.byFilterReply(await backend.call(from.setPayloadByFilter(request), timeoutMs)),
    search: async (request, timeoutMs) => {
      const budget = Math.min(timeoutMs, budgetMs(check.timeoutMs(request.timeoutMs), timeoutMs));
      return reply.searchReply(await backend.call(from.search(request), budget), request.explain);
    },
    searchBatch: async (request, timeoutMs) => {
      const call = from.searchBatch(request);
      return reply.searchBatchReply(await backend.call(call, timeoutMs), call.searches);
    },
    count: async (request, timeoutMs) => reply.countReply(await backend.call(from.count(request), timeoutMs)),
    scroll: async (request, timeoutMs) => reply.scrollReply(await backend.call(from.scroll(request), timeoutMs)),
    createPayloadIndex: async (request, timeoutMs) =>
      reply.indexList(await backend.call(from.createIndex(request), timeoutMs)),
    dropPayloadIndex: async (request, timeoutMs) =>
      reply.indexList(await backend.call(from.dropIndex(request), timeoutMs)),
    listPayloadIndexes: async (request, timeoutMs) => {
      const collection = check.collectionName(request.collection, 'collection');
      return reply.indexList(await backend.call({ kind: 'listIndexes', collection }, timeoutMs));
    },
    get: async (request, timeoutMs) => {
      const { points, served } = await backend.call(from.get(request), timeoutMs);
      return reply.point(pointOf(points, request.id), served[0]);
    },
    getMany: async (request, timeoutMs) => {
      const { points, served } = await backend.call(from.getMany(request), timeoutMs);
      return { points: points.map((point) => reply.point(point)), served: served.map(reply.shardRead) };
    },
  };
}

/** The one point asked for, or NOT_FOUND. */
export function pointOf<T>(points: readonly T[], id: string): T {
  const [found] = points;
  if (found === undefined) throw new VectronError('NOT_FOUND', `point ${id} does not exist`, { field: 'id' });
  return found;
}
