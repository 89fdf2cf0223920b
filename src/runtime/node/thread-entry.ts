import { type MessagePort, threadId, workerData } from 'node:worker_threads';
import { assert } from '../../base/assert';
import type { NodeName } from '../../base/ids';
import { Heart } from './heartbeat';
import type { LinkSpec } from './link-host';
import { exposeControl } from './thread-control';
import { nameThread } from './thread-name';
import { runThread, ThreadController, type ThreadSetup } from './thread-runtime';

/** Where a thread beats, one word a group, and how often. */
export interface Heartbeats {
  readonly words: SharedArrayBuffer;
  readonly intervalMs: number;
}

/** What a dedicated thread is started with. */
export interface DedicatedThreadData {
  readonly node: NodeName;
  readonly name: string;
  readonly control: MessagePort;
  /** Null: nobody watches whether its event loop turns. */
  readonly heartbeats: Heartbeats | null;
  readonly link: LinkSpec | null;
  readonly workerData: unknown;
}

/** What every thread of a shard pool is started with. */
export interface PoolThreadData {
  readonly node: NodeName;
  readonly heartbeats: Heartbeats;
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
    const heart = data.heartbeats === null ? null : heartOf(data.heartbeats);
    const controller = await makeController(setup, data.node, 0, data.workerData, heart);
    if (data.link !== null) await controller.startLink(data.link);
    heart?.beatAt(0);
    exposeControl(controller, data.control);
  };
  // Fails as an uncaught error would: the thread ends and its owner hears why.
  start().catch(failThread);
}

/** For the entry file of a shard thread: `export default groupTask(setup)`. */
export function groupTask(setup: ThreadSetup): (task: GroupTask) => Promise<void> {
  let controller: Promise<ThreadController> | null = null;
  let heart: Heart | null = null;
  return async ({ group, control }) => {
    if (group === null) return;
    assert(control !== null, 'a group comes with its control port');
    const data = workerData as PoolThreadData;
    nameThread(`shards-${threadId}`);
    // Its first group is a thread's own until it exits, for all its groups finish together.
    heart ??= heartOf(data.heartbeats);
    controller ??= makeController(setup, data.node, group, data.workerData, heart);
    const shared = await controller;
    // Groups of one thread share everything but their heartbeat, and finish together.
    heart.beatAt(group);
    exposeControl(shared, control);
    await shared.finished;
  };
}

const heartOf = ({ words, intervalMs }: Heartbeats): Heart => new Heart(words, intervalMs);

async function makeController(
  setup: ThreadSetup,
  node: NodeName,
  place: number,
  data: unknown,
  heart: Heart | null,
): Promise<ThreadController> {
  const running = runThread({ node, thread: threadId, onEnded: () => undefined }, heart);
  const actors = await setup({ node, thread: threadId, place, workerData: data, hub: running.hub });
  return new ThreadController(running, actors);
}

function failThread(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
