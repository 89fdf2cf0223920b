import { join } from 'node:path';
import { clusterId } from '../../src/base/ids';
import { attachLog, openMachineStores } from '../../src/storage/node/machine-stores';
import type { KeyValueStore } from '../../src/storage/ports';

/** The tables of storage/keys.ts, read by hand: a second implementation of what belongs to whom. */
const tables = { point: 0x01, replicaState: 0x02, entry: 0x10, hardState: 0x11, log: 0x12 } as const;
const generationBits = 20n;

/** Keys that a machine's stores hold for one replica. */
export interface StoredKeys {
  points: number;
  replicaState: number;
  entries: number;
  hardStates: number;
  logRecords: number;
}

/** Counts, replica by replica, what the stores of a machine that does not run hold. */
export async function storedKeys(directory: string, cluster: string): Promise<Map<number, StoredKeys>> {
  const stores = await openMachineStores(join(directory), { clusterId: clusterId(cluster) });
  const found = new Map<number, StoredKeys>();
  const of = (replica: bigint): StoredKeys => {
    const known = found.get(Number(replica));
    if (known !== undefined) return known;
    const none = { points: 0, replicaState: 0, entries: 0, hardStates: 0, logRecords: 0 };
    found.set(Number(replica), none);
    return none;
  };
  const log = attachLog(stores.handles);
  try {
    for (const key of keysOf(stores.stateStore)) {
      if (key[0] === tables.point) of(numberAt(key, 1) >> generationBits).points++;
      else if (key[0] === tables.replicaState) of(numberAt(key, 1)).replicaState++;
    }
    for (const key of keysOf(log.engine.store)) {
      if (key[0] === tables.entry) of(numberAt(key, 1)).entries++;
      else if (key[0] === tables.hardState) of(numberAt(key, 1)).hardStates++;
      else if (key[0] === tables.log) of(numberAt(key, 1)).logRecords++;
    }
  } finally {
    log.close();
    await stores.close();
  }
  return found;
}

function* keysOf(store: KeyValueStore): Generator<Uint8Array> {
  const end = Uint8Array.of(0xff);
  for (let start = Uint8Array.of(0); ; ) {
    const page = store.range({ start, end, countMax: 1_000 });
    for (const { key } of page) yield key;
    const last = page.at(-1);
    if (last === undefined) return;
    start = Uint8Array.of(...last.key, 0);
  }
}

const numberAt = (key: Uint8Array, offset: number): bigint =>
  new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(offset);
