import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { MethodDefinition, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { fromUtf8, utf8 } from '../../base/bytes';
import { type PublicMethod, publicMethods, publicServiceName } from '../public-api';

interface MessageCodec {
  encode(message: unknown, writer?: BinaryWriter): { finish(): Uint8Array };
  decode(input: BinaryReader): unknown;
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
    requestSerialize: (message) => encode(request, message, new BinaryWriter(strictBytes)),
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

function encode(codec: MessageCodec, message: unknown, writer?: BinaryWriter): Buffer {
  const bytes = codec.encode(message, writer).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The wire format demands valid UTF-8. Were the invalid replaced, as the library does, two ids would become one. */
function strictBytes(text: string): Uint8Array<ArrayBuffer> {
  if (/\p{Surrogate}/u.test(text)) throw new Error(`${JSON.stringify(text.slice(0, 100))} is not well-formed Unicode`);
  return Uint8Array.from(utf8(text));
}

/** A plain view: Buffer's own slice() does not copy, and pure code relies on one that does. */
const decode = (codec: MessageCodec, buffer: Buffer): unknown => {
  const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
  return codec.decode(new BinaryReader(bytes, fromUtf8));
};
