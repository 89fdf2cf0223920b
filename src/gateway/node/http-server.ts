import type { Socket } from 'node:net';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { fromUtf8 } from '../../base/bytes';
import { VectronError } from '../../base/errors';
import { pointIdBytesMax, requestBytesMax } from '../../base/limits';
import type { GatewayBackend } from '../calls';
import * as check from '../validate/fields';
import { keyOf } from '../validate/filter';
import * as from from '../validate/from-json';
import type { CollectionDefaults } from '../validate/from-proto';
import { bodyDepthMax, parseJson } from '../validate/json';
import type { ApiKeys } from './api-keys';
import { budgetMs } from './deadlines';
import { pointOf, type RunningServer, stopMs } from './grpc-server';
import * as json from './json-replies';
import { cannotListen } from './listen';

export interface HttpServerOptions {
  readonly backend: GatewayBackend;
  readonly keys: ApiKeys;
  /** `host:port`; port 0: any. */
  readonly address: string;
  readonly defaults: CollectionDefaults;
  /** For calls without an x-timeout-ms header. */
  readonly timeoutMs: number;
  /** Larger bodies get status 413 and RESOURCE_EXHAUSTED. */
  readonly bodyBytesMax?: number;
}

/** Routes that need no key. They say nothing about data. */
const openRoutes: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/** Serves the JSON twin of the public .proto: the same calls, field names, defaults and error codes. */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningServer> {
  const app = Fastify({
    bodyLimit: options.bodyBytesMax ?? requestBytesMax,
    // A point id in a path may be percent-encoded, three characters a byte.
    routerOptions: { maxParamLength: pointIdBytesMax * 3 },
    frameworkErrors: (error, _request, reply) => sendError(reply, fromFastify(error)),
    forceCloseConnections: 'idle',
    clientErrorHandler: refuseUnreadable,
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseBody(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
  app.setErrorHandler((error, _request, reply) => sendError(reply, fromFastify(error)));
  app.setNotFoundHandler((request, reply) =>
    sendError(reply, new VectronError('NOT_FOUND', `no route ${request.method} ${request.url.slice(0, 200)}`)),
  );
  app.addHook('onRequest', async (request) => {
    if (openRoutes.has(request.routeOptions.url ?? '')) return;
    options.keys.check(request.headers.authorization, headerOf(request, 'x-api-key'));
  });
  addHealth(app, options.backend);
  addCollections(app, options);
  addIndexes(app, options);
  addPoints(app, options);
  addUnimplemented(app);
  return listen(app, options.address);
}

async function listen(app: FastifyInstance, address: string): Promise<RunningServer> {
  const at = address.lastIndexOf(':');
  const port = check.wholeNumber(Number(address.slice(at + 1)), 'httpAddress', 0, 65_535);
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  try {
    await app.listen({ host, port });
  } catch (cause) {
    throw cannotListen('HTTP', address, cause as Error);
  }
  const bound = app.server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    stop: async () => {
      // Calls under way may finish; then connections are cut.
      const timer = setTimeout(() => app.server.closeAllConnections(), stopMs);
      await app.close();
      clearTimeout(timer);
    },
  };
}

function parseBody(body: Buffer): unknown {
  if (body.length === 0) return {};
  let text: string;
  try {
    text = fromUtf8(body);
  } catch (cause) {
    throw new VectronError('INVALID_ARGUMENT', 'body: is not UTF-8', { field: 'body', cause });
  }
  return parseJson(text, 'body', bodyDepthMax);
}

/** The framework's own errors, in our catalogue. */
function fromFastify(thrown: unknown): VectronError | Error {
  if (thrown instanceof VectronError) return thrown;
  const error = thrown as FastifyError;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new BodyTooLargeError(error);
  const isClients = error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500;
  return isClients ? new VectronError('INVALID_ARGUMENT', error.message, { cause: error }) : error;
}

/** RESOURCE_EXHAUSTED as over gRPC, but with the status that HTTP has for it. */
class BodyTooLargeError extends VectronError {
  constructor(cause: Error) {
    super('RESOURCE_EXHAUSTED', 'body: is larger than the server takes', { field: 'body', cause });
  }
}

function sendError(reply: FastifyReply, thrown: unknown): FastifyReply {
  const { status, retryAfterMs, body } = json.httpError(thrown);
  if (retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(retryAfterMs / 1000));
  return reply.code(thrown instanceof BodyTooLargeError ? 413 : status).send(body);
}

/** What Node's parser could not read as a request has no route and no reply: the answer is written by hand. */
function refuseUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) return;
  const isTooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const message = isTooLarge ? 'the headers are larger than the server takes' : 'this is not HTTP';
  const { body } = json.httpError(new VectronError('INVALID_ARGUMENT', message));
  const text = JSON.stringify(body);
  const status = isTooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  );
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function timeoutOf(request: FastifyRequest, defaultMs: number): number {
  const value = headerOf(request, 'x-timeout-ms');
  return budgetMs(value === undefined ? 0 : check.timeoutMs(Number(value)), defaultMs);
}

function addHealth(app: FastifyInstance, backend: GatewayBackend): void {
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) =>
    backend.ready ? { status: 'ready' } : reply.code(503).send({ status: 'waiting for the placement driver' }),
  );
}

interface Params {
  readonly Params: { readonly name: string; readonly id: string };
  readonly Querystring: { readonly consistency?: string };
}

