import { type MessagePort, threadId, workerData } from 'node:worker_threads';
import { assert } from '../../base/assert';
import type { NodeName } from '../../base/ids';
import { Heart } from './heartbeat';
import type { LinkSpec } from './link-host';
import { exposeControl } from './thread-control';
import { nameThread } from './thread-name';
import { runThread, ThreadController, type ThreadSetup } from './thread-runtime';

/** What a dedicated thread is started with. */
export interface DedicatedThreadData {
  readonly node: NodeName;
  readonly name: string;
  readonly control: MessagePort;
  readonly heartbeats: SharedArrayBuffer;
  readonly link: LinkSpec | null;
  readonly workerData: unknown;
}

/** What every thread of a shard pool is started with. */
export interface PoolThreadData {
  readonly node: NodeName;
  readonly heartbeats: SharedArrayBuffer;
  readonly workerData: unknown;
}

/** A Piscina task: hosts one group of actors until it is told to finish. `group` null: there is nothing to do. */
export interface GroupTask {
  readonly group: number | null;
  readonly control: MessagePort | null;
}

/** For the entry file of a dedicated thread: call once, at the top level. */
export function runDedicatedThread(setup: ThreadSetup): void {
  const data = workerData as DedicatedThreadData;
  nameThread(data.name);
  const start = async (): Promise<void> => {
    const controller = await makeController(setup, data.node, data.workerData);
    if (data.link !== null) await controller.startLink(data.link);
    new Heart(data.heartbeats, 0);
    exposeControl(controller, data.control);
  };
  // Fails as an uncaught error would: the thread ends and its owner hears why.
  start().catch(failThread);
}

/** For the entry file of a shard thread: `export default groupTask(setup)`. */
export function groupTask(setup: ThreadSetup): (task: GroupTask) => Promise<void> {
  let controller: Promise<ThreadController> | null = null;
  return async ({ group, control }) => {
    if (group === null) return;
    assert(control !== null, 'a group comes with its control port');
    const data = workerData as PoolThreadData;
    nameThread(`shards-${threadId}`);
    controller ??= makeController(setup, data.node, data.workerData);
    const shared = await controller;
    // Groups of one thread share everything but their heartbeat, and finish together.
    const heart = new Heart(data.heartbeats, group);
    exposeControl(shared, control);
    await shared.finished;
    heart.stop();
  };
}

async function makeController(setup: ThreadSetup, node: NodeName, data: unknown): Promise<ThreadController> {
  const running = runThread({ node, thread: threadId, onEnded: () => undefined });
  const actors = await setup({ node, thread: threadId, workerData: data, hub: running.hub });
  return new ThreadController(running, actors);
}

function failThread(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
