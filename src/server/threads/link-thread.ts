import { BeatBoard } from '../../actors/beat-board';
import { MachineBeats } from '../../actors/machine-beats';
import type { RaftMemberTuning } from '../../actors/raft-member-options';
import type { ClusterId } from '../../base/ids';
import { runDedicatedThread } from '../../runtime/node/thread-entry';

export interface LinkThreadData {
  readonly cluster: ClusterId;
  readonly raft: RaftMemberTuning;
  /** Of the machine's BeatBoard. */
  readonly board: SharedArrayBuffer;
}

/** Entry file of a worker's link thread: it holds the link, and says what the machine has to say for all its groups. */
runDedicatedThread(({ workerData }) => {
  const { cluster, raft, board } = workerData as LinkThreadData;
  return { create: () => new MachineBeats(cluster, raft, new BeatBoard(board)) };
});
