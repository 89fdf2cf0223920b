import { VectronError } from '../base/errors';
import { dimensionMax, efConstructionMax, efMax, hnswMMax, searchKMax } from '../base/limits';
import type { IndexMemory } from './capacity';
import { Labels, labelsOf } from './labels';
import { checkVector, checkWhole, similarity } from './metrics';
import type {
  IndexOptions,
  LabelSet,
  RecallFigures,
  SaveOutcome,
  SearchOptions,
  SearchResult,
  VectorEngine,
  VectorIndex,
} from './ports';
import { type Scored, TopK } from './top-k';

/** Throws INVALID_ARGUMENT unless an index can be made with these options. */
export function checkIndexOptions(options: IndexOptions): void {
  checkWhole(options.dimension, 1, dimensionMax, 'dimension');
  checkWhole(options.m, 2, hnswMMax, 'm');
  checkWhole(options.efConstruction, 1, efConstructionMax, 'efConstruction');
  checkWhole(options.capacity, 0, 2 ** 31 - 1, 'capacity');
}

/** Throws INVALID_ARGUMENT naming what is out of its range. */
export function checkSearchOptions({ ef = 0, distancesMax = 0 }: SearchOptions): void {
  checkWhole(ef, 0, efMax, 'ef');
  checkWhole(distancesMax, 0, Number.MAX_SAFE_INTEGER, 'distancesMax');
}

/** A live point, or, without a vector, the memory of a removal. */
interface Entry {
  readonly version: number;
  readonly vector: Float32Array | null;
}

/** What save() keeps: a file of an index that lives in memory. */
export interface FlatFile {
  readonly dimension: number;
  readonly metric: IndexOptions['metric'];
  readonly appliedIndex: number;
  readonly entries: ReadonlyMap<string, Entry>;
}

/**
 * A vector index without a graph: every search is an exact scan with float64 sums. It is the oracle the native index is
 * compared with, and the index of the simulator, where it must be deterministic. Entries are immutable, so a saved file
 * shares them.
 */
class FlatIndex implements VectorIndex {
  appliedIndex = 0;
  private entries = new Map<string, Entry>();
  private readonly labels = new Labels();
  private live = 0;
  private destroyed = false;

  constructor(
    private readonly options: IndexOptions,
    private readonly engine: FlatEngine,
  ) {}

  /** How often `loading` is still to say so. */
  private polls = 0;

  get dimension(): number {
    return this.options.dimension;
  }
  get loading(): boolean {
    return this.polls > 0 && this.polls-- > 0;
  }
  get size(): number {
    return this.live;
  }
  get unlinked(): number {
    return 0;
  }
  get tombstones(): number {
    return 0;
  }
  get bytes(): number {
    return this.live * this.options.dimension * 4;
  }
  /** It never errs, and has no background. */
  get recall(): RecallFigures {
    return { expected: 0, found: 0 };
  }

  put(id: string, version: number, vector: Float32Array): number {
    checkVector(vector, this.options.dimension, 'vector');
    if (this.replace(id, { version, vector: vector.slice() })) this.labels.take(id);
    return this.labels.of(id);
  }

  remove(id: string, version: number): number {
    return this.replace(id, { version, vector: null }) ? this.labels.free(id) : -1;
  }

  get labelCount(): number {
    this.mustLive();
    return this.labels.count;
  }

  labelOf(id: string): number {
    this.mustLive();
    return this.labels.of(id);
  }

  idOf(label: number): string | null {
    this.mustLive();
    return this.labels.idOf(label);
  }

  versionOf(id: string): number {
    this.mustLive();
    return this.entries.get(id)?.version ?? -1;
  }

  link(budgetMicros: number): number {
    this.mustLive();
    checkWhole(budgetMicros, 0, Number.MAX_SAFE_INTEGER, 'budgetMicros');
    return 0;
  }

  linkInBackground(): void {
    this.mustLive();
  }

  growInBackground(): void {
    this.mustLive();
  }

  forgetRemovals(horizon: number): void {
    this.mustLive();
    checkWhole(horizon, 0, Number.MAX_SAFE_INTEGER, 'horizon');
    for (const [id, { version, vector }] of this.entries)
      if (vector === null && version < horizon) this.entries.delete(id);
  }

  search(query: Float32Array, k: number, options: SearchOptions = {}): SearchResult {
    checkSearchOptions(options);
    return this.exact(query, k, options.allowed);
  }

