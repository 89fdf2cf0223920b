import { existsSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { asVectronError, type ErrorCode, errorCatalogue, VectronError } from '../../base/errors';
import { searchKMax } from '../../base/limits';
import type { IndexMemory } from '../capacity';
import { checkIndexOptions, checkSearchOptions } from '../flat-index';
import { checkWhole } from '../metrics';
import type {
  IndexOptions,
  LabelSet,
  RecallFigures,
  SaveOutcome,
  SearchOptions,
  SearchResult,
  VectorEngine,
  VectorIndex,
} from '../ports';

/** A reference to an index of the process-wide registry; freed with the thread, while the index stays. */
interface Handle {
  readonly native: unique symbol;
}

/** What native/napi/addon.cc exports; each call is described there. */
interface Addon {
  readonly kernel: 'portable' | 'avx2' | 'avx512';
  open(
    key: string,
    dimension: number,
    metric: number,
    m: number,
    efConstruction: number,
    capacity: number,
    threshold: number,
    path: string,
    folder: string,
    quantised: number,
  ): Handle;
  loaded(index: Handle): string | null;
  put(index: Handle, id: string, version: number, vector: Float32Array): number;
  remove(index: Handle, id: string, version: number): number;
  versionOf(index: Handle, id: string): number;
  labelOf(index: Handle, id: string): number;
  idOf(index: Handle, label: number): string | undefined;
  link(index: Handle, budgetMicros: number): number;
  linkInBackground(index: Handle): void;
  search(
    index: Handle,
    query: Float32Array,
    k: number,
    set: Uint32Array,
    scores: Float32Array,
    figures: Float64Array,
  ): readonly string[];
  stats(index: Handle, out: Float64Array): void;
  setAppliedIndex(index: Handle, appliedIndex: number): void;
  save(index: Handle, path: string): void;
  saveInBackground(index: Handle, path: string): void;
  takeSaved(index: Handle): number | string | undefined;
  destroy(index: Handle): void;
  drop(key: string): void;
  bytes(): number;
  extractFaiss(path: string, target: string): void;
}

export interface NativeEngineOptions {
  /** Live points from which an index has a graph; by default a function of the dimension (native/core/options.h). */
  readonly graphThreshold?: number;
  /** What all indexes of the process may take; by default a share of the machine's memory. */
  readonly bytesMax?: number;
  /** Points to reserve addresses for; by default a share of the machine's memory. */
  readonly reserve?: number;
  /** Told why a file that exists was not used: the index then starts empty with appliedIndex 0. */
  readonly onRefusedFile?: (key: string, path: string, why: string) => void;
  /** Told why a file was not written in the background. */
  readonly onFailedSave?: (key: string, why: string) => void;
}

const metricNumber = { cosine: 0, euclidean: 1, dot: 2 } as const;
/** In the order of the core's enumerations. */
const strategies = ['graph', 'scan', 'walk', 'twoHop'] as const;
const setKind = { none: 0, words: 1, labels: 2 } as const;
const noSet = new Uint32Array(0);
let loaded: Addon | undefined;

/** The nearest native/build/Release above this file: compiled code runs at different depths. */
function addonPath(): string {
  for (let folder = __dirname; ; folder = dirname(folder)) {
    const path = join(folder, 'native', 'build', 'Release', 'vectron_native.node');
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) break;
  }
  throw new VectronError('FAILED_PRECONDITION', 'the native addon is not built: node scripts/build-native.mjs');
}

/**
 * Loads the addon. To be called in the main thread before any other thread does: a library first loaded by a thread
 * that is terminated would be unloaded under the others.
 */
export function loadAddon(): { readonly kernel: string } {
  if (loaded !== undefined) return loaded;
  const addon = require(addonPath()) as Addon;
  const forced = process.env['VECTRON_KERNEL'];
  if (forced !== undefined && forced !== addon.kernel) {
    throw new VectronError('FAILED_PRECONDITION', `VECTRON_KERNEL=${forced}: this processor offers ${addon.kernel}`);
  }
  loaded = addon;
  return addon;
}

function addon(): Addon {
  loadAddon();
  return loaded as Addon;
}

/**
 * An error of the addon as one of the catalogue; the field, if any, stands before the colon of its message. Told by its
 * shape: the addon's errors may come from another realm than ours, where `instanceof` does not hold.
 */
