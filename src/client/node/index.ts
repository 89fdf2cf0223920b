import { setTimeout as sleep } from 'node:timers/promises';
import { VectronClient } from '../client';
import { clientError } from '../errors';
import { type RetryPolicy, retryDefaults } from '../retry';
import { GrpcTransport } from './grpc-transport';

export interface ConnectOptions {
  /** `host:port`, or with a scheme: grpc:// and http:// without TLS, grpcs:// and https:// with it. */
  readonly url: string;
  readonly apiKey: string;
  /** Of each attempt of a call. Default 10 s. */
  readonly timeoutMs?: number;
  readonly retry?: Partial<RetryPolicy>;
}

/** A client of the gateway at `url`. Returns at once; the connection is made with the first call, or by ready(). */
export function connect({ url, apiKey, timeoutMs = 10_000, retry = {} }: ConnectOptions): VectronClient {
  const { target, tls } = parseUrl(url);
  const environment = { random: Math.random, sleep: (delayMs: number) => sleep(delayMs), wall: Date.now };
  const transport = new GrpcTransport({ target, tls, apiKey });
  return new VectronClient(transport, environment, { ...retryDefaults, ...retry }, timeoutMs);
}

function parseUrl(url: string): { readonly target: string; readonly tls: boolean } {
  const match = /^(?:(grpcs?|https?):\/\/)?([^/]+:\d+)\/?$/.exec(url);
  const target = match?.[2];
  if (target === undefined) throw clientError('INVALID_ARGUMENT', `not host:port: ${url}`, { field: 'url' });
  return { target, tls: match?.[1] === 'grpcs' || match?.[1] === 'https' };
}

export { type CallOptions, type ConnectionEvents, type ReadOptions, VectronClient } from '../client';
export * from '../errors';
export { type RetryPolicy, retryDefaults } from '../retry';
export type * from '../types';
