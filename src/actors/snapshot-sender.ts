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
  /** Bytes on their way to one receiver; twice as many are kept for one that starts again. */
  readonly windowBytes: number;
  /** As of the machine's applied index. */
  configuration(): Configuration;
  send(to: ReplicaId, body: SnapshotChunkBody, context: ActorContext): void;
  /** Once for every stream that was started and not ended by closeAll. */
  finished(to: ReplicaId, ok: boolean): void;
}

interface Chunk {
  readonly n: number;
  readonly data: Uint8Array;
  readonly last: boolean;
}

interface Stream {
  readonly to: ReplicaId;
  readonly id: number;
  readonly source: SnapshotSource;
  readonly meta: SnapshotMeta;
  /** In order and without a gap: what may have to be sent again. Chunks are produced once. */
  readonly kept: Chunk[];
  produced: number;
  /** The chunk after those produced; null: they were the last. */
  next: Uint8Array | null;
  /** Chunks that the receiver has, and those that were sent to it. */
  received: number;
  sent: number;
  /** The chunk that was last sent again because a later one had come before it. */
  mended: number;
  ticks: number;
  resends: number;
}

const resendTicks = 20;
/** A link may be cut, or a receiver be down, for so many resends before the stream is given up. */
const resendsMax = 30;
const keptWindows = 2;

/**
 * Streams the state to followers whose next entry is gone from the log, one stream a follower.
 *
 *  1. At most `windowBytes` are on their way; the receiver's progress makes room for more.
 *  2. What the receiver has not made durable is kept, within a bound, so that after a cut link or a restart the stream goes on
 *     from what the receiver still has. One that has less than is kept gets a new stream from the beginning.
 *  3. A stream ends when the receiver says that the state is installed and durable; by refusal; or when resending is in
 *     vain. Nothing of one stream is ever sent under the name of another.
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
    const counts = { produced: 0, received: 0, sent: 0, mended: -1, ticks: 0, resends: 0 };
    const fresh: Stream = { to, id: this.streamNext++, source, meta, kept: [], next: null, ...counts };
    this.streams.set(to, fresh);
    this.guarded(fresh, () => {
      fresh.next = source.chunk(0) ?? new Uint8Array(0);
      this.fill(fresh, context);
    });
  }

  progressed(from: ReplicaId, progress: MessageOf<'peer.snapshotProgress'>, context: ActorContext): void {
    const stream = this.streams.get(from);
    if (stream === undefined || stream.id !== progress.stream || progress.received > stream.produced) return;
    if (progress.state === 'refused' || progress.state === 'installed')
      this.end(stream, progress.state === 'installed');
    else if (progress.received < stream.received) this.goBack(stream, progress.received, context);
    else if (progress.received > stream.received) this.advance(stream, progress, context);
    else if (progress.state === 'gap') this.mendGap(stream, context);
  }

  tick(context: ActorContext): void {
    for (const stream of [...this.streams.values()]) {
      if (++stream.ticks < resendTicks) continue;
      if (++stream.resends > resendsMax) this.end(stream, false);
      else this.resend(stream, context);
    }
  }

  /** Without a word to anybody: this member no longer leads. */
  closeAll(): void {
    for (const to of [...this.streams.keys()]) this.drop(to);
  }

  private advance(
    stream: Stream,
    { received, durable }: MessageOf<'peer.snapshotProgress'>,
    context: ActorContext,
  ): void {
    stream.received = received;
    stream.sent = Math.max(stream.sent, received);
    stream.ticks = 0;
    stream.resends = 0;
    this.forget(stream, durable);
    this.guarded(stream, () => this.fill(stream, context));
  }

  /**
   * The receiver has less than it had: it started again, or these are old news. Old news comes while there is progress; only
   * of a stream that stands still is it believed.
   */
  private goBack(stream: Stream, received: number, context: ActorContext): void {
    if (stream.resends === 0) return;
    if (received < (stream.kept[0]?.n ?? 0)) {
      this.end(stream, false);
      return;
    }
    stream.received = received;
    stream.sent = received;
    stream.ticks = 0;
    stream.resends = 0;
    this.guarded(stream, () => this.fill(stream, context));
  }

  /** The next chunk was lost, or is only late: once, it is sent again. */
  private mendGap(stream: Stream, context: ActorContext): void {
    const chunk = stream.kept.find(({ n }) => n === stream.received);
    if (chunk === undefined || stream.mended === chunk.n) return;
    stream.mended = chunk.n;
    this.send(stream, chunk, context);
  }

  /** What the receiver lacks, one chunk: its answer says how to go on. The last one when it has them all. */
  private resend(stream: Stream, context: ActorContext): void {
    const chunk = stream.kept.find(({ n }) => n === stream.received) ?? stream.kept[stream.kept.length - 1];
    if (chunk === undefined) return;
    stream.ticks = 0;
    this.send(stream, chunk, context);
  }

  private fill(stream: Stream, context: ActorContext): void {
    for (;;) {
      if (stream.sent > stream.received && this.bytesOnTheWay(stream) >= this.port.windowBytes) return;
      if (stream.sent === stream.produced && !produce(stream)) return;
      const chunk = stream.kept.find(({ n }) => n === stream.sent);
      if (chunk === undefined) return;
      stream.sent++;
      this.send(stream, chunk, context);
    }
  }

  private bytesOnTheWay({ kept, received, sent }: Stream): number {
    let bytes = 0;
    for (const { n, data } of kept) if (n >= received && n < sent) bytes += data.length;
    return bytes;
  }

  /**
   * Chunks that are durable at the receiver, which it can be of those only that it has received, and the oldest received
   * ones beyond what may be kept. The last one stays.
   */
  private forget({ kept, received }: Stream, durable: number): void {
    const safe = Math.min(durable, received);
    let bytes = kept.reduce((sum, { data }) => sum + data.length, 0);
    for (let first = kept[0]; first !== undefined && kept.length > 1; first = kept[0]) {
      const isExcess = bytes > keptWindows * this.port.windowBytes && first.n < received;
      if (first.n >= safe && !isExcess) return;
      bytes -= first.data.length;
      kept.shift();
    }
  }

  private send({ to, id, meta }: Stream, { n, data, last }: Chunk, context: ActorContext): void {
    const body = { meta, stream: id, chunk: n, last: last ? 1 : 0, checksum: crc32c(data), data };
    this.port.send(to, body, context);
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

/** False: there is no chunk more. */
function produce(stream: Stream): boolean {
  const { next: data, produced: n } = stream;
  if (data === null) return false;
  stream.next = stream.source.chunk(n + 1);
  stream.kept.push({ n, data, last: stream.next === null });
  stream.produced++;
  return true;
}
