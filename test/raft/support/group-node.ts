import { present } from '../../../src/base/assert';
import { type LogIndex, logIndex, type ReplicaId, type Term, term } from '../../../src/base/ids';
import type { Prng } from '../../../src/base/prng';
import { decode } from '../../../src/protocol/codec';
import {
  type Configuration,
  configurationChangeCodec,
  type Entry,
  type HardState,
  type RaftMessage,
  type SnapshotMeta,
} from '../../../src/protocol/raft-messages';
import { createRaft } from '../../../src/raft/core';
import type { RaftCore, RaftOptions, Ready } from '../../../src/raft/types';

/** What survives a crash. */
export interface Disk {
  hardState: HardState | null;
  baseIndex: LogIndex;
  baseTerm: Term;
  entries: Entry[];
}

export interface Snapshot {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly meta: SnapshotMeta;
  readonly applied: readonly string[];
}

export interface NodePort {
  send(message: RaftMessage): void;
  snapshot(snapshot: Snapshot): void;
  read(node: TestNode, context: number, index: LogIndex | null): void;
}

interface PendingWrite {
  readonly persist: (disk: Disk) => void;
  readonly completed: () => void;
}

export type CoreTuning = Pick<
  RaftOptions,
  | 'electionTicks'
  | 'heartbeatTicks'
  | 'appendBytesMax'
  | 'inflightAppendsMax'
  | 'inflightBytesMax'
  | 'uncommittedBytesMax'
>;

export const testTuning: CoreTuning = {
  electionTicks: 10,
  heartbeatTicks: 2,
  appendBytesMax: 4096,
  inflightAppendsMax: 8,
  inflightBytesMax: 1024 * 1024,
  uncommittedBytesMax: 1024 * 1024,
};

export interface NodeSetup {
  readonly id: ReplicaId;
  readonly configuration: Configuration;
  readonly tuning?: Partial<CoreTuning>;
  readonly random: Prng;
  readonly port: NodePort;
  /** Changes a hard state on its way to the disk: for planted bugs. */
  readonly persistHardState?: (hardState: HardState) => HardState;
}

/** What tells one entry from another. */
export const fingerprint = ({ term: at, type, data }: Entry): string =>
  `${at}:${type}:${Buffer.from(data).toString('hex')}`;

/** One member with a disk whose writes complete when the test says so, and a state machine that remembers everything. */
export class TestNode {
  readonly id: ReplicaId;
  readonly disk: Disk = { hardState: null, baseIndex: logIndex(0), baseTerm: term(0), entries: [] };
  /** Fingerprints of the applied entries, the one of index i at i - 1. */
  applied: string[] = [];
  toApply: Entry[] = [];
  pending: PendingWrite[] = [];
  private running: RaftCore | null = null;

  constructor(private readonly setup: NodeSetup) {
    this.id = setup.id;
  }

  get up(): boolean {
    return this.running !== null;
  }
  get core(): RaftCore {
    return present(this.running, `node ${this.id} is down`);
  }
  get diskLast(): LogIndex {
    return logIndex(this.disk.baseIndex + this.disk.entries.length);
  }

  /** What the state machine knows of the members, having applied up to `index`. */
  configurationAt(index: number): Configuration {
    for (const applied of this.applied.slice(0, index).reverse()) {
      const [, type, data = ''] = applied.split(':');
      if (type === 'config') return decode(configurationChangeCodec, Buffer.from(data, 'hex')).configuration;
    }
    return this.setup.configuration;
  }

  diskTermAt(index: LogIndex): Term | null {
    const { baseIndex, baseTerm, entries } = this.disk;
    return index === baseIndex ? baseTerm : (entries[index - baseIndex - 1]?.term ?? null);
  }

  /**
   * The state machine is found at `appliedIndex`, or where the log begins if that is later. A state that is ahead of its
   * log (a snapshot whose installation was cut short) starts the log anew, as a host does.
   */
  start(appliedIndex = this.applied.length): void {
    const { id, tuning, random } = this.setup;
    const applied = logIndex(Math.max(this.disk.baseIndex, appliedIndex));
    this.applied = this.applied.slice(0, applied);
    const appliedTerm = term(Number.parseInt(this.applied[applied - 1] ?? '0', 10));
    if (this.diskTermAt(applied) !== appliedTerm) resetDisk(this.disk, { index: applied, term: appliedTerm });
    const { hardState, baseIndex, baseTerm, entries } = this.disk;
    this.running = createRaft({
      self: id,
      hardState,
      baseIndex,
      baseTerm,
      entries,
      configuration: this.configurationAt(applied),
      appliedIndex: applied,
      random: random.fork(),
      ...testTuning,
      ...tuning,
    });
  }

