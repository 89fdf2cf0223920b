import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { Client, credentials, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { VectronError } from '../../src/base/errors';
import { percentEncoded, type UnaryHandler } from '../../src/gateway/node/unary-call';
import { type RunningServer, startUnaryServer } from '../../src/gateway/node/unary-server';

const messageBytesMax = 1_000;
const echo: UnaryHandler = (message) => Promise.resolve(message);

let server: RunningServer;
let session: ClientHttp2Session;
let answer: UnaryHandler;
let asked = 0;

beforeEach(async () => {
  asked = 0;
  answer = echo;
  const handler: UnaryHandler = (message, deadlineMs) => {
    asked++;
    return answer(message, deadlineMs);
  };
  const admit = (headers: { readonly authorization?: string | undefined }): void => {
    if (headers.authorization === 'no') throw new VectronError('UNAUTHENTICATED', 'kept out');
  };
  const handlers = new Map([['/a/Echo', handler]]);
  server = await startUnaryServer({ address: '127.0.0.1:0', handlers, admit, messageBytesMax });
  session = connect(`http://127.0.0.1:${server.port}`);
});
afterEach(async () => {
  session.destroy();
  await server.stop();
});

interface Answer {
  readonly http: number;
  readonly status: number;
  readonly message: string;
  readonly body: Buffer;
}

const framed = (message: Uint8Array, flag = 0): Buffer => {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
};

function open(headers: Record<string, string> = {}): ClientHttp2Stream {
  const usual = { ':method': 'POST', ':path': '/a/Echo', 'content-type': 'application/grpc', te: 'trailers' };
  return session.request({ ...usual, ...headers });
}

/** What came back, headers and trailers together. */
function answered(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const found: Record<string, unknown> = {};
    const chunks: Buffer[] = [];
    stream.on('response', (headers) => Object.assign(found, headers));
    stream.on('trailers', (trailers) => Object.assign(found, trailers));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () =>
      resolve({
        http: Number(found[':status']),
        status: Number(found['grpc-status']),
        message: String(found['grpc-message']),
        body: Buffer.concat(chunks),
      }),
    );
  });
}

function call(body: Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
  const stream = open(headers);
  stream.end(body);
  return answered(stream);
}

const hello = Buffer.from('hello');

