import { assert } from '../base/assert';
import { type LogIndex, logIndex, type ReplicaId, type Term } from '../base/ids';
import { logBatchBytesMax } from '../base/limits';
import type { HardState, RaftMessage } from '../protocol/raft-messages';
import type { RaftLog } from './log';
import type { Ready } from './types';

/** What of a member shapes its output; read, never changed, from here. */
export interface OutputState {
  readonly log: RaftLog;
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly commitIndex: LogIndex;
}

interface Write {
  readonly number: number;
  /** Up to here the log is in the store once this write is. Falls when a later write replaces entries of this one. */
  lastIndex: LogIndex;
}

/**
 * What the host has been told to do, what it has not been told yet, and what waits until it has done it. Owned by the
 * core; nobody else calls it.
 *
 *  1. No message leaves before the term and vote it was sent under are durable.
 *  2. A durable message leaves when everything that stood in the log, term and vote when it was sent is durable.
 *  3. Writes are numbered from 1 and complete in order: a completion speaks for all writes before it, and a repeated or
 *     late one changes nothing. It never speaks for an entry that a later write replaces, even if the replacement was
 *     replaced again by the same entry (the ABA of completions).
 *  4. A hard state's commit index never lies beyond the entries handed over with it or before.
 *  5. An entry is handed out as committed once, in order, and only after the own store has confirmed it.
 *  6. hasAny() is true exactly while take() would hand out something; repeating take() ends.
 */
export class Output {
  private plain: RaftMessage[] = [];
  private durably: RaftMessage[] = [];
  private held: { readonly write: number; readonly message: RaftMessage }[] = [];
  private released: RaftMessage[] = [];
  private reads: { context: number; index: LogIndex | null }[] = [];
  private snapshotTo: ReplicaId[] = [];

  private handedIndex: LogIndex;
  private handedTerm: Term;
  private handedVote: ReplicaId;
  private committedHanded: LogIndex;
  private readonly writes: Write[] = [];
  private lastWrite = 0;
  /** The write that makes the newest term and vote durable; 0: they are, as far as handed over. */
  private stateWrite = 0;
  /** The host has replaced the log by a snapshot: what is said next waits for a write behind that. */
  private writeDue = false;

  /** The state as it stands is durable. */
  constructor(
    private readonly state: OutputState,
    appliedIndex: LogIndex,
  ) {
    this.handedIndex = state.log.lastIndex;
    this.handedTerm = state.term;
    this.handedVote = state.vote;
    this.committedHanded = appliedIndex;
  }

  send(message: RaftMessage): void {
    this.plain.push(message);
  }

  sendDurably(message: RaftMessage): void {
    this.durably.push(message);
  }

  answerRead(context: number, index: LogIndex | null): void {
    this.reads.push({ context, index });
  }

  askSnapshot(to: ReplicaId): void {
    this.snapshotTo.push(to);
  }

  /** The host drops its streams by itself when leadership is lost. */
  forgetSnapshots(): void {
    this.snapshotTo = [];
  }

  get stateIsDurable(): boolean {
    return this.stateWrite === 0 && !this.stateChanged;
  }

  get hasAny(): boolean {
    return (
      this.plain.length > 0 ||
      this.durably.length > 0 ||
      this.released.length > 0 ||
      this.reads.length > 0 ||
      this.snapshotTo.length > 0 ||
      this.wantsWrite ||
      this.applicable > this.committedHanded
    );
  }

  take(): Ready {
    const { log } = this.state;
    const entries = log.slice(logIndex(this.handedIndex + 1), log.lastIndex, logBatchBytesMax);
    const write = this.wantsWrite ? this.startWrite(entries.length) : 0;
    const messages = this.released;
    const afterAppend: RaftMessage[] = [];
    const sort = (awaited: number, message: RaftMessage): void => {
      if (awaited === 0) messages.push(message);
      else if (awaited === write) afterAppend.push(message);
      else this.held.push({ write: awaited, message });
    };
    for (const message of this.plain) sort(this.stateWrite, message);
    this.plain = [];
    if (this.handedIndex === log.lastIndex) {
      for (const message of this.durably) sort(this.newestWrite, message);
      this.durably = [];
    }
    const hardState = write > 0 ? this.hardState() : null;
    const { reads, snapshotTo } = this;
    this.released = [];
    this.reads = [];
    this.snapshotTo = [];
    return { write, hardState, entries, messages, afterAppend, committed: this.takeCommitted(), snapshotTo, reads };
  }

  appended(write: number): void {
    assert(write <= this.lastWrite, () => `write ${write} is done, the last one begun is ${this.lastWrite}`);
    for (let first = this.writes[0]; first !== undefined && first.number <= write; first = this.writes[0]) {
      this.writes.shift();
      this.state.log.madeDurable(first.lastIndex);
    }
    if (write >= this.stateWrite) this.stateWrite = 0;
    if (this.held.length === 0) return;
    for (const each of this.held) if (each.write <= write) this.released.push(each.message);
    this.held = this.held.filter((each) => each.write > write);
  }

  /** The log was cut from `index` on: no write that is under way speaks for what comes there now. */
  cutFrom(index: LogIndex): void {
    const end = logIndex(index - 1);
    if (this.handedIndex > end) this.handedIndex = end;
    for (const write of this.writes) if (write.lastIndex > end) write.lastIndex = end;
  }

  /** The log was replaced by a snapshot that ends at `index`. Promises about the old log are not made any more. */
  restored(index: LogIndex): void {
    this.cutFrom(logIndex(0));
    this.handedIndex = index;
    this.committedHanded = index;
    this.durably = [];
    this.held = [];
    this.writeDue = true;
  }

  private get stateChanged(): boolean {
    return this.handedTerm !== this.state.term || this.handedVote !== this.state.vote;
  }

  /** The commit index alone is not worth a write: it travels with the next one. */
  private get wantsWrite(): boolean {
    return this.state.log.lastIndex > this.handedIndex || this.stateChanged || this.writeDue;
  }

  /** 0: no write is under way. */
  private get newestWrite(): number {
    return this.writes.length === 0 ? 0 : this.lastWrite;
  }

  private startWrite(entryCount: number): number {
    const number = ++this.lastWrite;
    if (this.stateChanged) this.stateWrite = number;
    this.handedIndex = logIndex(this.handedIndex + entryCount);
    this.handedTerm = this.state.term;
    this.handedVote = this.state.vote;
    this.writeDue = false;
    this.writes.push({ number, lastIndex: this.handedIndex });
    return number;
  }

  private hardState(): HardState {
    const { term, vote, commitIndex } = this.state;
    return { term, vote, commit: logIndex(Math.min(commitIndex, this.handedIndex)) };
  }

  private get applicable(): LogIndex {
    return logIndex(Math.min(this.state.commitIndex, this.state.log.durableIndex));
  }

  private takeCommitted(): Ready['committed'] {
    const to = this.applicable;
    if (to <= this.committedHanded) return [];
    const entries = this.state.log.slice(logIndex(this.committedHanded + 1), to, logBatchBytesMax);
    this.committedHanded = logIndex(this.committedHanded + entries.length);
    return entries;
  }
}
