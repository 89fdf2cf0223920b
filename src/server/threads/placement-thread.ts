import { PlacementDriverActor } from '../../actors/placement-driver';
import type { RaftMemberTuning } from '../../actors/raft-member-options';
import type { ClusterId, NodeName, ReplicaId } from '../../base/ids';
import { at, logActor } from '../../protocol/envelope';
import { runDedicatedThread } from '../../runtime/node/thread-entry';
import { attachStateStore, type StoreHandles } from '../../storage/node/machine-stores';

export interface PlacementThreadData {
  readonly stores: StoreHandles;
  readonly cluster: ClusterId;
  readonly self: ReplicaId;
  readonly members: readonly { readonly replica: ReplicaId; readonly node: NodeName }[];
  readonly raft: RaftMemberTuning;
}

/** Entry file of a placement-driver node's own thread. */
runDedicatedThread(({ node, workerData }) => {
  const { stores, cluster, self, members, raft } = workerData as PlacementThreadData;
  const state = attachStateStore(stores);
  const options = { raft };
  const logWriter = at(node, logActor);
  return {
    create: () => new PlacementDriverActor({ cluster, self, members, state, logWriter, options }),
    close: () => state.close(),
  };
});
