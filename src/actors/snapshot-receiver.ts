import { crc32c } from '../base/crc32c';
import { VectronError } from '../base/errors';
import type { ReplicaId } from '../base/ids';
import { snapshotChunkBytesMax, snapshotChunksAheadMax } from '../base/limits';
import type { MessageOf } from '../protocol/messages';
import type { SnapshotMeta } from '../protocol/raft-messages';
import type { ActorContext } from '../runtime/actor';
import type { PeerHeader } from './raft-member-options';
import type { SnapshotSink, StateMachine } from './state-machine';

export type SnapshotProgressBody = Omit<MessageOf<'peer.snapshotProgress'>, 'kind' | keyof PeerHeader>;

export interface SnapshotReceiverPort {
  readonly machine: StateMachine;
  /** Bytes taken before they are made durable, and the sender told so. */
  readonly syncBytes: number;
  /** False if the member's own log already leads to the snapshot's state. */
  needed(meta: SnapshotMeta): boolean;
  progress(to: ReplicaId, body: SnapshotProgressBody, context: ActorContext): void;
  /** The state machine holds the snapshot. `durable` is to run once the log starts after it, on disk. */
  installed(meta: SnapshotMeta, durable: (context: ActorContext) => void, context: ActorContext): void;
}

interface Incoming {
  readonly from: ReplicaId;
  readonly stream: number;
  readonly meta: SnapshotMeta;
  readonly sink: SnapshotSink;
  /** Chunks that came before their time. */
  readonly ahead: Map<number, Chunk>;
  /** Chunks taken, and those of them that a power cut leaves. */
  received: number;
  durable: number;
  unsyncedBytes: number;
  ticks: number;
}

interface Finished {
  readonly stream: number;
  readonly chunks: number;
  durable: boolean;
}

type Chunk = MessageOf<'peer.snapshotChunk'>;

const idleTicksMax = 1_200;
/** A stream that was heard of this lately is not given up for an older one. */
const livelyTicks = 40;

/**
 * Takes one snapshot stream at a time, in the order of chunks.
 *
 *  1. A chunk that arrives damaged, or that no sender makes, is dropped, as a sender repeats its own. One that arrives twice
 *     is answered again; one that comes before its time is kept, within bounds of bytes and number, and answered with what
 *     is missing.
 *  2. A chunk counts for a stream only if it has the stream's number, sender and snapshot.
 *  3. A stream that a restart cut off goes on from what the state machine kept of it (resumeRestore); one that nobody
 *     continues is given up after a while, and its space is freed.
 *  4. An older snapshot never replaces newer state.
 */
export class SnapshotReceiver {
  damagedCount = 0;
  /** Streams taken up again after this member had started anew. */
  resumedCount = 0;
  private incoming: Incoming | null = null;
  /** The latest stream that ended well, to answer a repetition of its last chunk. */
  private finished: Finished | null = null;
  private restTicks = 0;

  constructor(private readonly port: SnapshotReceiverPort) {}

  get isActive(): boolean {
    return this.incoming !== null;
  }
  /** Chunks that wait for an earlier one. */
  get aheadCount(): number {
    return this.incoming?.ahead.size ?? 0;
  }

  chunk(message: Chunk, context: ActorContext): void {
    const { from, stream, meta, data } = message;
    if (!isPossible(message) || crc32c(data) !== message.checksum) {
      this.damagedCount++;
    } else if (this.finished?.stream === stream) {
      if (this.finished.durable) this.succeed(from, this.finished, context);
    } else if (!this.port.needed(meta) || this.isStale(message)) this.refuse(message, context);
    else this.take(message, this.streamOf(message), context);
  }

  tick(): void {
    if (this.incoming !== null) {
      if (++this.incoming.ticks > idleTicksMax) this.abort();
    } else if (++this.restTicks === idleTicksMax) this.port.machine.dropRestore?.();
  }

  /** What was taken stays for a resumption; nothing is written. */
  suspend(): void {
    this.incoming = null;
    this.restTicks = 0;
  }

  private abort(): void {
    this.incoming?.sink.abort();
    this.incoming = null;
  }

  /** A late repetition of a stream that was given up must not end the one that followed it. */
  private isStale({ from, stream, meta }: Chunk): boolean {
    const { incoming } = this;
    if (incoming === null || incoming.ticks > livelyTicks || this.isOf(incoming, from, stream, meta)) return false;
    const isOlder = meta.index < incoming.meta.index;
    return isOlder || (meta.index === incoming.meta.index && from === incoming.from && stream < incoming.stream);
  }

