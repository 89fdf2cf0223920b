import {
  type ChannelCredentials,
  Client,
  connectivityState,
  credentials,
  Metadata,
  type MetadataValue,
  type ServiceError,
} from '@grpc/grpc-js';
import { EventEmitter } from 'eventemitter3';
import { requestBytesMax } from '../../base/limits';
import { ErrorDetail } from '../../protocol/generated/vectron/v1/vectron';
import { methodDefinition } from '../../protocol/node/grpc-service';
import { errorMetadata, type ReplyOf, type RequestOf, type UnaryMethod } from '../../protocol/public-api';
import type { ConnectionEvents, Transport } from '../client';
import { clientError, codeOfGrpc, errorOfDetail, type VectronClientError } from '../errors';

export interface GrpcTransportOptions {
  /** `host:port` */
  readonly target: string;
  readonly apiKey: string;
  /** Over TLS with the system's authorities. Default false. */
  readonly tls: boolean;
}

/** One HTTP/2 connection to a gateway; grpc-js reconnects it by itself. */
export class GrpcTransport implements Transport {
  readonly events = new EventEmitter<ConnectionEvents>();
  private readonly client: Client;
  private closed = false;

  constructor(private readonly options: GrpcTransportOptions) {
    this.client = new Client(options.target, channelCredentials(options.tls), {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': requestBytesMax,
      // With the default of 64 KiB an answer full of vectors would wait for a round trip every few points.
      'grpc-node.flow_control_window': 4 * 1024 * 1024,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      // A gateway that was restarted is found again within a second, not after a long back-off.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
    });
    this.follow(connectivityState.IDLE);
  }

  unary<K extends UnaryMethod>(method: K, request: RequestOf<K>, timeoutMs: number): Promise<ReplyOf<K>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.options.apiKey}`);
    const deadline = Date.now() + timeoutMs;
    return new Promise((resolve, reject) => {
      const bytes = serialized(requestSerialize, request);
      this.client.makeUnaryRequest(
        path,
        (ready: Buffer) => ready,
        responseDeserialize as (buffer: Buffer) => ReplyOf<K>,
        bytes,
        metadata,
        { deadline },
        (error, reply) => {
          if (error !== null) reject(errorOf(error));
          else if (reply === undefined) reject(clientError('INTERNAL', 'an answer without a message'));
          else resolve(reply);
        },
      );
    });
  }

  ready(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.client.waitForReady(Date.now() + timeoutMs, (cause) => {
        if (cause === undefined) resolve();
        else reject(clientError('UNAVAILABLE', `no gateway answers at ${this.options.target}`, { cause }));
      });
    });
  }

  close(): void {
    this.closed = true;
    this.client.close();
  }

  /** Turns the channel's states into events. An endless deadline holds no timer. */
  private follow(known: connectivityState): void {
    const channel = this.client.getChannel();
    channel.watchConnectivityState(known, Number.POSITIVE_INFINITY, () => {
      if (this.closed) return;
      const state = channel.getConnectivityState(false);
      if (state === connectivityState.READY) this.events.emit('connected');
      else if (known === connectivityState.READY) this.events.emit('disconnected');
      this.follow(state);
    });
  }
}

/** What the format cannot express, such as a dimension of 2.5, is the caller's mistake; the library calls it INTERNAL. */
function serialized(serialize: (request: unknown) => Buffer, request: unknown): Buffer {
  try {
    return serialize(request);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw clientError('INVALID_ARGUMENT', `the request cannot be sent: ${why}`, { cause });
  }
}

const channelCredentials = (tls: boolean): ChannelCredentials =>
  tls ? credentials.createSsl() : credentials.createInsecure();

/** The server's detail where there is one; otherwise what the transport says. */
function errorOf(error: ServiceError): VectronClientError {
  const detail = detailOf(error.metadata.get(errorMetadata.detail)[0]);
  if (detail === null) return clientError(codeOfGrpc(error.code), error.details, { cause: error });
  return errorOfDetail(detail, codeOfGrpc(error.code), error);
}

function detailOf(value: MetadataValue | undefined): ErrorDetail | null {
  if (!(value instanceof Uint8Array)) return null;
  try {
    return ErrorDetail.decode(new Uint8Array(value.buffer, value.byteOffset, value.length));
  } catch {
    // A detail of a later version than ours: the status alone must do.
    return null;
  }
}
