import type { Metric, Originals, Quantisation } from '../protocol/records';
import type { IndexMemory } from './capacity';

export interface IndexOptions {
  /** Unique in the process; an index of the same key that is still in memory is attached to, not created. */
  readonly key: string;
  readonly dimension: number;
  readonly metric: Metric;
  readonly m: number;
  readonly efConstruction: number;
  /** Points to reserve memory for; grows beyond. */
  readonly capacity: number;
  /** Default: `memory`. On disk, which takes a path, vectors are in a file that is mapped, and only their codes in memory. */
  readonly originals?: Originals;
  /** Default: `int8`. With `none` there are no codes, and walks and links measure vectors in float32. */
  readonly quantisation?: Quantisation;
}

/** How the writing of a graph file ended: the applied index it is of, or null when it could not be written. */
export interface SaveOutcome {
  readonly appliedIndex: number | null;
}

/**
 * A set of labels, as a bitmap (bit `label % 32` of `words[label >>> 5]`; labels beyond its end are not in it) or as a
 * list in any order without repeats. Labels that no live point has, and those beyond labelCount, are passed over.
 */
export type LabelSet = { readonly words: Uint32Array } | { readonly labels: Uint32Array };

/**
 * How the points of a set are searched.
 *  - scan: compare every one, in 8 bits, and rank the best again exactly. Cost follows the size of the set alone.
 *  - walk: walk the graph as if there were no set, collecting those in it. Good when many are in it, near the query.
 *  - twoHop: walk among the set's points only, stepping over others to their neighbours. Good in between.
 */
export type AllowedStrategy = 'scan' | 'walk' | 'twoHop';

export interface SearchOptions {
  /** Candidates a walk keeps; never fewer than k. 0 or absent: chosen from k. */
  readonly ef?: number;
  /** False: vectors are measured in float32 instead of 8-bit codes, as where there are none. Absent: true. */
  readonly quantised?: boolean;
  /** Only these points may be found. */
  readonly allowed?: LabelSet;
  /** Of use with `allowed` only. Absent: scan. Without a graph it is a scan whatever is asked. */
  readonly strategy?: AllowedStrategy;
  /** Distances after which a walk with `allowed` is given up for a scan. 0 or absent: as many as the set has points. */
  readonly distancesMax?: number;
}

export interface SearchResult {
  /** Best first. */
  readonly ids: readonly string[];
  /** One a hit; larger is better: cosine or dot similarity, or the negated squared euclidean distance. */
  readonly scores: Float32Array;
  /** What found the hits. `graph` is the walk without a set. */
  readonly strategy: 'graph' | AllowedStrategy;
  /** A walk was begun, and given up for the scan: it found too few, or computed too many distances. */
  readonly fellBack: boolean;
  /** Distances computed, the scan of unlinked points included. */
  readonly distances: number;
  /** Points looked at: those measured, and those only asked whether they are in the set. */
  readonly visited: number;
  /** The points of the set, or of the index without one: a scan counts the live ones, a walk the labels. */
  readonly matches: number;
  /** 0 where there is no clock. */
  readonly micros: number;
}

/** Of `expected` nearest points `found` were found. Both only grow. */
export interface RecallFigures {
  readonly expected: number;
  readonly found: number;
}

/**
 * One replica's vectors and their graph, outside the JavaScript heap. It is derived state (DESIGN D6): points arrive in
 * the order of the log but may be offered again, and an older version than the one held is ignored.
 *
 *  1. Every put point is found by the next search: those not yet linked into the graph are scanned.
 *  2. link() works for about its budget and no longer, linkInBackground() returns at once; put() never links.
 *  3. Below the threshold at which a scan is faster there is no graph, and link() has nothing to do.
 *  4. The native object outlives the thread that opened it; open() with the same key finds it again.
 *  5. Each live point has a label: a small whole number, dense, the same for as long as the point is live, whatever
 *     versions it goes through and however the graph is rebuilt. A removal frees the label, and a later put may give it
 *     to another point: whoever keeps sets of labels drops a freed one before the next put. Labels are those of one
 *     native object: they survive its threads, not the process, and are not in the file. After open(), ask labelOf() anew
 *     (a replica that reattaches finds the labels it left).
 */
export interface VectorIndex {
  readonly dimension: number;
  /** Its file is still being read. Everything else waits for the end of that: who may not wait asks first. */
  readonly loading: boolean;
  /** Live points. */
  readonly size: number;
  /** Live points not in the graph although the shard is large enough to have one. */
  readonly unlinked: number;
  readonly tombstones: number;
  readonly bytes: number;
  /** Of real searches, a few of which are answered again exactly in the background. */
  readonly recall: RecallFigures;
  /** The applied index up to which every record has been offered: survives with the native object and in the file. */
  appliedIndex: number;

  /** Keeps a copy of the vector. Gives the point's label; -1 if a newer removal is remembered, so that there is none. */
  put(id: string, version: number, vector: Float32Array): number;
  /** The label this freed, or -1: the point was not live, or a newer version of it is. */
  remove(id: string, version: number): number;
  /** The version held for an id (also of a removal it remembers), or -1. */
  versionOf(id: string): number;
  /** All labels in use are below it. Freed ones are given out again before it grows. */
  readonly labelCount: number;
  /** The label of a live point, or -1. */
  labelOf(id: string): number;
  /** The point that has this label, or null. */
  idOf(label: number): string | null;
  /** Links unlinked points for about `budgetMicros`; returns how many are left. */
  link(budgetMicros: number): number;
  /** Lets threads of low priority link what is unlinked, and replace a graph that has too many tombstones. */
  linkInBackground(): void;
  /** k >= 1. Never fewer than min(k, size) hits, or with a set min(k, live points in it). */
  search(query: Float32Array, k: number, options?: SearchOptions): SearchResult;
  /** Exact, by scanning all live points, or those of the set. */
  exact(query: Float32Array, k: number, allowed?: LabelSet): SearchResult;
  /** Writes the graph file with header, checksum, appliedIndex, fsync and rename. Not for the serving path. */
  save(path: string): void;
  /**
   * The same by a thread of its own, beside whatever is called meanwhile: the file is of one moment. Returns at once, and
   * does nothing while another is being written.
   */
  saveInBackground(path: string): void;
  /** The end of what saveInBackground() began, told once; null: there is none to tell. */
  takeSaved(): SaveOutcome | null;
  /** Gives the memory back; further calls throw. */
  destroy(): void;
}

export interface VectorEngine {
  /** Of the whole process; what the indexes take may be as of a moment ago. */
  readonly memory: IndexMemory;
  /**
   * Attaches to the index of this key if it is alive; else creates one, and begins to load `path` if it holds a valid file.
   */
  open(options: IndexOptions, path: string | null): VectorIndex;
  /** Destroys the index of this key, if any, wherever it was opened. */
  drop(key: string): void;
}
