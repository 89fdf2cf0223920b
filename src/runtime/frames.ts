import { ByteReader, ByteWriter } from '../base/bytes';
import { VectronError } from '../base/errors';
import { frameBytesMax } from '../base/limits';
import { decode } from '../protocol/codec';
import { type Address, type Frame, frameCodec, type Lane, lanes } from '../protocol/envelope';
import { type Message, messageCodec } from '../protocol/messages';

/** `bounced`: a frame that comes back to its sender's thread because its link could not carry it. */
export const parcelKinds = { frame: 0, bounced: 1 } as const;
export type ParcelKind = (typeof parcelKinds)[keyof typeof parcelKinds];

/** One encoded frame in a batch. `bytes` is a view of the batch. */
export interface Parcel {
  readonly kind: ParcelKind;
  readonly bytes: Uint8Array;
}

/** A batch on its way: parcels one after the other, in the order they were sent. */
export interface Batch {
  readonly bytes: Uint8Array;
  readonly count: number;
}

/** Batches are closed at this size, so that a message kept in memory pins little beside itself. */
export const batchBytesTarget = 256 * 1024;

/** Encoders keep a buffer of up to this size between messages. */
const scratchBytesMax = 1024 * 1024;

/** Turns messages into frames through buffers that it keeps: one a thread, as a message allocates nothing then. */
export class FrameEncoder {
  private payload = new ByteWriter(4_096);
  private frame = new ByteWriter(4_096);

  /** A view that holds until the next call: copy what must last. Throws if the message is larger than a frame may be. */
  encode(to: Address, from: Address, message: Message, lane: Lane): Uint8Array {
    if (this.payload.length > scratchBytesMax) this.payload = new ByteWriter(4_096);
    if (this.frame.length > scratchBytesMax) this.frame = new ByteWriter(4_096);
    this.payload.clear();
    messageCodec.write(this.payload, message);
    this.frame.clear();
    frameCodec.write(this.frame, { lane, to, from, payload: this.payload.finish() });
    if (this.frame.length > frameBytesMax) {
      const why = `${message.kind} takes ${this.frame.length} bytes, limit ${frameBytesMax}`;
      throw new VectronError('RESOURCE_EXHAUSTED', why);
    }
    return this.frame.finish();
  }
}

/** A frame of its own. */
export const encodeFrame = (to: Address, from: Address, message: Message, lane: Lane): Uint8Array =>
  new FrameEncoder().encode(to, from, message, lane).slice();

export type RoutedFrame = Omit<Frame, 'lane'> & { readonly lane: Lane };

/** Addresses and lane; the payload stays encoded. Throws CORRUPT. */
export function openFrame(bytes: Uint8Array): RoutedFrame {
  const frame = decode(frameCodec, bytes);
  const { lane } = frame;
  if (lane === lanes.consensus || lane === lanes.completion || lane === lanes.data) return { ...frame, lane };
  throw new VectronError('CORRUPT', `malformed frame: lane ${lane}`);
}

/** Gathers parcels into batches. */
export class Batcher {
  private writer = new ByteWriter();
  private count = 0;
  /** As the last batch was, so will be the next. */
  private capacityBytes = 1_024;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  get isFull(): boolean {
    return this.writer.length >= batchBytesTarget;
  }

  add(kind: ParcelKind, frame: Uint8Array): void {
    this.writer.u8(kind);
    this.writer.lengthPrefixed(frame);
    this.count++;
  }

  /** What was added since the last call. Its buffer is nobody else's and may be transferred. */
  take(): Batch {
    const batch = { bytes: this.writer.finish(), count: this.count };
    this.capacityBytes = Math.max(1_024, Math.min(batch.bytes.length, batchBytesTarget));
    this.writer = new ByteWriter(this.capacityBytes);
    this.count = 0;
    return batch;
  }
}

/** Every parcel of a batch. Throws CORRUPT when the batch is malformed. */
export function parcelsOf(batch: Uint8Array): Parcel[] {
  const reader = new ByteReader(batch);
  const parcels: Parcel[] = [];
  while (reader.remaining > 0) {
    const kind = reader.u8();
    if (kind !== parcelKinds.frame && kind !== parcelKinds.bounced) {
      throw new VectronError('CORRUPT', `malformed batch: parcel of kind ${kind}`);
    }
    parcels.push({ kind, bytes: reader.lengthPrefixed() });
  }
  return parcels;
}
