import type { ClusterId, ReplicaId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { KeyHash } from '../../src/protocol/key-hash';
import type { DiskOptions, LogOptions } from './options';
import type { SimWorld } from './world';

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
}
