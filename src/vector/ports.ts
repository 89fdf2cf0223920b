import type { Metric } from '../protocol/records';

export interface IndexOptions {
  /** Unique in the process; an index of the same key that is still in memory is attached to, not created. */
  readonly key: string;
  readonly dimension: number;
  readonly metric: Metric;
  readonly m: number;
  readonly efConstruction: number;
  /** Points to reserve memory for; grows beyond. */
  readonly capacity: number;
}

export interface SearchResult {
  /** Best first. */
  readonly ids: readonly string[];
  /** One a hit; larger is better: cosine or dot similarity, or the negated squared euclidean distance. */
  readonly scores: Float32Array;
  readonly strategy: 'graph' | 'scan';
  /** Distances computed, the scan of unlinked points included. */
  readonly distances: number;
}

/**
 * One replica's vectors and their graph, outside the JavaScript heap. It is derived state (DESIGN D6): points arrive in
 * the order of the log but may be offered again, and an older version than the one held is ignored.
 *
 *  1. Every put point is found by the next search: those not yet linked into the graph are scanned.
 *  2. link() works for about its budget and no longer; put() never links.
 *  3. Below the threshold at which a scan is faster there is no graph, and link() has nothing to do.
 *  4. The native object outlives the thread that opened it; open() with the same key finds it again.
 */
export interface VectorIndex {
  readonly dimension: number;
  /** Live points. */
  readonly size: number;
  /** Live points not in the graph although the shard is large enough to have one. */
  readonly unlinked: number;
  readonly tombstones: number;
  readonly bytes: number;
  /** The applied index up to which every record has been offered: survives with the native object and in the file. */
  appliedIndex: number;

  /** Keeps a copy of the vector. */
  put(id: string, version: number, vector: Float32Array): void;
  remove(id: string, version: number): void;
  /** The version held for an id (also of a removal it remembers), or -1. */
  versionOf(id: string): number;
  /** Links unlinked points for about `budgetMicros`; returns how many are left. */
  link(budgetMicros: number): number;
  /** k >= 1; ef 0 chooses one. Never fewer than min(k, size) hits. */
  search(query: Float32Array, k: number, ef: number): SearchResult;
  /** Exact, by scanning all live points. */
  exact(query: Float32Array, k: number): SearchResult;
  /** Writes the graph file with header, checksum, appliedIndex, fsync and rename. Not for the serving path. */
  save(path: string): void;
  /** Gives the memory back; further calls throw. */
  destroy(): void;
}

export interface VectorEngine {
  /** Attaches to the index of this key if it is alive, else loads `path` if it holds a valid file, else creates one. */
  open(options: IndexOptions, path: string | null): VectorIndex;
  /** Destroys the index of this key, if any, wherever it was opened. */
  drop(key: string): void;
}