function translated(thrown: unknown): VectronError {
  const { code, message } = thrown as { code?: unknown; message?: unknown };
  if (typeof code !== 'string' || !Object.hasOwn(errorCatalogue, code)) return asVectronError(thrown);
  const text = String(message);
  const field = code === 'INVALID_ARGUMENT' ? { field: text.split(':')[0] as string } : {};
  return new VectronError(code as ErrorCode, text, { ...field, cause: thrown });
}

function calling<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw translated(thrown);
  }
}

function setOf(allowed: LabelSet | undefined): readonly [Uint32Array, number] {
  if (allowed === undefined) return [noSet, setKind.none];
  return 'words' in allowed ? [allowed.words, setKind.words] : [allowed.labels, setKind.labels];
}

class NativeIndex implements VectorIndex {
  private isLoaded = false;
  private readonly figures = new Float64Array(8);
  private readonly searchFigures = new Float64Array(6);
  private scores = new Float32Array(64);

  constructor(
    private readonly native: Addon,
    private readonly handle: Handle,
    readonly dimension: number,
    private readonly refused: (why: string) => void,
    private readonly saveFailed: (why: string) => void,
  ) {}

  get loading(): boolean {
    if (this.isLoaded) return false;
    const why = calling(() => this.native.loaded(this.handle));
    if (why === null) return true;
    this.isLoaded = true;
    if (why !== '') this.refused(why);
    return false;
  }

  get size(): number {
    return this.figure(0);
  }
  get unlinked(): number {
    return this.figure(1);
  }
  get tombstones(): number {
    return this.figure(2);
  }
  get bytes(): number {
    return this.figure(3);
  }
  get recall(): RecallFigures {
    return { expected: this.figure(6), found: this.figure(7) };
  }
  get appliedIndex(): number {
    return this.figure(4);
  }
  set appliedIndex(value: number) {
    calling(() => this.native.setAppliedIndex(this.handle, value));
  }

  get labelCount(): number {
    return this.figure(5);
  }

  put(id: string, version: number, vector: Float32Array): number {
    return calling(() => this.native.put(this.handle, id, version, vector));
  }

  remove(id: string, version: number): number {
    return calling(() => this.native.remove(this.handle, id, version));
  }

  labelOf(id: string): number {
    return calling(() => this.native.labelOf(this.handle, id));
  }

  idOf(label: number): string | null {
    return calling(() => this.native.idOf(this.handle, label)) ?? null;
  }

  versionOf(id: string): number {
    return calling(() => this.native.versionOf(this.handle, id));
  }

  link(budgetMicros: number): number {
    return calling(() => this.native.link(this.handle, budgetMicros));
  }

  linkInBackground(): void {
    calling(() => this.native.linkInBackground(this.handle));
  }

  search(query: Float32Array, k: number, options: SearchOptions = {}): SearchResult {
    checkSearchOptions(options);
    return this.find(query, k, options, false);
  }

  exact(query: Float32Array, k: number, allowed?: LabelSet): SearchResult {
    return this.find(query, k, allowed === undefined ? {} : { allowed }, true);
  }

  save(path: string): void {
    calling(() => this.native.save(this.handle, path));
  }

  saveInBackground(path: string): void {
    calling(() => this.native.saveInBackground(this.handle, path));
  }

  takeSaved(): SaveOutcome | null {
    const saved = calling(() => this.native.takeSaved(this.handle));
    if (saved === undefined) return null;
    if (typeof saved === 'number') return { appliedIndex: saved };
    this.saveFailed(saved);
    return { appliedIndex: null };
  }

  destroy(): void {
    calling(() => this.native.destroy(this.handle));
  }

  private find(query: Float32Array, k: number, options: SearchOptions, exact: boolean): SearchResult {
    checkWhole(k, 1, searchKMax, 'k');
    const scores = this.scoresFor(k);
    const figures = this.searchFigures;
    const { ef = 0, allowed, strategy = 'scan', distancesMax = 0, quantised = true } = options;
    const [set, kind] = setOf(allowed);
    figures[0] = ef;
    figures[1] = exact ? 1 : 0;
    figures[2] = kind;
    figures[3] = strategies.indexOf(strategy);
    figures[4] = distancesMax;
    figures[5] = quantised ? 0 : 1;
    const ids = calling(() => this.native.search(this.handle, query, k, set, scores, figures));
    return {
      ids,
      scores: scores.slice(0, ids.length),
      strategy: strategies[figures[0]] as SearchResult['strategy'],
      fellBack: figures[1] === 1,
      distances: figures[2],
      visited: figures[3],
      matches: figures[4],
      micros: figures[5] as number,
    };
  }

