import {
  type MachineStores,
  type MachineStoresOptions,
  openMachineStores,
  retireStores,
} from '../storage/node/machine-stores';

/**
 * Opens a node's stores. Corrupt ones are moved aside, never repaired: new stores carry a new incarnation, and what they
 * held comes back from the node's peers.
 */
export async function openStores(
  directory: string,
  options: MachineStoresOptions,
  report: (line: string) => void,
): Promise<MachineStores> {
  const stores = await openMachineStores(directory, options);
  if (stores.corruption === null) return stores;
  await stores.close();
  report(`stores in ${directory} cannot be trusted (${stores.corruption}); moved to ${retireStores(directory)}`);
  return openMachineStores(directory, options);
}
