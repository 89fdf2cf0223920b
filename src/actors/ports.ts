import type { ReplicaId } from '../base/ids';
import type { ReplicaSpec } from '../protocol/records';

/** How a supervisor reaches the threads of its machine. Calls return at once; outcomes come as messages and signals. */
export interface ReplicaHosts {
  /**
   * Starts the replica's actor on some live thread, after the thread that hosted it before (if any) has exited. When the
   * actor ends, for whatever reason, the supervisor hears a `down` signal with the actor's address.
   */
  start(spec: ReplicaSpec): void;
  /** Stops the actor if it runs, deletes its points and its graph, then tells the supervisor `replica.destroyed`. */
  destroy(replica: ReplicaId): void;
  /** Its tombstone is on disk: deletes the last of it, if that is still there. */
  forget(replica: ReplicaId): void;
}

/** How an actor tells its node's link whom it may be asked to reach. */
export interface Links {
  /** Adds or changes peers; a node that is not named keeps what it has. Same-process nodes have an empty address. */
  setPeers(peers: readonly { readonly node: string; readonly address: string }[]): void;
}
