import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { UnaryCall } from './load';

/** The messages of etcd.proto, by hand: what is not looked at is skipped. */
export interface Put {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface Status {
  readonly member: bigint;
  readonly leader: bigint;
  readonly version: string;
}

const bytesTag = (field: number): [number, WireType] => [field, WireType.LengthDelimited];
const bufferOf = (writer: BinaryWriter): Buffer => {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
};

function writePut(writer: BinaryWriter, { key, value }: Put): BinaryWriter {
  return writer
    .tag(...bytesTag(1))
    .bytes(key)
    .tag(...bytesTag(2))
    .bytes(value);
}

function encodeTxn(puts: readonly Put[]): Buffer {
  const writer = new BinaryWriter();
  for (const put of puts) {
    writer
      .tag(...bytesTag(2))
      .fork()
      .tag(...bytesTag(2))
      .fork();
    writePut(writer, put).join().join();
  }
  return bufferOf(writer);
}

/** Calls `take` for each field; it returns false for what it does not read. */
function readFields(bytes: Uint8Array, take: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!take(field, reader)) reader.skip(wireType);
  }
}

/** The revision that the write made. */
function decodeHeader(bytes: Uint8Array): { readonly member: bigint; readonly revision: bigint } {
  const header = { member: 0n, revision: 0n };
  readFields(bytes, (field, reader) => {
    if (field === 2) header.member = BigInt(reader.uint64());
    else if (field === 3) header.revision = BigInt(reader.int64());
    else return false;
    return true;
  });
  return header;
}

function decodeWritten(bytes: Uint8Array): boolean {
  let written = false;
  readFields(bytes, (field, reader) => {
    if (field !== 1) return false;
    written = decodeHeader(reader.bytes()).revision > 0n;
    return true;
  });
  return written;
}

function decodeTxn(bytes: Uint8Array): boolean {
  let succeeded = false;
  readFields(bytes, (field, reader) => {
    if (field === 2) succeeded = reader.bool();
    return field === 2;
  });
  return succeeded;
}

function decodeStatus(bytes: Uint8Array): Status {
  const status = { member: 0n, leader: 0n, version: '' };
  readFields(bytes, (field, reader) => {
    if (field === 1) status.member = decodeHeader(reader.bytes()).member;
    else if (field === 2) status.version = reader.string();
    else if (field === 4) status.leader = BigInt(reader.uint64());
    else return false;
    return true;
  });
  return status;
}

export const put: UnaryCall<Put, boolean> = {
  path: '/etcdserverpb.KV/Put',
  encode: (message) => bufferOf(writePut(new BinaryWriter(), message)),
  decode: decodeWritten,
};

export const txn: UnaryCall<readonly Put[], boolean> = {
  path: '/etcdserverpb.KV/Txn',
  encode: encodeTxn,
  decode: decodeTxn,
};

export const status: UnaryCall<null, Status> = {
  path: '/etcdserverpb.Maintenance/Status',
  encode: () => Buffer.alloc(0),
  decode: decodeStatus,
};
