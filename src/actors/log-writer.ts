import { VectronError } from '../base/errors';
import type { Incarnation, ReplicaId } from '../base/ids';
import { logBatchBytesMax, logBatchCountMax, openedEntriesBytesMax } from '../base/limits';
import { type Address, type Lane, lanes } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { Entry } from '../protocol/raft-messages';
import type { Actor, ActorContext, Signal } from '../runtime/actor';
import { LogStore, notOpened, type OpenedLog } from '../storage/log-store';
import { type KeyValueStore, type LogEngine, WriteBatch } from '../storage/ports';

export interface LogWriterOptions {
  readonly engine: LogEngine;
  /** Synced before a log's head is given up. */
  readonly state: Pick<KeyValueStore, 'sync'>;
  /** How long a truncation waits for company before the state store is synced: 1,000 to 5,000. */
  readonly stateSyncMs: number;
  readonly batchBytesMax?: number;
  readonly batchCountMax?: number;
}

type Write = MessageOf<'log.append'> | MessageOf<'log.reset'>;
type Request = Write | MessageOf<'log.open'> | MessageOf<'log.remove'> | MessageOf<'log.promise'>;

interface Queued {
  readonly request: Request;
  readonly from: Address;
}

/** One incarnation of a replica. `write` is the last write that was taken from it. */
interface Session {
  readonly incarnation: Incarnation;
  write: number;
}

type Reply = readonly [to: Address, message: Message, lane: Lane];

/**
 * Writes every Raft log of one machine: everything that waits in its mailbox becomes one batch and one sync (DESIGN D2,
 * D3). One at a time a machine; it alone uses the log engine. Members, supervisors and tests talk to it in log.* messages.
 *
 *  1. log.appended, log.opened, log.removed and what a member promises leave after the commit that holds what they speak of,
 *     never before. Promises leave first: another machine waits for them.
 *  2. log.open is a barrier: writes of that replica still in the queue are dropped, and from the new incarnation's commit
 *     on, writes of older incarnations are ignored. Nothing of them was acknowledged.
 *  3. One incarnation's writes are taken in the order of their numbers, without a gap.
 *  4. A log loses its head only after a sync of the state store that began after log.truncate came in.
 *  5. After the first failed commit or state sync nothing is acknowledged any more; every request is told log.poisoned.
 *  6. A commit holds at most batchBytesMax of entries beyond its last message, and batchCountMax messages.
 */
export class LogWriter implements Actor {
  private readonly logs: LogStore;
  private readonly sessions = new Map<ReplicaId, Session>();
  private readonly truncations = new Map<ReplicaId, MessageOf<'log.truncate'>>();
  private queue: Queued[] = [];
  private queueBytes = 0;
  private flushScheduled = false;

  constructor(private readonly options: LogWriterOptions) {
    this.logs = new LogStore(options.engine.store);
  }

  started(context: ActorContext): void {
    if (this.refusal() !== null) return;
    this.guarded(context, [], () => {
      this.logs.findOrphans();
      this.orPoison(() => this.logs.sweep());
    });
  }

  receive(message: Message, from: Address, context: ActorContext): void {
    const refusal = this.refusal();
    if (refusal === null) this.take(message, from, context);
    else this.refuse(message, from, context, refusal);
  }

  signalled(signal: Signal, context: ActorContext): void {
    if (signal.signal === 'work') this.flush(context);
    else if (signal.signal === 'timer') this.truncate(context);
  }

  stopped(): void {
    this.queue = [];
  }

  private take(message: Message, from: Address, context: ActorContext): void {
    switch (message.kind) {
      case 'log.open':
        this.dropWrites(message.replica);
        this.enqueue(message, from, context);
        break;
      case 'log.append':
      case 'log.reset':
      case 'log.remove':
      case 'log.promise':
        this.enqueue(message, from, context);
        break;
      case 'log.truncate':
        this.noteTruncation(message, context);
        break;
      case 'log.list':
        this.list(message, from, context);
        break;
      default:
        throw new VectronError('INTERNAL', `the log writer does not understand ${message.kind}`);
    }
  }

