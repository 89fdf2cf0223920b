import { assert } from '../../../src/base/assert';
import { type LogIndex, logIndex, type ReplicaId, replicaId, type Term, term } from '../../../src/base/ids';
import type { Prng } from '../../../src/base/prng';
import type { Configuration, Entry, HardState, RaftMessage, SnapshotMeta } from '../../../src/protocol/raft-messages';
import { changeIn } from '../../../src/raft/configurations';
import { Raft } from '../../../src/raft/raft';
import type { RaftOptions, Ready } from '../../../src/raft/types';

/** What survives a crash: the log store, and the state machine as of its latest sync. */
export interface Disk {
  hardState: HardState | null;
  baseIndex: LogIndex;
  baseTerm: Term;
  entries: Entry[];
  state: State;
}

/** The state machine: the terms and data it was given, so that two can be compared. */
export interface State {
  readonly index: LogIndex;
  readonly term: Term;
  readonly digest: string;
  /** Null: still that of the group's beginning. */
  readonly configuration: Configuration | null;
}

/** One step of the log store's queue; done in order. */
type Job =
  | { readonly kind: 'append'; readonly ready: Ready }
  | { readonly kind: 'reset'; readonly meta: SnapshotMeta; readonly hardState: HardState }
  | { readonly kind: 'truncate'; readonly index: LogIndex; readonly term: Term };

export interface Outside {
  sent(message: RaftMessage): void;
  /** A follower of this member needs a snapshot. */
  snapshotWanted(from: ReplicaId, to: ReplicaId): void;
  readAnswered(member: ReplicaId, context: number, index: LogIndex | null): void;
  /** The log store now holds a snapshot's beginning. */
  installed(member: ReplicaId): void;
  took?(member: ReplicaId, ready: Ready): void;
}

export type CreateRaft = (options: RaftOptions) => Raft;

export const emptyState: State = { index: logIndex(0), term: term(0), digest: '', configuration: null };
const readyMax = 10_000;

/** A host for one core: a queue of writes that completes when told, a state machine that applies when told, and crashes. */
export class TestMember {
  core: Raft | null = null;
  readonly disk: Disk;
  state: State = emptyState;
  readonly toApply: Entry[] = [];
  readonly jobs: Job[] = [];

  constructor(
    readonly id: ReplicaId,
    readonly configuration: Configuration,
    private readonly outside: Outside,
    private readonly random: Prng,
    private readonly tuning: Partial<RaftOptions> = {},
    private readonly create: CreateRaft = (options) => new Raft(options),
  ) {
    this.disk = { hardState: null, baseIndex: logIndex(0), baseTerm: term(0), entries: [], state: emptyState };
  }

  start(): void {
    const { disk } = this;
    if (termOnDisk(disk, disk.state.index) !== disk.state.term) resetDisk(disk, disk.state.index, disk.state.term);
    this.state = disk.state;
    this.core = this.create({
      self: this.id,
      hardState: disk.hardState,
      baseIndex: disk.baseIndex,
      baseTerm: disk.baseTerm,
      entries: disk.entries,
      configuration: disk.state.configuration ?? this.configuration,
      appliedIndex: disk.state.index,
      electionTicks: 10,
      heartbeatTicks: 2,
      random: this.random.fork(),
      appendBytesMax: 120,
      inflightAppendsMax: 4,
      inflightBytesMax: 4_000,
      uncommittedBytesMax: 4_000,
      ...this.tuning,
    });
  }

  /** The first `survivors` jobs reach the disk, and nobody is told. */
  crash(survivors = 0): void {
    for (const job of this.jobs.splice(0, survivors)) this.persist(job);
    this.core = null;
    this.jobs.length = 0;
    this.toApply.length = 0;
  }

  running(): Raft {
    assert(this.core !== null, `member ${this.id} is down`);
    return this.core;
  }

  /** Does all that the core asks for; an endless core is a bug. */
  drain(): void {
    for (let count = 0; this.core?.hasReady() === true; count++) {
      assert(count < readyMax, `member ${this.id} is never done`);
      this.take(this.core.ready());
    }
  }

  private take(ready: Ready): void {
    this.outside.took?.(this.id, ready);
    for (const message of ready.messages) this.outside.sent(message);
    if (ready.write > 0) this.jobs.push({ kind: 'append', ready });
    assert(
      ready.write > 0 || (ready.entries.length === 0 && ready.afterAppend.length === 0),
      'a write without a number',
    );
    this.toApply.push(...ready.committed);
    for (const { context, index } of ready.reads) this.outside.readAnswered(this.id, context, index);
    for (const to of ready.snapshotTo) this.outside.snapshotWanted(this.id, to);
  }

