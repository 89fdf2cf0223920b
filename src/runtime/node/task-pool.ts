import Piscina from 'piscina';
import type { NodeName } from '../../base/ids';
import type { GroupTask, Heartbeats, PoolThreadData } from './thread-entry';

type LoadBalancer = NonNullable<NonNullable<ConstructorParameters<typeof Piscina>[0]>['loadBalancer']>;

export interface TaskPoolOptions {
  readonly node: NodeName;
  readonly entryFile: string;
  readonly threads: number;
  readonly workerData: unknown;
}

/** A Piscina pool of a fixed number of threads in which every task is a group of actors that stays. */
export function makeTaskPool(
  options: TaskPoolOptions,
  groupsPerThread: number,
  heartbeats: Heartbeats,
): Piscina<GroupTask, void> {
  const workerData: PoolThreadData = { node: options.node, heartbeats, workerData: options.workerData };
  return new Piscina({
    filename: options.entryFile,
    minThreads: options.threads,
    maxThreads: options.threads,
    idleTimeout: Number.POSITIVE_INFINITY,
    concurrentTasksPerWorker: groupsPerThread,
    loadBalancer: leastBusy(groupsPerThread),
    // With atomics Piscina parks a thread without tasks in Atomics.wait, and its event loop with it.
    atomics: 'disabled',
    recordTiming: false,
    workerData,
  });
}

/** The thread with the fewest groups that has room for one more; none for tasks that may be aborted. */
function leastBusy(groupsMax: number): LoadBalancer {
  return (task, workers) => {
    if (task.isAbortable) return null;
    const open = workers.filter(({ currentUsage, destroyed }) => !destroyed && currentUsage < groupsMax);
    const [first, ...rest] = open;
    if (first === undefined) return null;
    return rest.reduce((best, next) => (next.currentUsage < best.currentUsage ? next : best), first);
  };
}
