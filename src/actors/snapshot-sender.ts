import { crc32c } from '../base/crc32c';
import { VectronError } from '../base/errors';
import type { LogIndex, ReplicaId } from '../base/ids';
import type { MessageOf } from '../protocol/messages';
import type { Configuration, SnapshotMeta } from '../protocol/raft-messages';
import type { ActorContext } from '../runtime/actor';
import type { PeerHeader } from './raft-member-options';
import type { SnapshotSource, StateMachine } from './state-machine';

export type SnapshotChunkBody = Omit<MessageOf<'peer.snapshotChunk'>, 'kind' | keyof PeerHeader>;

export interface SnapshotSenderPort {
  readonly machine: StateMachine;
  /** As of the machine's applied index. */
  configuration(): Configuration;
  send(to: ReplicaId, body: SnapshotChunkBody, context: ActorContext): void;
  /** Once for every stream that was started and not ended by closeAll. */
  finished(to: ReplicaId, ok: boolean): void;
}

interface Stream {
  readonly to: ReplicaId;
  readonly id: number;
  readonly source: SnapshotSource;
  readonly meta: SnapshotMeta;
  chunk: number;
  data: Uint8Array;
  next: Uint8Array | null;
  ticks: number;
  resends: number;
}

const resendTicks = 20;
const resendsMax = 10;
const empty = new Uint8Array(0);

/**
 * Streams the state to followers whose next entry is gone from the log: one stream a follower, one chunk on its way at a
 * time, sent again until acknowledged. A stream ends by the acknowledgement of its last chunk, which the receiver gives
 * once the state is installed and durable; by refusal; or when resending is in vain.
 */
export class SnapshotSender {
  private readonly streams = new Map<ReplicaId, Stream>();
  private streamNext: number;

  constructor(
    private readonly port: SnapshotSenderPort,
    streamFirst: number,
  ) {
    this.streamNext = streamFirst;
  }

  /** The log must keep everything after it; null: no stream. */
  get oldestIndex(): LogIndex | null {
    let oldest: LogIndex | null = null;
    for (const { meta } of this.streams.values()) if (oldest === null || meta.index < oldest) oldest = meta.index;
    return oldest;
  }

  get isActive(): boolean {
    return this.streams.size > 0;
  }

  start(to: ReplicaId, context: ActorContext): void {
    this.drop(to);
    const source = this.port.machine.openSnapshot();
    const meta = { index: source.index, term: source.term, configuration: this.port.configuration() };
    const fresh: Stream = {
      to,
      id: this.streamNext++,
      source,
      meta,
      chunk: -1,
      data: empty,
      next: empty,
      ticks: 0,
      resends: 0,
    };
    this.streams.set(to, fresh);
    this.guarded(fresh, () => {
      fresh.next = source.chunk(0) ?? empty;
      this.advance(fresh, context);
    });
  }

  acknowledged(from: ReplicaId, ack: MessageOf<'peer.snapshotAck'>, context: ActorContext): void {
    const stream = this.streams.get(from);
    if (stream === undefined || stream.id !== ack.stream) return;
    if (ack.failed !== 0) this.end(stream, false);
    else if (ack.chunk === stream.chunk && stream.next === null) this.end(stream, true);
    else if (ack.chunk === stream.chunk) this.guarded(stream, () => this.advance(stream, context));
  }

  tick(context: ActorContext): void {
    for (const stream of [...this.streams.values()]) {
      if (++stream.ticks < resendTicks) continue;
      if (++stream.resends > resendsMax) this.end(stream, false);
      else this.send(stream, context);
    }
  }

  /** Without a word to anybody: this member no longer leads. */
  closeAll(): void {
    for (const to of [...this.streams.keys()]) this.drop(to);
  }

  private advance(stream: Stream, context: ActorContext): void {
    stream.data = stream.next ?? empty;
    stream.chunk++;
    stream.next = stream.source.chunk(stream.chunk + 1);
    stream.resends = 0;
    this.send(stream, context);
  }

  private send(stream: Stream, context: ActorContext): void {
    const { to, id, meta, chunk, data, next } = stream;
    stream.ticks = 0;
    const last = next === null ? 1 : 0;
    this.port.send(to, { meta, stream: id, chunk, last, checksum: crc32c(data), data }, context);
  }

  /** A source that was outrun by writers ends its stream; anything else is for the owner to judge. */
  private guarded(stream: Stream, read: () => void): void {
    try {
      read();
    } catch (thrown) {
      if (!(thrown instanceof VectronError) || thrown.code !== 'RESOURCE_EXHAUSTED') throw thrown;
      this.end(stream, false);
    }
  }

  private end(stream: Stream, ok: boolean): void {
    this.drop(stream.to);
    this.port.finished(stream.to, ok);
  }

  private drop(to: ReplicaId): void {
    this.streams.get(to)?.source.close();
    this.streams.delete(to);
  }
}
