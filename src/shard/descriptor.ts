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
const descriptorCodec = struct({
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
});
export type Descriptor = TypeOf<typeof descriptorCodec>;

export const descriptorFormat = 1;

export const firstDescriptor = (shape: Pick<Descriptor, 'epoch' | 'configuration'>): Descriptor => ({
  format: descriptorFormat,
  generation: 0,
  appliedIndex: logIndex(0),
  appliedTerm: term(0),
  timeMs: 0,
  ...shape,
  points: 0,
  records: 0,
  digest: 0n,
  members: [],
});

export function encodeDescriptor(descriptor: Descriptor): Uint8Array {
  const body = encode(descriptorCodec, descriptor);
  const writer = new ByteWriter(body.length + 4);
  writer.u32(crc32c(body));
  writer.raw(body);
  return writer.finish();
}

/** Throws CORRUPT. */
export function decodeDescriptor(value: Uint8Array): Descriptor {
  const reader = new ByteReader(value);
  const checksum = reader.u32();
  const body = reader.rest();
  if (crc32c(body) !== checksum)
    throw new VectronError('CORRUPT', 'the checksum of a replica descriptor does not hold');
  const descriptor = decode(descriptorCodec, body);
  if (descriptor.format !== descriptorFormat) {
    throw new VectronError('CORRUPT', `a replica descriptor has the unknown format ${descriptor.format}`);
  }
  return descriptor;
}

/** Everything in a state that replicas must agree on, whatever store, space or member of the group holds it. */
const agreedCodec = struct({ timeMs: f64, epoch: epochCodec, points: varint, records: varint, digest: u64 });

/** 64 bits, equal for equal states at equal applied indices. */
export const stateChecksum = (descriptor: Descriptor): bigint => recordHash('', encode(agreedCodec, descriptor));
