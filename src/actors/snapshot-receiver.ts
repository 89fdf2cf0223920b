import { crc32c } from '../base/crc32c';
import { VectronError } from '../base/errors';
import { type LogIndex, logIndex, type ReplicaId } from '../base/ids';
import type { MessageOf } from '../protocol/messages';
import type { SnapshotMeta } from '../protocol/raft-messages';
import type { ActorContext } from '../runtime/actor';
import type { SnapshotSink, StateMachine } from './state-machine';

export interface SnapshotAckBody {
  readonly stream: number;
  readonly chunk: number;
  readonly failed: number;
  readonly index: LogIndex;
}

export interface SnapshotReceiverPort {
  readonly machine: StateMachine;
  /** False if the member's own log already leads to the snapshot's state. */
  needed(meta: SnapshotMeta): boolean;
  acknowledge(to: ReplicaId, body: SnapshotAckBody, context: ActorContext): void;
  /** The state machine holds the snapshot. `durable` is to run once the log starts after it, on disk. */
  installed(meta: SnapshotMeta, durable: (context: ActorContext) => void, context: ActorContext): void;
}

interface Incoming {
  readonly from: ReplicaId;
  readonly stream: number;
  readonly meta: SnapshotMeta;
  readonly sink: SnapshotSink;
  chunkNext: number;
  ticks: number;
}

interface Finished {
  readonly stream: number;
  readonly chunk: number;
  readonly index: LogIndex;
  durable: boolean;
}

const idleTicksMax = 400;

/**
 * Takes one snapshot stream at a time; the newest stream wins. A chunk that arrives damaged is dropped, as the sender
 * repeats it; one that arrives twice is acknowledged twice; a gap, or a stream this member does not know, is refused, and
 * the sender starts over. An older snapshot never replaces newer state.
 */
export class SnapshotReceiver {
  damagedCount = 0;
  private incoming: Incoming | null = null;
  /** The latest stream that ended well, to answer a repetition of its last chunk. */
  private finished: Finished | null = null;

  constructor(private readonly port: SnapshotReceiverPort) {}

  get isActive(): boolean {
    return this.incoming !== null;
  }

  chunk(message: MessageOf<'peer.snapshotChunk'>, context: ActorContext): void {
    const { from, stream, chunk, meta, data } = message;
    if (crc32c(data) !== message.checksum) {
      this.damagedCount++;
      return;
    }
    if (this.finished?.stream === stream) {
      if (this.finished.durable && this.finished.chunk === chunk) this.succeed(from, this.finished, context);
    } else if (!this.port.needed(meta)) this.refuse(message, context);
    else this.take(message, this.streamOf(message), context);
  }

  tick(): void {
    if (this.incoming !== null && ++this.incoming.ticks > idleTicksMax) this.abort();
  }

  abort(): void {
    this.incoming?.sink.abort();
    this.incoming = null;
  }

  /** The stream a chunk belongs to, begun if it is the first; null: unknown. */
  private streamOf({ from, stream, chunk, meta }: MessageOf<'peer.snapshotChunk'>): Incoming | null {
    const { incoming } = this;
    if (incoming !== null && incoming.stream === stream && incoming.from === from) return incoming;
    if (chunk !== 0) return null;
    this.abort();
    this.incoming = { from, stream, meta, sink: this.port.machine.openRestore(meta), chunkNext: 0, ticks: 0 };
    return this.incoming;
  }

  private take(message: MessageOf<'peer.snapshotChunk'>, incoming: Incoming | null, context: ActorContext): void {
    const { from, stream, chunk } = message;
    if (incoming === null || chunk > incoming.chunkNext) {
      this.refuse(message, context);
      return;
    }
    incoming.ticks = 0;
    if (chunk === incoming.chunkNext && !this.accept(incoming, message, context)) return;
    if (message.last === 0) this.port.acknowledge(from, { stream, chunk, failed: 0, index: logIndex(0) }, context);
  }

  /** False: the stream has ended, well or not. */
  private accept(incoming: Incoming, message: MessageOf<'peer.snapshotChunk'>, context: ActorContext): boolean {
    try {
      incoming.sink.accept(message.data);
      incoming.chunkNext++;
      if (message.last === 0) return true;
      incoming.sink.finish();
    } catch (thrown) {
      if (!(thrown instanceof VectronError) || thrown.code !== 'CORRUPT') throw thrown;
      this.refuse(message, context);
      return false;
    }
    this.installed(incoming, message.chunk, context);
    return false;
  }

  private installed({ from, stream, meta }: Incoming, chunk: number, context: ActorContext): void {
    const finished = { stream, chunk, index: meta.index, durable: false };
    this.incoming = null;
    this.finished = finished;
    const durable = (later: ActorContext): void => {
      finished.durable = true;
      this.succeed(from, finished, later);
    };
    this.port.installed(meta, durable, context);
  }

  private succeed(to: ReplicaId, { stream, chunk, index }: Finished, context: ActorContext): void {
    this.port.acknowledge(to, { stream, chunk, failed: 0, index }, context);
  }

  private refuse(message: MessageOf<'peer.snapshotChunk'>, context: ActorContext): void {
    const { from, stream, chunk } = message;
    if (this.incoming?.stream === stream) this.abort();
    this.port.acknowledge(from, { stream, chunk, failed: 1, index: this.port.machine.appliedIndex }, context);
  }
}
