import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VectronError } from '../base/errors';
import type { ClusterFile } from './dev-cluster-types';

const fileIn = (directory: string): string => join(directory, 'cluster.json');

/** Refuses a data directory on which another process runs a cluster. */
export function expectNoCluster(directory: string): void {
  if (!existsSync(fileIn(directory))) return;
  const { pid, http } = JSON.parse(readFileSync(fileIn(directory), 'utf8')) as ClusterFile;
  if (pid === process.pid || !isAlive(pid)) return;
  throw new VectronError('FAILED_PRECONDITION', `a cluster runs on ${directory} already: process ${pid}, ${http}`);
}

/**
 * Refuses a data directory in which machines have data but a placement driver node has none: it was lost. Without it the
 * node would begin anew, and the ids of what the machines hold would be given away a second time. (On a first start the
 * nodes exist before any machine does.)
 */
export function expectPlacementData(directory: string, machines: readonly string[], nodes: readonly string[]): void {
  const hasData = (name: string): boolean => existsSync(join(directory, name, 'identity.json'));
  const lost = nodes.filter((name) => !hasData(name));
  if (lost.length === 0 || !machines.some(hasData)) return;
  const text = `${directory} has machines, but the data of ${lost.join(', ')} is gone; bring it back, or npm run reset`;
  throw new VectronError('FAILED_PRECONDITION', text);
}

/** Tells examples and scripts where the cluster of this data directory is. */
export function writeClusterFile(directory: string, content: ClusterFile): void {
  const draft = `${fileIn(directory)}.new`;
  writeFileSync(draft, `${JSON.stringify(content, null, 2)}\n`);
  renameSync(draft, fileIn(directory));
}

export function removeClusterFile(directory: string): void {
  rmSync(fileIn(directory), { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
