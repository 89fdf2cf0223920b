import { BeatBoard } from '../../actors/beat-board';
import { KeeperActor } from '../../actors/keeper';
import type { RaftMemberTuning } from '../../actors/raft-member-options';
import { ReplicaActor } from '../../actors/replica';
import { replicaOptions } from '../../actors/replica-options';
import { ThreadKeeper } from '../../actors/thread-keeper';
import { VectronError } from '../../base/errors';
import { decode } from '../../protocol/codec';
import { at, keeperActor, logActor, supervisorActor } from '../../protocol/envelope';
import { loadKeyHash } from '../../protocol/node/xxh3';
import { replicaSpecCodec } from '../../protocol/records';
import { groupTask } from '../../runtime/node/thread-entry';
import { attachStateStore, type StoreHandles } from '../../storage/node/machine-stores';
import { createNativeEngine } from '../../vector/node/native-engine';

export interface ShardThreadData {
  readonly stores: StoreHandles;
  readonly indexDirectory: string;
  readonly raft: RaftMemberTuning;
  readonly ingest: boolean;
  /** 0: unless told. */
  readonly indexBytesMax: number;
  /** Of the machine's BeatBoard. */
  readonly board: SharedArrayBuffer;
}

/** Entry file of a shard thread: makes replicas that share the machine's state store and the process's graphs. */
export default groupTask(async ({ node, thread, place, workerData, hub }) => {
  const { stores, indexDirectory, raft, ingest, indexBytesMax, board } = workerData as ShardThreadData;
  const state = attachStateStore(stores);
  const engine = createNativeEngine({
    bytesMax: indexBytesMax,
    onFailedSave: (key, why) => console.error(`graph file of ${key}: ${why}`),
  });
  const keyHash = await loadKeyHash();
  const keeper = new ThreadKeeper(raft.electionTicks);
  const { actor } = hub.host.spawn(
    keeperActor(String(thread)),
    new KeeperActor(keeper, raft, new BeatBoard(board), place),
  );
  hub.host.events.on('ended', (address, reason, error) => {
    if (address.actor === actor && error !== null) endThread(`the thread's keeper failed: ${reason}`);
  });
  const environment = {
    state,
    engine,
    keyHash,
    logWriter: at(node, logActor),
    supervisor: at(node, supervisorActor),
    indexDirectory,
    keeper,
    options: { ...replicaOptions, raft, ingest },
  };
  return {
    create: (_name, descriptor) => new ReplicaActor(decode(replicaSpecCodec, descriptor), environment),
    close: () => state.close(),
  };
});

/** No replica here would be ticked any more: the pool starts all of them on another thread. */
function endThread(why: string): void {
  setImmediate(() => {
    throw new VectronError('INTERNAL', why);
  });
}