  exact(query: Float32Array, k: number, allowed?: LabelSet): SearchResult {
    this.mustLive();
    checkVector(query, this.options.dimension, 'query');
    checkWhole(k, 1, searchKMax, 'k');
    const best = new TopK<Scored>(k);
    let matches = 0;
    for (const [id, vector] of allowed === undefined ? this.living() : this.livingOf(allowed)) {
      best.offer({ id, score: Math.fround(similarity(this.options.metric, query, vector)) });
      matches++;
    }
    const hits = best.sorted();
    return {
      ids: hits.map((hit) => hit.id),
      scores: Float32Array.from(hits, (hit) => hit.score),
      strategy: 'scan',
      fellBack: false,
      distances: matches,
      visited: matches,
      matches,
      micros: 0,
    };
  }

  save(path: string): void {
    this.mustLive();
    this.engine.files.set(path, this.fileNow);
  }

  /** What is on its way to a file, and lost if the process ends before anybody asks how it ended. */
  private saving: { readonly path: string; readonly file: FlatFile } | null = null;

  saveInBackground(path: string): void {
    this.mustLive();
    this.saving ??= { path, file: this.fileNow };
  }

  takeSaved(): SaveOutcome | null {
    this.mustLive();
    const { saving } = this;
    if (saving === null) return null;
    this.saving = null;
    this.engine.files.set(saving.path, saving.file);
    return { appliedIndex: saving.file.appliedIndex };
  }

  private get fileNow(): FlatFile {
    const { dimension, metric } = this.options;
    return { dimension, metric, appliedIndex: this.appliedIndex, entries: new Map(this.entries) };
  }

  load(file: FlatFile, polls: number): void {
    this.polls = polls;
    this.entries = new Map(file.entries);
    this.appliedIndex = file.appliedIndex;
    for (const [id, entry] of file.entries) {
      if (entry.vector === null) continue;
      this.live++;
      this.labels.take(id);
    }
  }

  checkSame(options: IndexOptions): void {
    if (this.options.dimension === options.dimension && this.options.metric === options.metric) return;
    throw new VectronError('FAILED_PRECONDITION', `index ${options.key} is open with other options`);
  }

  destroy(): void {
    this.mustLive();
    this.engine.forget(this.options.key, this);
    this.entries.clear();
    this.live = 0;
    this.destroyed = true;
  }

  private *living(): Generator<[string, Float32Array]> {
    for (const [id, { vector }] of this.entries) if (vector !== null) yield [id, vector];
  }

  private *livingOf(allowed: LabelSet): Generator<[string, Float32Array]> {
    for (const label of labelsOf(allowed, this.labels.count)) {
      const id = this.labels.idOf(label);
      if (id !== null) yield [id, this.entries.get(id)?.vector as Float32Array];
    }
  }

  /** False if a version at least as new is held. */
  private replace(id: string, next: Entry): boolean {
    this.mustLive();
    checkWhole(next.version, 0, Number.MAX_SAFE_INTEGER, 'version');
    const held = this.entries.get(id);
    if (held !== undefined && held.version >= next.version) return false;
    if (held !== undefined && held.vector !== null) this.live--;
    if (next.vector !== null) this.live++;
    this.entries.set(id, next);
    return true;
  }

  private mustLive(): void {
    if (this.destroyed) throw new VectronError('FAILED_PRECONDITION', `index ${this.options.key} was destroyed`);
  }
}

/**
 * Flat indexes of one simulated process. `files` outlives an engine as a disk outlives a process: hand the same map to
 * the next engine to restart.
 */
export class FlatEngine implements VectorEngine {
  private readonly indexes = new Map<string, FlatIndex>();

  /** `loadPolls`: how often an index says that it is loading its file. */
  constructor(
    readonly files: Map<string, FlatFile> = new Map(),
    private readonly loadPolls = 0,
    /** Of `memory`; tests lower it. */
    public bytesMax = Number.POSITIVE_INFINITY,
  ) {}

  get memory(): IndexMemory {
    let bytes = 0;
    for (const index of this.indexes.values()) bytes += index.bytes;
    return { bytes, bytesMax: this.bytesMax };
  }

  open(options: IndexOptions, path: string | null): VectorIndex {
    checkIndexOptions(options);
    const attached = this.indexes.get(options.key);
    if (attached !== undefined) {
      attached.checkSame(options);
      return attached;
    }
    const index = new FlatIndex(options, this);
    const file = path === null ? undefined : this.files.get(path);
    if (file !== undefined && file.dimension === options.dimension && file.metric === options.metric)
      index.load(file, this.loadPolls);
    this.indexes.set(options.key, index);
    return index;
  }

  drop(key: string): void {
    this.indexes.get(key)?.destroy();
  }

  forget(key: string, index: VectorIndex): void {
    if (this.indexes.get(key) === index) this.indexes.delete(key);
  }
}
