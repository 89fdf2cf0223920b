import * as path from 'node:path';
import { Worker } from 'node:worker_threads';
import { clusterId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { attachLog, type MachineStores, openMachineStores } from '../../src/storage/node/machine-stores';
import { groupCount, type KillsWorkerData, keyOf } from './thread-kills-worker';

/** Run as a process of its own: `node thread-kills-main.js <directory> <kills> <seed>`. Prints one line of JSON. */
const laneCount = 4;

async function main(directory: string, kills: number, seed: number): Promise<void> {
  const stores = await openMachineStores(directory, { clusterId: clusterId('c') });
  const acknowledged = new SharedArrayBuffer(4 * laneCount);
  const random = new Prng(seed);
  let left = kills;
  const killLane = async (lane: number): Promise<void> => {
    while (left-- > 0) await killOne(stores, lane, random, acknowledged);
  };
  await Promise.all(Array.from({ length: laneCount }, (_, lane) => killLane(lane)));
  const words = [...new Int32Array(acknowledged)];
  const counters = words.map((_, lane) => countersOf(stores, lane));
  await stores.close();
  console.log(JSON.stringify({ acknowledged: words, counters }));
}

/** Terminates a thread a few milliseconds after its first round, or, one in ten, while it may still be starting. */
async function killOne(
  stores: MachineStores,
  lane: number,
  random: Prng,
  acknowledged: SharedArrayBuffer,
): Promise<void> {
  const workerData: KillsWorkerData = { handles: stores.handles, lane, seed: random.uint32(), acknowledged };
  const worker = new Worker(path.join(__dirname, 'thread-kills-worker.js'), { workerData });
  const started = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once(random.chance(0.1) ? 'online' : 'message', () => resolve());
  });
  await started;
  await new Promise((resolve) => setTimeout(resolve, random.between(0, 8)));
  await worker.terminate();
}

/** The different counters under a lane's keys. One, unless a batch was torn. */
function countersOf(stores: MachineStores, lane: number): number[] {
  const store = lane === 0 ? attachLog(stores.handles).engine.store : stores.stateStore;
  const values = store.getMany(Array.from({ length: groupCount }, (_, i) => keyOf(lane, i)));
  const counters = values.map((value) =>
    value === undefined ? 0 : new DataView(value.buffer, value.byteOffset).getUint32(0),
  );
  return [...new Set(counters)];
}

const [directory = '', kills = '500', seed = '1'] = process.argv.slice(2);
main(directory, Number(kills), Number(seed)).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
