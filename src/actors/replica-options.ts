import type { NodeName, ReplicaId } from '../base/ids';
import { unlinkedPointsMax } from '../base/limits';
import type { Address } from '../protocol/envelope';
import type { FlagRange } from '../protocol/flags';
import type { KeyHash } from '../protocol/key-hash';
import type { ReplicaSpec } from '../protocol/records';
import type { RaftCore, RaftOptions } from '../raft/types';
import { destroyReplicaState } from '../shard/destroy';
import { type SourceLimits, sourceLimits } from '../shard/snapshot-source';
import type { KeyValueStore } from '../storage/ports';
import type { VectorEngine } from '../vector/ports';
import { type RaftMemberTuning, raftMemberTuning } from './raft-member-options';
import type { ThreadKeeper } from './thread-keeper';

export interface ReplicaOptions {
  readonly raft: RaftMemberTuning;
  /** Of the snapshots it gives; smaller ones are for tests. */
  readonly snapshotLimits: SourceLimits;
  readonly reportMs: number;
  /** More that wait to be linked, and writes are refused; not in ingest mode. */
  readonly unlinkedPointsMax: number;
  /**
   * Ingest mode: nothing is linked, so that all there is goes to writing. Points are found by scans. No graph file is
   * written while points wait: the stamp of the last one marks what a start without this mode has to offer again and link.
   */
  readonly ingest: boolean;
  /** Points to reserve memory for at first. */
  readonly indexCapacity: number;
  /** The graph file is written when this many changes, and this share of the points, are not in it yet. */
  readonly saveChangesMin: number;
  readonly saveChangesShare: number;
  /** At most so often, and only after so long without a write; the second member waits twice, the third three times as long. */
  readonly saveIntervalMs: number;
  readonly saveQuietMs: number;
  /** A shard that is never quiet has its file written this long after the first change that the last one lacks; each member as above. */
  readonly saveOverdueMs: number;
  /** How often a replica compares its state with its peers', if anything was applied, and reads records again. */
  readonly auditMs: number;
  /** What one audit reads again at most; and the rest after all were read. */
  readonly scrubRecords: number;
  readonly scrubBytes: number;
  readonly scrubRestMs: number;
}

export const replicaOptions: ReplicaOptions = {
  raft: raftMemberTuning,
  snapshotLimits: sourceLimits,
  reportMs: 1_000,
  unlinkedPointsMax,
  ingest: false,
  indexCapacity: 4_096,
  saveChangesMin: 1_000,
  saveChangesShare: 0.1,
  saveIntervalMs: 15_000,
  saveQuietMs: 2_000,
  saveOverdueMs: 120_000,
  auditMs: 5_000,
  scrubRecords: 512,
  scrubBytes: 512 * 1024,
  scrubRestMs: 600_000,
};

/** What a replica finds on its machine. */
export interface ReplicaEnvironment {
  /** The machine's state store, shared with all its replicas. */
  readonly state: KeyValueStore;
  readonly engine: VectorEngine;
  readonly keyHash: KeyHash;
  readonly logWriter: Address;
  readonly supervisor: Address;
  /** Where graph files go; null: they are not written. */
  readonly indexDirectory: string | null;
  /** Of the thread that hosts the replica; without one it keeps its own time and never sleeps. */
  readonly keeper?: ThreadKeeper;
  /** Default: createRaft. */
  readonly createCore?: (options: RaftOptions) => RaftCore;
  /** Default: what this program supports. */
  readonly flags?: FlagRange;
  /** What differs from the defaults. */
  readonly options?: Partial<ReplicaOptions>;
}

/**
 * Machines may share a process, clusters a machine, and a process may outlive a cluster: all four name the graph in memory.
 * `home` is the machine's graph directory.
 */
export const replicaIndexKey = (
  spec: Pick<ReplicaSpec, 'cluster' | 'replica'>,
  node: NodeName,
  home: string | null = null,
): string => `${home ?? ''}:${spec.cluster}/${node}/${spec.replica}`;

export const replicaIndexPath = (directory: string | null, replica: ReplicaId): string | null =>
  directory === null ? null : `${directory}/replica-${replica}.graph`;

/** Deletes a replica's points and its graph in memory. Its actor must have ended; its log and graph file stay. */
export function destroyReplica(
  spec: Pick<ReplicaSpec, 'cluster' | 'replica'>,
  node: NodeName,
  machine: Pick<ReplicaEnvironment, 'state' | 'engine'> & Partial<Pick<ReplicaEnvironment, 'indexDirectory'>>,
): void {
  machine.engine.drop(replicaIndexKey(spec, node, machine.indexDirectory));
  destroyReplicaState(machine.state, spec.replica);
}
