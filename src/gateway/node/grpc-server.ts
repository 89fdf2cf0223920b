import type { IncomingHttpHeaders } from 'node:http2';
import { invalid, VectronError } from '../../base/errors';
import { requestBytesMax } from '../../base/limits';
import { MalformedMessage, methodDefinition, vectronService } from '../../protocol/node/grpc-service';
import type { PublicMethod, ReplyOf, RequestOf, UnaryMethod } from '../../protocol/public-api';
import type { GatewayBackend } from '../calls';
import * as check from '../validate/fields';
import * as from from '../validate/from-proto';
import type { ApiKeys } from './api-keys';
import { budgetMs, withMargin } from './deadlines';
import * as reply from './proto-replies';
import type { UnaryHandler } from './unary-call';
import { type RunningServer, startUnaryServer } from './unary-server';

export interface GrpcServerOptions {
  readonly backend: GatewayBackend;
  readonly keys: ApiKeys;
  /** `host:port`; port 0: any. */
  readonly address: string;
  readonly defaults: from.CollectionDefaults;
  /** For calls without a deadline. */
  readonly timeoutMs: number;
}

/** Serves the public .proto. Throws one clear line when the address cannot be bound. */
export function startGrpcServer(options: GrpcServerOptions): Promise<RunningServer> {
  const { address, keys } = options;
  const admit = (headers: IncomingHttpHeaders): void =>
    keys.check(headers.authorization, headers['x-api-key']?.toString());
  return startUnaryServer({ address, admit, handlers: implementation(options), messageBytesMax: requestBytesMax });
}

type Handlers = { [K in UnaryMethod]?: (request: RequestOf<K>, timeoutMs: number) => Promise<ReplyOf<K>> };

function implementation(options: GrpcServerOptions): ReadonlyMap<string, UnaryHandler> {
  const handlers = handlersOf(options) as Record<string, Handler | undefined>;
  const methods = Object.keys(vectronService) as PublicMethod[];
  return new Map(
    methods.map((name) => {
      const handler = handlers[name] ?? unimplemented(name);
      return [methodDefinition(name).path, unary(name, handler, options.timeoutMs)];
    }),
  );
}

type Handler = (request: unknown, timeoutMs: number) => Promise<unknown>;

const unimplemented = (name: string) => (): Promise<never> =>
  Promise.reject(new VectronError('UNIMPLEMENTED', `${name} is not available yet`));

function unary(name: PublicMethod, handler: Handler, defaultMs: number): UnaryHandler {
  const { requestDeserialize, responseSerialize } = methodDefinition(name);
  return async (message, deadlineMs) => {
    const request = requestDeserialize(message);
    if (request instanceof MalformedMessage) throw invalid('body', request.message);
    const leftMs = Math.max(1, deadlineMs - Date.now());
    return responseSerialize(await handler(request, withMargin(budgetMs(leftMs, defaultMs))));
  };
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
