import { ByteReader, ByteWriter } from '../base/bytes';
import { crc32c } from '../base/crc32c';
import { VectronError } from '../base/errors';
import { logIndex, term } from '../base/ids';
import { decode, encode, f64, struct, type TypeOf, u8, u64, varint } from '../protocol/codec';
import { epochCodec, logIndexCodec, termCodec } from '../protocol/ids';
import { configurationCodec } from '../protocol/raft-messages';
import { laterMembers } from '../protocol/records';
import { recordHash } from './record-digest';

/**
 * All that a replica knows about its own state beside the points: one record, written in the same batch as the points it
 * speaks of. `generation` names the space (see shard-keys); `points` counts the live ones; `digest` sums all records.
 */
const fields = {
  format: u8,
  generation: varint,
  appliedIndex: logIndexCodec,
  appliedTerm: termCodec,
  timeMs: f64,
  epoch: epochCodec,
  configuration: configurationCodec,
  points: varint,
  records: varint,
  digest: u64,
  /** Where the members are that configuration entries have named. */
  members: laterMembers,
};
const descriptorCodec = struct(fields);
const levelledCodec = struct({ ...fields, level: varint });
export type Descriptor = TypeOf<typeof descriptorCodec> & {
  /** Of flags that are on (flags.ts). In format 2 alone: at level 0 the bytes are those of programs without flags. */
  readonly level: number;
};

/** Of descriptors and snapshot headers that have a level. */
export const formatOf = (level: number): number => (level === 0 ? 1 : 2);
const formatMax = 2;

/** Throws UNSUPPORTED_VERSION. */
export function checkFormat(format: number, what: string): void {
  if (format <= formatMax) return;
  throw new VectronError('UNSUPPORTED_VERSION', `${what} has format ${format}, of a later version of this program`);
}

export const firstDescriptor = (shape: Pick<Descriptor, 'epoch' | 'configuration' | 'level'>): Descriptor => ({
  format: formatOf(shape.level),
  generation: 0,
  appliedIndex: logIndex(0),
  appliedTerm: term(0),
  timeMs: 0,
  epoch: shape.epoch,
  configuration: shape.configuration,
  level: shape.level,
  points: 0,
  records: 0,
  digest: 0n,
  members: [],
});

export function encodeDescriptor(descriptor: Descriptor): Uint8Array {
  const format = formatOf(descriptor.level);
  const body = encode(format === 1 ? descriptorCodec : levelledCodec, { ...descriptor, format });
  const writer = new ByteWriter(body.length + 4);
  writer.u32(crc32c(body));
  writer.raw(body);
  return writer.finish();
}

/** Throws CORRUPT, and UNSUPPORTED_VERSION for a format of a later version. */
export function decodeDescriptor(value: Uint8Array): Descriptor {
  const reader = new ByteReader(value);
  const checksum = reader.u32();
  const body = reader.rest();
  if (crc32c(body) !== checksum)
    throw new VectronError('CORRUPT', 'the checksum of a replica descriptor does not hold');
  checkFormat(body[0] ?? 0, 'a replica descriptor');
  return body[0] === 1 ? { ...decode(descriptorCodec, body), level: 0 } : decode(levelledCodec, body);
}

/** Everything in a state that replicas must agree on, whatever store, space or member of the group holds it. */
const agreed = { timeMs: f64, epoch: epochCodec, points: varint, records: varint, digest: u64 };
const agreedCodec = struct(agreed);
const agreedLevelledCodec = struct({ ...agreed, level: varint });

/** 64 bits, equal for equal states at equal applied indices. */
export const stateChecksum = (descriptor: Descriptor): bigint =>
  recordHash('', encode(descriptor.level === 0 ? agreedCodec : agreedLevelledCodec, descriptor));