  /** Loses everything that is not on disk. */
  crash(): void {
    this.running = null;
    this.pending = [];
    this.toApply = [];
  }

  flush(): void {
    while (this.running?.hasReady() === true) this.perform(this.running.ready());
  }

  perform(ready: Ready): void {
    const { port } = this.setup;
    const { core } = this;
    for (const message of ready.messages) port.send(message);
    if (ready.write > 0) this.beginWrite(core, ready);
    this.toApply.push(...ready.committed);
    for (const { context, index } of ready.reads) port.read(this, context, index);
    for (const to of ready.snapshotTo) port.snapshot(this.takeSnapshot(to));
  }

  private beginWrite(core: RaftCore, { write, hardState, entries, afterAppend }: Ready): void {
    const { port, persistHardState = (same) => same } = this.setup;
    this.pending.push({
      persist: (disk) => {
        if (hardState !== null) disk.hardState = persistHardState(hardState);
        const [first] = entries;
        if (first !== undefined)
          disk.entries.splice(first.index - disk.baseIndex - 1, Number.POSITIVE_INFINITY, ...entries);
      },
      completed: () => {
        for (const message of afterAppend) port.send(message);
        core.appended(write);
      },
    });
  }

  /** The oldest write reaches the disk. */
  sync(): void {
    const write = this.pending.shift();
    if (write === undefined) return;
    write.persist(this.disk);
    write.completed();
  }

  /** The oldest writes reach the disk, and then the machine stops before it can say so. */
  persistAndCrash(count: number): void {
    for (const write of this.pending.slice(0, count)) write.persist(this.disk);
    this.crash();
  }

  apply(countMax = Number.POSITIVE_INFINITY): Entry[] {
    const slice = this.toApply.splice(0, countMax);
    for (const entry of slice) {
      if (entry.index !== this.applied.length + 1)
        throw new Error(`node ${this.id} applies ${entry.index} out of order`);
      this.applied.push(fingerprint(entry));
    }
    const last = slice[slice.length - 1];
    if (last !== undefined) this.core.applied(last.index);
    return slice;
  }

  truncate(index: LogIndex): void {
    const { core } = this;
    const at = core.termAt(index);
    if (at === null || index > this.diskLast || index <= this.disk.baseIndex) return;
    core.truncate(index);
    this.disk.entries = this.disk.entries.filter((entry) => entry.index > index);
    this.disk.baseIndex = index;
    this.disk.baseTerm = at;
  }

  takeSnapshot(to: ReplicaId): Snapshot {
    const index = logIndex(this.applied.length);
    const at = present(this.core.termAt(index), 'term of the applied index');
    return {
      from: this.id,
      to,
      meta: { index, term: at, configuration: this.configurationAt(index) },
      applied: [...this.applied],
    };
  }

  needs({ index, term: at }: SnapshotMeta): boolean {
    return index > this.core.commitIndex && this.core.termAt(index) !== at;
  }

  /** As a host does: the state machine at once, the log by a write that the core does not number. */
  install({ meta, applied }: Snapshot): void {
    this.toApply = [];
    this.applied = [...applied];
    this.core.restore(meta);
    this.pending.push({
      persist: (disk) => resetDisk(disk, meta),
      completed: () => undefined,
    });
  }
}

function resetDisk(disk: Disk, { index, term: at }: Pick<SnapshotMeta, 'index' | 'term'>): void {
  const { hardState } = disk;
  disk.entries = [];
  disk.baseIndex = index;
  disk.baseTerm = at;
  if (hardState === null || hardState.term < at) disk.hardState = { term: at, vote: 0 as ReplicaId, commit: index };
  else disk.hardState = { ...hardState, commit: logIndex(Math.max(hardState.commit, index)) };
}