  /** The oldest `count` jobs are done; only the last completion is reported, as it speaks for all. */
  complete(count = this.jobs.length): void {
    let write = 0;
    for (const job of this.jobs.splice(0, count)) {
      this.persist(job);
      if (job.kind === 'append') write = job.ready.write;
      if (job.kind === 'append') for (const message of job.ready.afterAppend) this.outside.sent(message);
      if (job.kind === 'reset') this.outside.installed(this.id);
    }
    if (write > 0) this.running().appended(write);
  }

  private persist(job: Job): void {
    const { disk } = this;
    if (job.kind === 'truncate') {
      disk.entries = disk.entries.filter((entry) => entry.index > job.index);
      disk.baseIndex = job.index;
      disk.baseTerm = job.term;
    } else if (job.kind === 'reset') {
      resetDisk(disk, job.meta.index, job.meta.term);
      disk.hardState = job.hardState;
    } else {
      const first = job.ready.entries[0];
      if (first !== undefined) disk.entries = disk.entries.filter((entry) => entry.index < first.index);
      disk.entries.push(...job.ready.entries);
      if (job.ready.hardState !== null) disk.hardState = job.ready.hardState;
      checkDisk(disk);
    }
  }

  apply(count = this.toApply.length): void {
    const taken = this.toApply.splice(0, count);
    for (const entry of taken) {
      assert(entry.index === this.state.index + 1, `applied ${entry.index} after ${this.state.index}`);
      const digest = `${this.state.digest.slice(-120)}|${entry.index}.${entry.term}.${String.fromCharCode(...entry.data)}`;
      const configuration = entry.type === 'config' ? changeIn(entry).configuration : this.state.configuration;
      this.state = { index: entry.index, term: entry.term, digest, configuration };
    }
    if (taken.length > 0) this.running().applied(this.state.index);
  }

  syncState(): void {
    this.disk.state = this.state;
  }

  /** Cuts the log's head behind the synced state, but for `kept` entries. */
  truncate(kept: number): void {
    const core = this.running();
    const index = logIndex(this.disk.state.index - kept);
    const at = core.termAt(index);
    if (index <= core.baseIndex || at === null) return;
    core.truncate(index);
    this.jobs.push({ kind: 'truncate', index, term: at });
  }

  needs(meta: SnapshotMeta): boolean {
    return meta.index > this.running().commitIndex && this.running().termAt(meta.index) !== meta.term;
  }

  install(meta: SnapshotMeta, state: State): void {
    const core = this.running();
    this.toApply.length = 0;
    this.state = state;
    this.syncState();
    const before = this.newestHardState();
    core.restore(meta);
    this.jobs.push({ kind: 'reset', meta, hardState: hardStateAfter(before, meta.index, meta.term) });
  }

  private newestHardState(): HardState | null {
    const written = this.jobs.flatMap((job) =>
      job.kind === 'append' && job.ready.hardState ? [job.ready.hardState] : [],
    );
    return written[written.length - 1] ?? this.disk.hardState;
  }
}

/** The term of an entry that would be there after a crash now; null: not there. */
export function termOnDisk(disk: Disk, index: number): Term | null {
  if (index === disk.baseIndex) return disk.baseTerm;
  return disk.entries[index - disk.baseIndex - 1]?.term ?? null;
}

/** Whether a crash now would leave the entry, or a state or log that begins behind it. */
export const holdsDurably = (disk: Disk, index: LogIndex, at: Term): boolean =>
  disk.baseIndex >= index || disk.state.index >= index || termOnDisk(disk, index) === at;

function resetDisk(disk: Disk, index: LogIndex, at: Term): void {
  disk.hardState = hardStateAfter(disk.hardState, index, at);
  disk.entries = [];
  disk.baseIndex = index;
  disk.baseTerm = at;
}

function hardStateAfter(before: HardState | null, index: LogIndex, at: Term): HardState {
  if (before === null || before.term < at) return { term: at, vote: replicaId(0), commit: index };
  return { ...before, commit: logIndex(Math.max(before.commit, index)) };
}

function checkDisk({ hardState, baseIndex, entries }: Disk): void {
  for (const [i, entry] of entries.entries()) assert(entry.index === baseIndex + 1 + i, 'a gap on disk');
  const last = entries[entries.length - 1];
  assert((hardState?.commit ?? 0) <= baseIndex + entries.length, 'a hard state commits what is not on disk');
  assert((hardState?.term ?? 0) >= (last?.term ?? 0), 'an entry on disk is of a term that is not');
}
