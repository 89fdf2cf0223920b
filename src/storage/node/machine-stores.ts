import * as fs from 'node:fs';
import * as path from 'node:path';
import { VectronError } from '../../base/errors';
import type { ClusterId } from '../../base/ids';
import { belowMark, FencedLogEngine } from '../log-engine';
import type { KeyValueStore, LogEngine, SequencedStore, SequenceMark } from '../ports';
import { FenceFile } from './fence-file';
import { type RocksOptions, RocksStore } from './rocks';
import { SharedFence } from './shared-fence';
import { createIdentity, markReady, readIdentity, type StoreIdentity, syncDirectory } from './store-identity';

/**
 * The two databases of one machine (DESIGN D3) and who holds them:
 *
 *  - The main thread opens them once a process with openMachineStores(), keeps them open, and closes them after all threads
 *    that attached have ended. RocksDB's own lock keeps a second process out.
 *  - `handles` may be posted to any thread of the process. The log thread calls attachLog(), a shard thread
 *    attachStateStore(). A thread may be terminated at any moment; its replacement attaches anew after its exit.
 *
 *   <directory>/identity.json  log/  state/  log.fence  state.fence
 */
export interface StoreHandles {
  readonly directory: string;
  readonly log: bigint;
  readonly state: bigint;
  readonly shared: SharedArrayBuffer;
}

export interface MachineStoresOptions {
  readonly clusterId: ClusterId;
  /** Memory of both databases' memtables; about 1.5 times this at the worst. */
  readonly logMemtableBytes?: number;
  readonly stateMemtableBytes?: number;
  readonly stateCacheBytes?: number;
}

/** What the log thread works with. */
export interface AttachedLog {
  readonly engine: LogEngine;
  /** The sync barrier of the state store, which moves the state's own mark. */
  readonly state: Pick<KeyValueStore, 'sync'>;
  close(): void;
}

const mebibyte = 1024 * 1024;
const names = { log: 'log', state: 'state', logFence: 'log.fence', stateFence: 'state.fence' };

export class MachineStores {
  constructor(
    readonly identity: StoreIdentity,
    readonly handles: StoreHandles,
    /** Why the stores as they were opened cannot be trusted, or null. Then only retireStores() helps. */
    readonly corruption: string | null,
    private readonly log: RocksStore,
    private readonly state: RocksStore,
  ) {}

  /** The state store for the thread that opened it. */
  get stateStore(): KeyValueStore {
    return this.state;
  }

  /** Closes both databases. No other thread may be using them, nor use them afterwards. */
  async close(): Promise<void> {
    await Promise.all([this.log.closeDatabase(), this.state.closeDatabase()]);
  }
}

/**
 * Opens a machine's stores, creating them in a directory that has none. FAILED_PRECONDITION: they belong to another
 * cluster or version, another process has them open, or there is data without an identity. CORRUPT: they cannot be
 * opened at all. Stores that lost synced writes open, and say so in `corruption`.
 */
export async function openMachineStores(directory: string, options: MachineStoresOptions): Promise<MachineStores> {
  fs.mkdirSync(directory, { recursive: true });
  const identity = claimDirectory(directory, options.clusterId);
  const fence = new SharedFence();
  const createIfMissing = !identity.ready;
  const opened: RocksStore[] = [];
  const open = async (name: string, rocksOptions: RocksOptions): Promise<RocksStore> => {
    const store = await RocksStore.open(path.join(directory, name), rocksOptions, fence);
    opened.push(store);
    return store;
  };
  try {
    const log = await open(names.log, logOptions(options, createIfMissing));
    const state = await open(names.state, stateOptions(options, createIfMissing));
    const handles = { directory, log: log.handle, state: state.handle, shared: fence.shared };
    const settled = settle(directory, identity);
    return new MachineStores(settled, handles, damageOf(directory, log, state), log, state);
  } catch (error) {
    await Promise.all(opened.map((store) => store.closeDatabase()));
    throw error;
  }
}

