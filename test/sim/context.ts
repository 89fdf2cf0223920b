import type { ReplicaActor } from '../../src/actors/replica';
import type { ClusterId, ReplicaId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { FlagRange } from '../../src/protocol/flags';
import type { KeyHash } from '../../src/protocol/key-hash';
import type { ReplicaSpec } from '../../src/protocol/records';
import type { DiskOptions, LogOptions } from './options';
import type { SimThread, SimWorld } from './world';

/** A replica on one of a worker's threads. */
export interface SimReplica {
  readonly actor: ReplicaActor;
  readonly spec: ReplicaSpec;
  /** Of the actor. */
  readonly name: string;
  readonly thread: SimThread;
}

/** What every simulated process of a run shares. */
export interface SimContext {
  readonly world: SimWorld;
  readonly cluster: ClusterId;
  readonly keyHash: KeyHash;
  readonly disk: DiskOptions;
  /** Decides which replicas start slowly. */
  readonly starts: Prng;
  readonly log: LogOptions;
  readonly deadAfterMs: number;
  /** Which shard, and where, each replica id was ever given to. */
  readonly owners: Map<ReplicaId, string>;
  /** What the program of a machine supports at first. */
  readonly firstProgram: () => FlagRange;
}
