import type { MethodDefinition, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { type PublicMethod, publicMethods, publicServiceName } from '../public-api';

interface MessageCodec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}

/** What a message that cannot be decoded becomes: the handler answers it, instead of the library with INTERNAL. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

/** The public service as grpc-js wants it. Messages are decoded as views of what was received. */
export const vectronService: ServiceDefinition<UntypedServiceImplementation> = Object.fromEntries(
  Object.keys(publicMethods).map((key) => [key, methodDefinition(key as PublicMethod)]),
);

export function methodDefinition(key: PublicMethod): MethodDefinition<unknown, unknown> {
  const { name, requestType, requestStream, responseType, responseStream } = publicMethods[key];
  const request = requestType as unknown as MessageCodec;
  const response = responseType as unknown as MessageCodec;
  return {
    path: `/${publicServiceName}/${name}`,
    originalName: key,
    requestStream,
    responseStream,
    requestSerialize: (message) => encode(request, message),
    requestDeserialize: (buffer) => {
      try {
        return decode(request, buffer);
      } catch (cause) {
        return new MalformedMessage(`not a ${name} request`, { cause });
      }
    },
    responseSerialize: (message) => encode(response, message),
    responseDeserialize: (buffer) => decode(response, buffer),
  };
}

function encode(codec: MessageCodec, message: unknown): Buffer {
  const bytes = codec.encode(message).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A plain view: Buffer's own slice() does not copy, and pure code relies on one that does. */
const decode = (codec: MessageCodec, buffer: Buffer): unknown =>
  codec.decode(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length));