  private enqueue(request: Request, from: Address, context: ActorContext): void {
    this.queue.push({ request, from });
    if (request.kind === 'log.append') this.queueBytes += bytesOf(request);
    const { batchBytesMax = logBatchBytesMax, batchCountMax = logBatchCountMax } = this.options;
    if (this.queueBytes >= batchBytesMax || this.queue.length >= batchCountMax) this.flush(context);
    else if (!this.flushScheduled) {
      this.flushScheduled = true;
      context.later({ signal: 'work', key: 'flush' });
    }
  }

  /** The barrier: what was not committed yet never happened, so that the answer is all there is of the log. */
  private dropWrites(replica: ReplicaId): void {
    this.queue = this.queue.filter(({ request }) => request.replica !== replica || !isOfSession(request));
    this.truncations.delete(replica);
  }

  private flush(context: ActorContext): void {
    this.flushScheduled = false;
    const queue = this.queue;
    this.queue = [];
    this.queueBytes = 0;
    if (queue.length === 0) return;
    this.guarded(context, queue, () => {
      const batch = new WriteBatch();
      const replies = this.stage(queue, batch);
      if (batch.operations.length > 0) this.options.engine.commit(batch);
      for (const [to, message, lane] of replies) context.send(to, message, lane);
      this.orPoison(() => this.logs.sweep());
    });
  }

  /** Stages requests in their order; the answers are true once the batch is durable. */
  private stage(queue: readonly Queued[], batch: WriteBatch): Reply[] {
    const promises = new Map<ReplicaId, Reply[]>();
    const replies: Reply[] = [];
    const written = new Map<ReplicaId, Reply>();
    for (const { request, from } of queue) {
      const reply = (message: Message): Reply => [from, message, lanes.completion];
      if (request.kind === 'log.open') replies.push(...this.open(request, batch).map(reply));
      else if (request.kind === 'log.remove') {
        // What it wrote before goes with the same batch: it was never on disk.
        promises.delete(request.replica);
        replies.push(reply(this.remove(request.replica, batch)));
      } else if (request.kind === 'log.promise') {
        if (this.holds(request)) addTo(promises, request);
      } else {
        const message = this.write(request, batch);
        if (message !== null) written.set(request.replica, reply(message));
      }
    }
    return [...[...promises.values()].flat(), ...replies, ...written.values()];
  }

  /** Whether the write was taken: it is on disk already, or with the batch that is being staged. */
  private holds({ replica, incarnation, write }: MessageOf<'log.promise'>): boolean {
    const session = this.sessions.get(replica);
    return session?.incarnation === incarnation && write <= session.write;
  }

  private open({ replica, descriptor }: MessageOf<'log.open'>, batch: WriteBatch): Message[] {
    const log = this.logs.open(batch, replica, descriptor);
    if (log.outcome === 'ready') this.sessions.set(replica, { incarnation: log.incarnation, write: 0 });
    else this.sessions.delete(replica);
    return openedInParts(replica, log);
  }

  private remove(replica: ReplicaId, batch: WriteBatch): Message {
    this.logs.remove(batch, replica);
    this.sessions.delete(replica);
    this.truncations.delete(replica);
    return { kind: 'log.removed', replica };
  }

  private write(request: Write, batch: WriteBatch): Message | null {
    const { replica, incarnation, write } = request;
    const session = this.sessions.get(replica);
    if (session?.incarnation !== incarnation || write <= session.write) return null;
    if (write !== session.write + 1) return this.endSession(replica, session.write, write);
    session.write = write;
    if (request.kind === 'log.append') this.logs.append(batch, replica, request.hardState, request.entries);
    else this.logs.reset(batch, replica, request.index, request.term, request.hardState);
    return { kind: 'log.appended', replica, incarnation, write };
  }

  /** A write was lost on its way: what follows it must not be taken, and the member must open its log anew. */
  private endSession(replica: ReplicaId, last: number, write: number): Message {
    this.sessions.delete(replica);
    return { kind: 'log.poisoned', reason: `replica ${replica}: write ${write} came after write ${last}` };
  }