  private isOf(incoming: Incoming, from: ReplicaId, stream: number, meta: SnapshotMeta): boolean {
    const isSame = incoming.meta.index === meta.index && incoming.meta.term === meta.term;
    return incoming.stream === stream && incoming.from === from && isSame;
  }

  /** The stream a chunk belongs to, begun if it is the first; null: unknown. */
  private streamOf({ from, stream, chunk, meta }: Chunk): Incoming | null {
    const { incoming } = this;
    if (incoming !== null && this.isOf(incoming, from, stream, meta)) return incoming;
    const { machine } = this.port;
    const rest = machine.resumeRestore?.(meta, stream) ?? null;
    if (rest === null && chunk !== 0) return null;
    if (rest === null) this.abort();
    else this.resumedCount++;
    const sink = rest?.sink ?? machine.openRestore(meta, stream);
    const fresh = {
      from,
      stream,
      meta,
      sink,
      ahead: new Map(),
      received: rest?.chunks ?? 0,
      durable: 0,
      unsyncedBytes: 0,
      ticks: 0,
    };
    this.incoming = fresh;
    return fresh;
  }

  private take(message: Chunk, incoming: Incoming | null, context: ActorContext): void {
    const { from, stream, chunk } = message;
    if (incoming === null) {
      this.port.progress(from, { stream, received: 0, durable: 0, state: 'gap' }, context);
      return;
    }
    incoming.ticks = 0;
    if (chunk > incoming.received) this.keep(incoming, message);
    let next = chunk === incoming.received ? message : undefined;
    while (next !== undefined) {
      if (!this.accept(incoming, next, context)) return;
      next = incoming.ahead.get(incoming.received);
      incoming.ahead.delete(incoming.received);
    }
    const state = chunk > incoming.received ? 'gap' : 'streaming';
    const { received, durable } = incoming;
    this.port.progress(from, { stream, received, durable, state }, context);
  }

  /** As many bytes as a sender has on their way. */
  private keep({ ahead, received }: Incoming, message: Chunk): void {
    if (message.chunk - received > snapshotChunksAheadMax || ahead.has(message.chunk)) return;
    let bytes = message.data.length;
    for (const { data } of ahead.values()) bytes += data.length;
    if (bytes <= 2 * this.port.syncBytes) ahead.set(message.chunk, message);
  }

  /** False: the stream has ended, well or not. */
  private accept(incoming: Incoming, message: Chunk, context: ActorContext): boolean {
    try {
      incoming.sink.accept(message.data);
      incoming.received++;
      if (message.last === 0) {
        this.makeDurable(incoming, message.data.length);
        return true;
      }
      incoming.sink.finish();
    } catch (thrown) {
      if (!(thrown instanceof VectronError) || thrown.code !== 'CORRUPT') throw thrown;
      this.refuse(message, context);
      return false;
    }
    this.installed(incoming, context);
    return false;
  }

  private makeDurable(incoming: Incoming, bytes: number): void {
    incoming.unsyncedBytes += bytes;
    if (incoming.unsyncedBytes < this.port.syncBytes || incoming.sink.sync === undefined) return;
    incoming.sink.sync();
    incoming.durable = incoming.received;
    incoming.unsyncedBytes = 0;
  }

  private installed({ from, stream, meta, received }: Incoming, context: ActorContext): void {
    const finished = { stream, chunks: received, durable: false };
    this.incoming = null;
    this.finished = finished;
    const durable = (later: ActorContext): void => {
      finished.durable = true;
      this.succeed(from, finished, later);
    };
    this.port.installed(meta, durable, context);
  }

  private succeed(to: ReplicaId, { stream, chunks }: Finished, context: ActorContext): void {
    this.port.progress(to, { stream, received: chunks, durable: chunks, state: 'installed' }, context);
  }

  private refuse({ from, stream }: Chunk, context: ActorContext): void {
    if (this.incoming?.stream === stream) this.abort();
    this.port.progress(from, { stream, received: 0, durable: 0, state: 'refused' }, context);
  }
}

/** Only an empty state has an empty chunk: its only one. */
const isPossible = ({ chunk, last, data }: Chunk): boolean =>
  data.length <= snapshotChunkBytesMax && (data.length > 0 || (chunk === 0 && last === 1));
