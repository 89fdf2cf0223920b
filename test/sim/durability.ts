import { VectronError } from '../../src/base/errors';
import { type LogIndex, logIndex, type ReplicaId, type Term, term } from '../../src/base/ids';
import { logIndexCodec } from '../../src/protocol/ids';
import type { HardState, RaftMessage } from '../../src/protocol/raft-messages';
import { decodeDescriptor } from '../../src/shard/descriptor';
import { entryKey, hardStateKey, logRecordKey, replicaStateKey } from '../../src/storage/keys';
import { type LogRecord, readEntry, readHardState, readRecord } from '../../src/storage/log-records';
import type { MemoryDisk } from '../../src/storage/memory-disk';
import { unseal } from '../../src/storage/sealed';
import { must } from './violation';

/** What a power cut at this moment would leave of one replica's log. Reads around the log writer, and its caches. */
export class DurableLog {
  private readonly hardStateKey: Uint8Array;
  /** What the stored value was when it was last looked at, and what it says: values are immutable. */
  private stored: Uint8Array | undefined;
  private decoded: HardState | null = null;

  constructor(
    private readonly disk: Pick<MemoryDisk, 'log' | 'state'>,
    private readonly replica: ReplicaId,
  ) {
    this.hardStateKey = hardStateKey(replica);
  }

  get hardState(): HardState | null {
    const value = this.disk.log.getDurable(this.hardStateKey);
    if (value === this.stored) return this.decoded;
    this.stored = value;
    this.decoded = value === undefined ? null : readHardState({ key: this.hardStateKey, value });
    return this.decoded;
  }

  /** The term of entry `index`; `covered`: a snapshot stands for it; null: not on disk. */
  termAt(index: LogIndex): Term | 'covered' | null {
    const key = entryKey(this.replica, index);
    const value = this.disk.log.getDurable(key);
    if (value !== undefined && index > this.baseIndex) return termOf({ key, value });
    return this.isRemoved || index <= this.baseIndex || index <= this.appliedIndex ? 'covered' : null;
  }

  /** Whether the state on disk stands for entry `index`, though the log may still hold another one, that a restart drops. */
  stateCovers(index: LogIndex): boolean {
    return index <= this.appliedIndex;
  }

  /** Of the state: a restart begins its log after it, whatever the log says. */
  private get appliedIndex(): LogIndex {
    const { state } = this.disk;
    const applied = replicaStateKey(this.replica, 'applied');
    const ofPlacement = state.getDurable(applied);
    if (ofPlacement !== undefined) return logIndexCodec.read(unseal(applied, ofPlacement));
    const ofShard = state.getDurable(replicaStateKey(this.replica, 'descriptor'));
    return ofShard === undefined ? logIndex(0) : decodeDescriptor(ofShard).appliedIndex;
  }

  /** A tombstone stands for all that was promised: its shard is gone. */
  private get isRemoved(): boolean {
    return this.record?.removed === true;
  }

  private get baseIndex(): LogIndex {
    return this.record?.baseIndex ?? logIndex(0);
  }

  private get record(): LogRecord | null {
    const key = logRecordKey(this.replica);
    const value = this.disk.log.getDurable(key);
    return value === undefined ? null : readRecord({ key, value });
  }
}

/** An entry that was damaged on disk had been there: whatever promised it was no lie. */
function termOf(stored: { readonly key: Uint8Array; readonly value: Uint8Array }): Term | 'covered' {
  try {
    return readEntry(stored).term;
  } catch (thrown) {
    if (thrown instanceof VectronError && thrown.code === 'CORRUPT') return 'covered';
    throw thrown;
  }
}

/**
 * Holds a message that leaves a member against its disk: whatever it promises must be there already (Raft, 5.1: a server
 * answers only after it has updated its stable storage).
 *
 *  1. No message of a term that a crash could take back; a pre-vote speaks of a term that nobody has entered yet.
 *  2. No vote that a crash could take back and give again.
 *  3. No acknowledgement of an entry that is neither in the log nor covered by the state, on disk.
 *  4. No word of a snapshot whose state is not on disk.
 */
export function checkPromise(log: DurableLog, message: RaftMessage): void {
  if (message.kind === 'preVoteRequest' || message.kind === 'preVoteResponse') return;
  const { hardState } = log;
  const durableTerm = hardState?.term ?? term(0);
  const say = (what: string) => (): string => `${message.from} sent ${message.kind} of term ${message.term}: ${what}`;
  must(durableTerm >= message.term, say(`term ${durableTerm} is on its disk`));
  if (durableTerm > message.term) return;
  if (message.kind === 'voteRequest') must(hardState?.vote === message.from, say(`its disk has ${hardState?.vote}`));
  if (message.kind === 'voteResponse' && message.granted) {
    must(hardState?.vote === message.to, say(`its disk has a vote for ${hardState?.vote}`));
  }
  if (message.kind === 'appendResponse' && !message.rejected && message.index > 0) {
    must(log.termAt(message.index) !== null, say(`entry ${message.index} is not on its disk`));
  }
  if (message.kind === 'snapshotInstalled') {
    must(log.termAt(message.index) !== null, say(`the state of ${message.index} is not on its disk`));
  }
}
