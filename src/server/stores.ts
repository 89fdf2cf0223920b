import { VectronError } from '../base/errors';
import {
  type MachineStores,
  type MachineStoresOptions,
  openMachineStores,
  retireStores,
} from '../storage/node/machine-stores';

/**
 * Opens a worker's stores. Corrupt ones are moved aside, never repaired: new stores carry a new incarnation, and so the
 * worker is a new one to the placement driver, which never takes its empty replicas for those that were here.
 */
export async function openWorkerStores(
  directory: string,
  options: MachineStoresOptions,
  report: (line: string) => void,
): Promise<MachineStores> {
  const retire = (why: string): Promise<MachineStores> => {
    report(`stores in ${directory} cannot be trusted (${why}); moved to ${retireStores(directory)}`);
    return openMachineStores(directory, options);
  };
  let stores: MachineStores;
  try {
    stores = await openMachineStores(directory, options);
  } catch (error) {
    if (error instanceof VectronError && error.code === 'CORRUPT') return retire(error.message);
    throw error;
  }
  if (stores.corruption === null) return stores;
  await stores.close();
  return retire(stores.corruption);
}

/**
 * Opens the stores of a placement driver node, or throws CORRUPT. Such a node is the same member for ever: with new
 * stores it would have forgotten its votes and what it acknowledged, and could help to elect a leader that lacks
 * collections; their ids would be given away a second time.
 */
export async function openPlacementStores(directory: string, options: MachineStoresOptions): Promise<MachineStores> {
  const stores = await openMachineStores(directory, options);
  if (stores.corruption === null) return stores;
  await stores.close();
  throw new VectronError('CORRUPT', `stores in ${directory} cannot be trusted (${stores.corruption})`);
}
