import { parentPort, workerData } from 'node:worker_threads';
import { Prng } from '../../src/base/prng';
import { attachLog, attachStateStore, type StoreHandles } from '../../src/storage/node/machine-stores';
import { WriteBatch } from '../../src/storage/ports';

/** A thread that writes, reads and iterates for ever, until somebody terminates it. Says so after its first round. */
export interface KillsWorkerData {
  readonly handles: StoreHandles;
  readonly lane: number;
  readonly seed: number;
  /** One word a lane: the last counter whose write returned. */
  readonly acknowledged: SharedArrayBuffer;
}

export const groupCount = 20;
export const keyOf = (lane: number, i: number): Uint8Array => Uint8Array.of(0x01, lane, i);

/** The same counter under all of a lane's keys, in one batch. */
export function counterBatch(lane: number, counter: number): WriteBatch {
  const batch = new WriteBatch();
  for (let i = 0; i < groupCount; i++) {
    const value = new Uint8Array(300);
    new DataView(value.buffer).setUint32(0, counter);
    batch.put(keyOf(lane, i), value);
  }
  return batch;
}

function run({ handles, lane, seed, acknowledged }: KillsWorkerData): void {
  const random = new Prng(seed);
  const words = new Int32Array(acknowledged);
  // Lane 0 is the log thread's: synced commits behind the fence. The others write to the state store.
  const log = lane === 0 ? attachLog(handles) : null;
  const store = log === null ? attachStateStore(handles) : log.engine.store;
  for (let round = 0; ; round++) {
    const counter = Atomics.load(words, lane) + 1;
    if (log === null) store.write(counterBatch(lane, counter), { sync: false });
    else log.engine.commit(counterBatch(lane, counter));
    Atomics.store(words, lane, counter);
    for (let i = 0; i < 5; i++) {
      store.getMany(Array.from({ length: 8 }, () => keyOf(random.between(0, 3), random.between(0, groupCount))));
      store.range({ start: Uint8Array.of(1), end: Uint8Array.of(2), countMax: 100, reverse: random.chance(0.5) });
    }
    if (round === 0) parentPort?.postMessage('working');
  }
}

if (workerData !== null) run(workerData as KillsWorkerData);