  /** Used again: to give a new small array's memory to native code costs more than to copy out of an old one. */
  private scoresFor(k: number): Float32Array {
    if (this.scores.length < k) this.scores = new Float32Array(2 * k);
    return this.scores;
  }

  private figure(at: number): number {
    calling(() => this.native.stats(this.handle, this.figures));
    return this.figures[at] as number;
  }
}

/** What the indexes of a process may take of the machine's memory, unless told. */
const indexShare = 0.7;
/** To ask every index for every write would be dear. */
const measureMs = 100;

/** What this process may have: a container's limit, or the machine's memory. Without a limit some systems name an absurd one. */
function memoryMax(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** Of that memory, as addresses: what is reserved for one index costs nothing before it is written. */
const reservedShare = 0.25;
const reservedPointsMax = 2 ** 24;

/** So many that a growing index is copied into larger memory seldom: once it has a good part of all there is. */
function reservedPoints({ dimension, m, originals, quantisation }: IndexOptions): number {
  const componentBytes = (originals === 'disk' ? 0 : 4) + (quantisation === 'none' ? 0 : 1);
  const pointBytes = dimension * componentBytes + m * 12 + 128;
  return Math.min(reservedPointsMax, Math.floor((memoryMax() * reservedShare) / pointBytes));
}

/** Where vectors that are not in memory lie: beside the graph file. */
function folderOf(path: string | null): string {
  if (path === null)
    throw new VectronError('INVALID_ARGUMENT', 'originals on disk take a path', { field: 'originals' });
  return dirname(path);
}

/** Where the system refuses to promise more memory than it has, with less. */
function openReserved(openFor: (points: number) => Handle, reserved: number, least: number): Handle {
  try {
    return openFor(reserved);
  } catch (thrown) {
    if (!(thrown instanceof VectronError) || thrown.code !== 'RESOURCE_EXHAUSTED' || reserved <= least) throw thrown;
    return openFor(least);
  }
}

/** Indexes of the addon. All engines of a process share its registry. */
export function createNativeEngine(options: NativeEngineOptions = {}): VectorEngine {
  const native = addon();
  const { bytesMax: told = 0 } = options;
  const bytesMax = told > 0 ? told : memoryMax() * indexShare;
  const measured = { atMs: Number.NEGATIVE_INFINITY, bytes: 0 };
  return {
    get memory(): IndexMemory {
      const nowMs = performance.now();
      if (nowMs - measured.atMs >= measureMs) Object.assign(measured, { atMs: nowMs, bytes: native.bytes() });
      return { bytes: measured.bytes, bytesMax };
    },
    open(index: IndexOptions, path: string | null): VectorIndex {
      checkIndexOptions(index);
      const { key, dimension, metric, m, efConstruction, capacity } = index;
      const { graphThreshold = 0, reserve = reservedPoints(index) } = options;
      const folder = index.originals === 'disk' ? folderOf(path) : '';
      const openFor = (points: number): Handle =>
        calling(() =>
          native.open(
            key,
            dimension,
            metricNumber[metric],
            m,
            efConstruction,
            points,
            graphThreshold,
            path ?? '',
            folder,
            index.quantisation === 'none' ? 0 : 1,
          ),
        );
      const refused = (why: string): void => options.onRefusedFile?.(key, path ?? '', why);
      const saveFailed = (why: string): void => options.onFailedSave?.(key, why);
      const handle = openReserved(openFor, Math.max(capacity, reserve), capacity);
      return new NativeIndex(native, handle, dimension, refused, saveFailed);
    },
    drop: (key) => calling(() => native.drop(key)),
  };
}

/** Copies the part of a graph file that is a FAISS file of its own: readable by FAISS in any language. */
export function extractFaissFile(path: string, target: string): void {
  calling(() => addon().extractFaiss(path, target));
}