  private list(message: MessageOf<'log.list'>, from: Address, context: ActorContext): void {
    this.flush(context);
    const refusal = this.refusal();
    if (refusal !== null) {
      this.refuse(message, from, context, refusal);
      return;
    }
    const replicas = this.logs.list();
    context.send(from, { kind: 'log.listed', request: message.request, replicas }, lanes.completion);
  }

  private noteTruncation(message: MessageOf<'log.truncate'>, context: ActorContext): void {
    if (this.truncations.size === 0) {
      context.setTimer('truncate', this.options.stateSyncMs, { signal: 'timer', key: 'truncate' });
    }
    const noted = this.truncations.get(message.replica);
    const newer = noted === undefined || noted.incarnation < message.incarnation || noted.index < message.index;
    if (newer) this.truncations.set(message.replica, message);
  }

  private truncate(context: ActorContext): void {
    this.flush(context);
    if (this.refusal() !== null) return;
    const truncations = [...this.truncations.values()];
    this.truncations.clear();
    this.guarded(context, [], () => {
      this.orPoison(() => this.options.state.sync());
      const batch = new WriteBatch();
      for (const { replica, incarnation, index, term } of truncations) {
        if (this.sessions.get(replica)?.incarnation === incarnation) this.logs.truncate(batch, replica, index, term);
      }
      if (batch.operations.length > 0) this.options.engine.commit(batch);
      this.orPoison(() => this.logs.sweep());
    });
  }

  /** Work outside a commit whose failure leaves it open what is on disk: it is as final as a failed commit. */
  private orPoison(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.options.engine.poison();
      throw error;
    }
  }

  /** Runs store work. A store that failed is reported to everybody who waits; anything else is a bug and goes on up. */
  private guarded(context: ActorContext, waiting: readonly Queued[], work: () => void): void {
    try {
      work();
    } catch (error) {
      const refusal = this.refusal();
      if (refusal === null) throw error;
      for (const { request, from } of waiting) this.refuse(request, from, context, refusal);
    }
  }

  /** Why nothing can be written, or null. */
  private refusal(): string | null {
    const { engine } = this.options;
    if (engine.corruption !== null) return engine.corruption;
    return engine.poisoned ? 'a write to this machine’s stores failed' : null;
  }

  /** In a corrupt store every log is corrupt; otherwise the requester hears that the store is of no use any more. */
  private refuse(message: Message, from: Address, context: ActorContext, reason: string): void {
    const corrupt = this.options.engine.corruption !== null && message.kind === 'log.open';
    const reply: Message = corrupt ? opened(message.replica, notOpened('corrupt')) : { kind: 'log.poisoned', reason };
    context.send(from, reply, lanes.completion);
  }
}

function addTo(promises: Map<ReplicaId, Reply[]>, { replica, to, promise }: MessageOf<'log.promise'>): void {
  const before = promises.get(replica) ?? [];
  promises.set(replica, [...before, [to, { kind: 'peer.raft', ...promise }, lanes.consensus]]);
}

const isOfSession = ({ kind }: Request): boolean =>
  kind === 'log.append' || kind === 'log.reset' || kind === 'log.promise';

function bytesOf({ entries }: MessageOf<'log.append'>): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length;
  return bytes;
}

/** A log may be longer than what a frame takes: all but its end travels ahead. */
function openedInParts(replica: ReplicaId, log: OpenedLog): Message[] {
  const { incarnation } = log;
  const parts: Entry[][] = [[]];
  let bytes = 0;
  for (const entry of log.entries) {
    bytes += entry.data.length;
    if (bytes > openedEntriesBytesMax) {
      parts.push([]);
      bytes = entry.data.length;
    }
    parts[parts.length - 1]?.push(entry);
  }
  const rest = parts.pop() ?? [];
  const ahead = parts.map((entries): Message => ({ kind: 'log.openedEntries', replica, incarnation, entries }));
  return [...ahead, opened(replica, { ...log, entries: rest })];
}

function opened(replica: ReplicaId, { reason: _, ...log }: OpenedLog): Message {
  return { ...log, kind: 'log.opened', replica };
}
