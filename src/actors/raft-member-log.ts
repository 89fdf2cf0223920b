import { assert } from '../base/assert';
import type { Incarnation, LogIndex, ReplicaId, Term } from '../base/ids';
import { replicaId } from '../base/ids';
import { type Address, lanes } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { RaftEnvelope } from '../protocol/peer-messages';
import type { Entry, HardState } from '../protocol/raft-messages';
import type { ActorContext } from '../runtime/actor';

/** Runs once a write, and all before it, are durable. */
export type Durable = (context: ActorContext) => void;

/** The hard state beside a log that starts anew after (index, term): its vote is kept only within its own term. */
export function hardStateAfter(before: HardState | null, index: LogIndex, term: Term): HardState {
  if (before === null || before.term < term) return { term, vote: replicaId(0), commit: index };
  return { ...before, commit: before.commit > index ? before.commit : index };
}

/** The term of entry `index` in a log as opened; null: not in it. */
export function termIn({ baseIndex, baseTerm, entries }: MessageOf<'log.opened'>, index: LogIndex): Term | null {
  return index === baseIndex ? baseTerm : (entries[index - baseIndex - 1]?.term ?? null);
}

/**
 * One member's conversation with its machine's log writer (DESIGN D2).
 *
 *  1. Writes are numbered from 1 within an incarnation; completions of another incarnation are dropped.
 *  2. A write's callback runs after those of all earlier writes, and never after open() was called again.
 */
export class MemberLog {
  hardState: HardState | null = null;
  private incarnation: Incarnation | null = null;
  private written = 0;
  /** Parts of a log on its way: those of one incarnation, in order. */
  private ahead: { readonly incarnation: Incarnation; readonly entries: Entry[] } | null = null;
  private readonly outstanding: { readonly write: number; readonly durable: Durable }[] = [];

  constructor(
    private readonly replica: ReplicaId,
    private readonly descriptor: Uint8Array,
    private readonly writer: Address,
  ) {}

  get waiting(): boolean {
    return this.outstanding.length > 0;
  }

  /** Drops every write that is not durable and asks for what is. */
  open(context: ActorContext): void {
    this.incarnation = null;
    this.outstanding.length = 0;
    this.send({ kind: 'log.open', replica: this.replica, descriptor: this.descriptor }, context);
  }

  openedAhead({ incarnation, entries }: MessageOf<'log.openedEntries'>): void {
    if (this.ahead?.incarnation !== incarnation) this.ahead = { incarnation, entries: [] };
    for (const entry of entries) this.ahead.entries.push(entry);
  }

  /** The whole log that was opened, with the parts that came ahead. */
  assembled(message: MessageOf<'log.opened'>): MessageOf<'log.opened'> {
    const { ahead } = this;
    this.ahead = null;
    if (ahead?.incarnation !== message.incarnation) return message;
    return { ...message, entries: [...ahead.entries, ...message.entries] };
  }

  opened(message: MessageOf<'log.opened'>): void {
    this.outstanding.length = 0;
    this.written = 0;
    this.incarnation = message.incarnation;
    this.hardState = message.hardState;
  }

  append(hardState: HardState | null, entries: readonly Entry[], durable: Durable, context: ActorContext): void {
    if (hardState !== null) this.hardState = hardState;
    this.send({ kind: 'log.append', ...this.header(durable), hardState, entries }, context);
  }

  /** Has the log writer send it once the last write, and all before it, are durable: its thread is the first to know. */
  promise(to: Address, promise: RaftEnvelope, context: ActorContext): void {
    const { replica, written: write } = this;
    this.send({ kind: 'log.promise', replica, incarnation: this.opening(), write, to, promise }, context);
  }

  /** Forgets all entries; the log begins after (index, term). */
  reset(index: LogIndex, term: Term, durable: Durable, context: ActorContext): void {
    const hardState = hardStateAfter(this.hardState, index, term);
    this.hardState = hardState;
    this.send({ kind: 'log.reset', ...this.header(durable), index, term, hardState }, context);
  }

  truncate(index: LogIndex, term: Term, context: ActorContext): void {
    const { replica } = this;
    this.send({ kind: 'log.truncate', replica, incarnation: this.opening(), index, term }, context);
  }

  appended(message: MessageOf<'log.appended'>, context: ActorContext): void {
    if (message.incarnation !== this.incarnation) return;
    for (let next = this.outstanding[0]; next && next.write <= message.write; next = this.outstanding[0]) {
      this.outstanding.shift();
      next.durable(context);
    }
  }

  private header(durable: Durable): { replica: ReplicaId; incarnation: Incarnation; write: number } {
    const write = ++this.written;
    this.outstanding.push({ write, durable });
    return { replica: this.replica, incarnation: this.opening(), write };
  }

  private opening(): Incarnation {
    assert(this.incarnation !== null, 'member log: written to before it was opened');
    return this.incarnation;
  }

  /** In the lane that is never refused: a lost append would stop the member for good. */
  private send(message: Message, context: ActorContext): void {
    context.send(this.writer, message, lanes.completion);
  }
}