describe('one message for one message', () => {
  test('a call and its answer', async () => {
    const { http, status: code, body } = await call(framed(hello));
    expect([http, code]).toEqual([200, status.OK]);
    expect(body).toEqual(framed(hello));
  });

  test('an empty message, and one that comes byte by byte', async () => {
    expect((await call(framed(Buffer.alloc(0)))).body).toEqual(framed(Buffer.alloc(0)));
    const stream = open();
    const whole = answered(stream);
    for (const byte of framed(hello)) {
      stream.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    stream.end();
    expect((await whole).body).toEqual(framed(hello));
  });

  test.each([
    ['none', Buffer.alloc(0)],
    ['half a prefix', Buffer.alloc(3)],
    ['less than the prefix tells', framed(hello).subarray(0, 8)],
    ['two', Buffer.concat([framed(hello), framed(hello)])],
  ])('%s: UNIMPLEMENTED', async (_what, body) => {
    expect(await call(body)).toMatchObject({ status: status.UNIMPLEMENTED });
    expect(asked).toBe(0);
  });

  test('a message over the limit is refused from its prefix on, and the connection goes on', async () => {
    expect((await call(framed(Buffer.alloc(messageBytesMax)))).status).toBe(status.OK);
    const prefix = framed(Buffer.alloc(messageBytesMax + 1)).subarray(0, 5);
    const stream = open();
    const refused = answered(stream);
    stream.write(prefix);
    expect((await refused).status).toBe(status.RESOURCE_EXHAUSTED);
    stream.end(Buffer.alloc(200_000));
    expect((await call(framed(hello))).status).toBe(status.OK);
    expect(asked).toBe(2);
  });

  test('compressed: gzip is read, a bomb is not, nor what nobody knows', async () => {
    const gzip = { 'grpc-encoding': 'gzip' };
    expect((await call(framed(gzipSync(hello), 1), gzip)).body).toEqual(framed(hello));
    const bomb = await call(framed(gzipSync(Buffer.alloc(messageBytesMax + 1)), 1), gzip);
    expect(bomb.status).toBe(status.RESOURCE_EXHAUSTED);
    expect((await call(framed(hello, 1), gzip)).status).toBe(status.INTERNAL);
    expect((await call(framed(hello, 1), { 'grpc-encoding': 'snappy' })).status).toBe(status.UNIMPLEMENTED);
    expect(asked).toBe(1);
  });
});

describe('who is kept out', () => {
  test.each([
    ['another content type', { 'content-type': 'application/json' }, 415, Number.NaN],
    ['an unknown method', { ':path': '/a/None' }, 200, status.UNIMPLEMENTED],
    ['who is not admitted', { authorization: 'no' }, 200, status.UNAUTHENTICATED],
    ['a deadline that is none', { 'grpc-timeout': 'soon' }, 200, status.INTERNAL],
  ])('%s', async (_what, headers, http, code) => {
    expect(await call(framed(hello), headers as Record<string, string>)).toMatchObject({ http, status: code });
    expect(asked).toBe(0);
  });
});

describe('deadlines and ends', () => {
  test('the handler hears the deadline; once it has passed the call ends, and the late answer is nobody’s', async () => {
    let late: (reply: Uint8Array) => void = () => undefined;
    let heard = 0;
    answer = (_message, deadlineMs) => {
      heard = deadlineMs;
      return new Promise((resolve) => {
        late = resolve;
      });
    };
    const before = Date.now();
    expect((await call(framed(hello), { 'grpc-timeout': '80m' })).status).toBe(status.DEADLINE_EXCEEDED);
    expect(heard).toBeGreaterThanOrEqual(before + 80);
    expect(heard).toBeLessThanOrEqual(Date.now() + 80);
    late(hello);
    answer = echo;
    expect((await call(framed(hello), { 'grpc-timeout': '1H' })).status).toBe(status.OK);
  });

  test('a caller that has gone disturbs nobody', async () => {
    const reached = new Promise<(reply: Uint8Array) => void>((resolve) => {
      answer = () => new Promise((reply) => resolve(reply));
    });
    const stream = open();
    stream.on('error', () => undefined);
    stream.end(framed(hello));
    const reply = await reached;
    const closed = new Promise((resolve) => stream.on('close', resolve));
    stream.close(constants.NGHTTP2_CANCEL);
    await closed;
    reply(hello);
    answer = echo;
    expect((await call(framed(hello))).status).toBe(status.OK);
  });

  test('what a handler throws is a status whose message may be any text', async () => {
    answer = () => Promise.reject(new VectronError('NOT_FOUND', 'kein Öl: 100 %\n'));
    const { status: code, message } = await call(framed(hello));
    expect([code, decodeURIComponent(message)]).toEqual([status.NOT_FOUND, 'kein Öl: 100 %\n']);
    expect(percentEncoded('half of 😀: \ud83d')).toBe('half of %F0%9F%98%80: %EF%BF%BD');
  });

  test('a server that stops lets calls under way finish and takes no other', async () => {
    const reached = new Promise<(reply: Uint8Array) => void>((resolve) => {
      answer = () => new Promise((reply) => resolve(reply));
    });
    const whole = call(framed(hello));
    const reply = await reached;
    const stopped = server.stop();
    reply(hello);
    expect((await whole).status).toBe(status.OK);
    await stopped;
    const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const failed = await new Promise((resolve) => client.waitForReady(Date.now() + 200, resolve));
    client.close();
    expect(failed).toBeInstanceOf(Error);
  });
});