/** For the log thread, after its predecessor's exit: takes the log store over. */
export function attachLog(handles: StoreHandles): AttachedLog {
  const fence = new SharedFence(handles.shared);
  const log = RocksStore.attach(handles.log, fence);
  const state = RocksStore.attach(handles.state, fence);
  const [logMark, stateMark] = openMarks(handles.directory, () => fence.poison());
  const close = (): void => {
    for (const part of [log, state, logMark, stateMark]) part.close();
  };
  return { engine: new FencedLogEngine(log, logMark, fence), state: markedBarrier(state, stateMark), close };
}

/** For a shard thread, or any other that reads and writes points. */
export function attachStateStore(handles: StoreHandles): KeyValueStore {
  return RocksStore.attach(handles.state, new SharedFence(handles.shared));
}

/**
 * Moves corrupt stores aside, for a person to look at, so that openMachineStores() creates new ones with a new
 * incarnation. The stores must be closed. Returns where they went.
 */
export function retireStores(directory: string): string {
  const retired = path.join(directory, `retired-${Date.now()}`);
  fs.mkdirSync(retired);
  // The identity goes last: with it still there, a crash in between leaves stores that open as corrupt again.
  for (const name of [...Object.values(names), 'identity.json']) {
    const from = path.join(directory, name);
    if (fs.existsSync(from)) fs.renameSync(from, path.join(retired, name));
  }
  syncDirectory(directory);
  return retired;
}

function claimDirectory(directory: string, cluster: ClusterId): StoreIdentity {
  const found = readIdentity(directory);
  if (found === null) {
    const stray = Object.values(names).find((name) => fs.existsSync(path.join(directory, name)));
    if (stray !== undefined) {
      throw new VectronError('FAILED_PRECONDITION', `${directory} holds ${stray}, but no identity.json`);
    }
  }
  const identity = found ?? createIdentity(directory, cluster);
  if (identity.cluster !== cluster) {
    const text = `${directory} belongs to cluster ${identity.cluster}, this one is ${cluster}`;
    throw new VectronError('FAILED_PRECONDITION', text);
  }
  return identity;
}

/** Ends the creation of stores: from now on, what is missing is damage. */
function settle(directory: string, identity: StoreIdentity): StoreIdentity {
  if (identity.ready) return identity;
  FenceFile.create(path.join(directory, names.logFence));
  FenceFile.create(path.join(directory, names.stateFence));
  syncDirectory(directory);
  return markReady(directory, identity);
}

function damageOf(directory: string, log: SequencedStore, state: SequencedStore): string | null {
  const [logMark, stateMark] = openMarks(directory, () => undefined);
  const logDamage = belowMark(log, logMark);
  const stateDamage = belowMark(state, stateMark);
  logMark.close();
  stateMark.close();
  if (logDamage !== null) return `log: ${logDamage}`;
  return stateDamage === null ? null : `state: ${stateDamage}`;
}

function openMarks(directory: string, onSyncFailed: () => void): [FenceFile, FenceFile] {
  const open = (name: string): FenceFile => FenceFile.open(path.join(directory, name), onSyncFailed);
  return [open(names.logFence), open(names.stateFence)];
}

/** Other threads write to the state store meanwhile: what was written before the sync began is what is durable after it. */
function markedBarrier(state: SequencedStore, mark: SequenceMark): Pick<KeyValueStore, 'sync'> {
  return {
    sync: () => {
      const before = state.sequence;
      state.sync();
      mark.write(before);
    },
  };
}

function logOptions(
  { logMemtableBytes = 32 * mebibyte }: MachineStoresOptions,
  createIfMissing: boolean,
): RocksOptions {
  return { createIfMissing, memtableBytes: logMemtableBytes, cacheBytes: 8 * mebibyte };
}

function stateOptions(options: MachineStoresOptions, createIfMissing: boolean): RocksOptions {
  const { stateMemtableBytes = 64 * mebibyte, stateCacheBytes = 32 * mebibyte } = options;
  return { createIfMissing, memtableBytes: stateMemtableBytes, cacheBytes: stateCacheBytes };
}
