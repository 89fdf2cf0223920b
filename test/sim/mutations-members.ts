import type { LocalReplicas } from '../../src/actors/supervisor-replicas';
import { LocalReplicas as Replicas } from '../../src/actors/supervisor-replicas';
import type { LogIndex, ReplicaId } from '../../src/base/ids';
import { Moving } from '../../src/placement/moving';
import type { ReplicaSpec } from '../../src/protocol/records';
import { Members } from '../../src/raft/members';
import { committedIndex, votersOf } from '../../src/raft/quorum';
import type { ActorContext } from '../../src/runtime/actor';
import { WorkerMachine } from './machine';
import { type Mutation, patch } from './mutation';

/** Bugs in how groups change their members. */
export const membersMutations: readonly Mutation[] = [
  {
    name: 'wiped-store-keeps-its-name',
    what: 'a machine whose disk was lost comes back under its old identity',
    patches: [patch<WorkerMachine, []>(WorkerMachine.prototype, 'storeIdentity', ({ name }) => `store-of-${name}`)],
  },
  {
    name: 'joint-by-union',
    what: 'in a joint configuration a majority of all voters together commits',
    patches: [
      patch<Members, [(member: ReplicaId) => LogIndex]>(
        Members.prototype,
        'committedIndex',
        ({ configuration }, _original, [matchOf]) =>
          committedIndex({ ...configuration, voters: votersOf(configuration), votersOutgoing: [] }, matchOf),
      ),
    ],
  },
  {
    name: 'removed-before-the-group-agrees',
    what: 'a replica is ordered to be removed as soon as its successor is chosen',
    patches: [
      patch<Moving, [{ readonly replica: ReplicaId }]>(Moving.prototype, 'plan', (moving, original, [operation]) => {
        const plan = original(operation);
        if (typeof plan !== 'function') return plan;
        return () => {
          const outcome = plan() as { readonly kind: string };
          const { shard } = operation as unknown as { readonly shard: number };
          const store = Reflect.get(moving, 'store') as {
            tables: { move: Map<number, { record: { target: ReplicaId[] } }> };
          };
          const voters = store.tables.move.get(shard)?.record.target ?? [];
          moving.settle({ kind: 'settleMembers', shard: shard as never, confVersion: 1, voters });
          return outcome;
        };
      }),
    ],
  },
  {
    name: 'late-member-starts-from-the-record',
    what: 'a replica that joins later takes the shard’s record for its group’s first configuration',
    patches: [
      patch<LocalReplicas, [ReplicaSpec, ActorContext]>(
        Replicas.prototype,
        'start',
        (_replicas, original, [spec, context]) => original({ ...spec, bootstrap: true }, context),
      ),
    ],
  },
];