function addCollections(app: FastifyInstance, { backend, defaults, timeoutMs }: HttpServerOptions): void {
  app.post('/v1/collections', async (request, reply) => {
    await backend.call(from.createCollection(request.body, defaults), timeoutOf(request, timeoutMs));
    return reply.code(201).send({ success: true });
  });
  app.get('/v1/collections', async (request) => {
    const { names } = await backend.call({ kind: 'listCollections' }, timeoutOf(request, timeoutMs));
    return { collections: names };
  });
  app.get('/v1/flags', async (request) =>
    json.flagsReply(await backend.call({ kind: 'flags' }, timeoutOf(request, timeoutMs))),
  );
  app.post('/v1/capacity', async (request) =>
    json.capacityReply(await backend.call(from.capacity(request.body), timeoutOf(request, timeoutMs))),
  );
  app.patch<Params>('/v1/collections/:name', async (request) =>
    json.ttlReply(
      await backend.call(from.updateCollection(request.params.name, request.body), timeoutOf(request, timeoutMs)),
    ),
  );
  app.delete<Params>('/v1/collections/:name', async (request) => {
    const name = check.collectionName(request.params.name, 'name');
    await backend.call({ kind: 'deleteCollection', name }, timeoutOf(request, timeoutMs));
    return { success: true };
  });
  app.get<Params>('/v1/collections/:name/status', async (request) => {
    const name = check.collectionName(request.params.name, 'name');
    return json.collectionStatus(await backend.call({ kind: 'collectionStatus', name }, timeoutOf(request, timeoutMs)));
  });
}

function addIndexes(app: FastifyInstance, { backend, timeoutMs }: HttpServerOptions): void {
  const path = '/v1/collections/:name/indexes';
  app.put<Params>(path, async (request) =>
    json.indexList(
      await backend.call(from.createIndex(request.params.name, request.body), timeoutOf(request, timeoutMs)),
    ),
  );
  app.get<Params>(path, async (request) => {
    const collection = check.collectionName(request.params.name, 'collection');
    return json.indexList(await backend.call({ kind: 'listIndexes', collection }, timeoutOf(request, timeoutMs)));
  });
  app.delete<Params>(`${path}/:id`, async (request) => {
    const collection = check.collectionName(request.params.name, 'collection');
    const call = { kind: 'changeIndex', collection, key: keyOf(request.params.id, 'key'), type: null } as const;
    return json.indexList(await backend.call(call, timeoutOf(request, timeoutMs)));
  });
}

function addPoints(app: FastifyInstance, { backend, timeoutMs }: HttpServerOptions): void {
  app.post<Params>('/v1/collections/:name/points', async (request) =>
    json.writeReply(await backend.call(from.upsert(request.params.name, request.body), timeoutOf(request, timeoutMs))),
  );
  app.post<Params>('/v1/collections/:name/points/search', async (request) => {
    const { call, explain, timeoutMs: budget } = from.search(request.params.name, request.body);
    const left = timeoutOf(request, timeoutMs);
    const answer = await backend.call(call, Math.min(left, budgetMs(budget, left)));
    return json.searchReply(answer, { ...call, explain });
  });
  app.post<Params>('/v1/collections/:name/points/search/batch', async (request) => {
    const call = from.searchBatch(request.params.name, request.body);
    return json.searchBatchReply(await backend.call(call, timeoutOf(request, timeoutMs)), call.searches);
  });
  app.post<Params>('/v1/collections/:name/points/get', async (request) => {
    const call = from.getMany(request.params.name, request.body);
    const { points, served } = await backend.call(call, timeoutOf(request, timeoutMs));
    return { points: points.map((point) => json.point(point)), served: served.map(json.shardRead) };
  });
  app.post<Params>('/v1/collections/:name/points/count', async (request) => {
    const call = from.count(request.params.name, request.body);
    return json.countReply(await backend.call(call, timeoutOf(request, timeoutMs)));
  });
  app.post<Params>('/v1/collections/:name/points/scroll', async (request) => {
    const call = from.scroll(request.params.name, request.body);
    return json.scrollReply(await backend.call(call, timeoutOf(request, timeoutMs)));
  });
  app.post<Params>('/v1/collections/:name/points/delete', async (request) =>
    json.writeReply(
      await backend.call(from.removeMany(request.params.name, request.body), timeoutOf(request, timeoutMs)),
    ),
  );
  app.post<Params>('/v1/collections/:name/points/delete/by-filter', async (request) => {
    const call = from.deleteByFilter(request.params.name, request.body);
    return json.byFilterReply(await backend.call(call, timeoutOf(request, timeoutMs)));
  });
  app.post<Params>('/v1/collections/:name/points/payload/by-filter', async (request) => {
    const call = from.setPayloadByFilter(request.params.name, request.body);
    return json.byFilterReply(await backend.call(call, timeoutOf(request, timeoutMs)));
  });
  app.get<Params>('/v1/collections/:name/points/:id', async (request) => {
    const { name, id } = request.params;
    const call = from.get(name, id, request.query);
    const { points, served } = await backend.call(call, timeoutOf(request, timeoutMs));
    return json.point(pointOf(points, id), served[0]);
  });
  app.delete<Params>('/v1/collections/:name/points/:id', async (request) =>
    json.writeReply(
      await backend.call(from.remove(request.params.name, request.params.id), timeoutOf(request, timeoutMs)),
    ),
  );
}

function addUnimplemented(app: FastifyInstance): void {
  const answer = async (request: FastifyRequest): Promise<never> => {
    throw new VectronError('UNIMPLEMENTED', `${request.method} ${request.url} is not available yet`);
  };
  app.put('/v1/user/profile', answer);
  app.post('/v1/feedback', answer);
}
