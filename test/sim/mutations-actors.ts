import { LogWriter } from '../../src/actors/log-writer';
import { RaftMember } from '../../src/actors/raft-member';
import { MemberSnapshots } from '../../src/actors/raft-member-snapshots';
import { PendingProposals } from '../../src/actors/raft-member-waiters';
import { LocalReplicas } from '../../src/actors/supervisor-replicas';
import { type LogIndex, logIndex, type ReplicaId, type Term } from '../../src/base/ids';
import { GroupCalls } from '../../src/gateway/group-calls';
import { PlacementMachine } from '../../src/placement/machine';
import type { ActorContext } from '../../src/runtime/actor';
import type { Descriptor } from '../../src/shard/descriptor';
import { IndexFeed } from '../../src/shard/index-feed';
import { ShardMachine } from '../../src/shard/shard-machine';
import { ShardSnapshotSink, type SinkOptions } from '../../src/shard/snapshot-sink';
import { FencedLogEngine } from '../../src/storage/log-engine';
import { LogStore } from '../../src/storage/log-store';
import type { WriteBatch } from '../../src/storage/ports';
import { type Mutation, patch } from './mutation';

interface Settled {
  readonly term: Term;
  settle(outcome: unknown, context: ActorContext): void;
}

/** More bugs in what surrounds the core: logs, snapshots, apply, supervision, placement, gateway. */
export const actorMutations: readonly Mutation[] = [
  {
    name: 'acknowledge-any-entry',
    what: 'a proposal is acknowledged when anything is applied at its index, whosever term it is of',
    patches: [
      patch<{ byIndex: Map<LogIndex, Settled> }, [LogIndex, Term, ActorContext]>(
        PendingProposals.prototype,
        'applied',
        ({ byIndex }, original, [index, term, context]) => original(index, byIndex.get(index)?.term ?? term, context),
      ),
      patch(PendingProposals.prototype, 'failAll', () => undefined),
    ],
  },
  {
    name: 'deposed-proposals-hang',
    what: 'what a deposed leader had proposed is neither acknowledged nor refused',
    patches: [patch(PendingProposals.prototype, 'failAll', () => undefined)],
  },
  {
    name: 'old-snapshot-taken',
    what: 'a snapshot older than the state is installed',
    patches: [patch(MemberSnapshots.prototype, 'needs', () => true)],
  },
  {
    name: 'snapshot-acked-early',
    what: 'a snapshot is acknowledged before the state that it holds is on disk',
    patches: [
      patch<{ options: SinkOptions }, []>(ShardSnapshotSink.prototype, 'finish', (sink, original) => {
        const { store } = sink.options;
        const write = (batch: WriteBatch): void => store.write(batch, { sync: false });
        sink.options = { ...sink.options, store: Object.create(store, { write: { value: write } }) };
        return original();
      }),
    ],
  },
  {
    name: 'log-kept-beside-snapshot',
    what: 'the tail of the old log stays beside an installed snapshot',
    patches: [
      patch<LogStore, readonly unknown[]>(LogStore.prototype, 'reset', (store, original, args) => {
        Reflect.set(store, 'stageTailDeletion', () => undefined);
        original(...args);
        Reflect.deleteProperty(store, 'stageTailDeletion');
      }),
    ],
  },
  {
    name: 'conflicting-tail-kept',
    what: 'when entries are replaced, those beyond the new end stay on disk',
    patches: [
      patch<LogStore, readonly unknown[]>(LogStore.prototype, 'append', (store, original, args) => {
        Reflect.set(store, 'stageTailDeletion', () => undefined);
        original(...args);
        Reflect.deleteProperty(store, 'stageTailDeletion');
      }),
    ],
  },
  {
    name: 'no-tombstone',
    what: 'a removed replica leaves nothing behind that says so',
    patches: [
      patch<{ removed: Set<ReplicaId> }, [WriteBatch, ReplicaId]>(
        LogStore.prototype,
        'remove',
        ({ removed }, original, [batch, replica]) => {
          original(batch, replica);
          removed.delete(replica);
          const put = batch.operations.findIndex(({ type }) => type === 'put');
          (batch.operations as unknown[]).splice(put, 1);
        },
      ),
    ],
  },
  {
    name: 'two-log-writers',
    what: 'a log writer that was replaced can still write',
    patches: [
      patch<FencedLogEngine, [WriteBatch]>(FencedLogEngine.prototype, 'commit', ({ store }, _original, [batch]) =>
        store.write(batch, { sync: true }),
      ),
      patch(LogWriter.prototype, 'refusal', () => null),
    ],
  },
  {
    name: 'log-death-unnoticed',
    what: 'a member does not hear that its log writer has ended',
    patches: [
      patch(RaftMember.prototype, 'downed', () => true),
      patch(LogWriter.prototype, 'endSession', () => null),
      patch<{ waitedTicks: number }, [unknown]>(RaftMember.prototype, 'tick', (member, original, args) => {
        member.waitedTicks = 0;
        return original(...args);
      }),
    ],
  },
  {
    name: 'replica-not-restarted',
    what: 'a replica that ended is not started again',
    patches: [patch(LocalReplicas.prototype, 'down', () => undefined)],
  },
  {
    name: 'removal-not-repeated',
    what: 'a removal of which an answer was lost is never asked for again',
    patches: [
      patch<LocalReplicas, [{ readonly state: string }, ActorContext]>(
        LocalReplicas.prototype,
        'driveRemoval',
        (_replicas, original, [local, context]) => {
          const once = Object.create(context, { setTimer: { value: () => undefined } });
          return original(local, once);
        },
      ),
    ],
  },
  {
    name: 'apply-by-who-i-am',
    what: 'what an entry does depends on the replica that applies it',
    patches: [
      patch<{ options: { replica: ReplicaId } }, [Descriptor, readonly unknown[], unknown]>(
        ShardMachine.prototype,
        'write',
        ({ options }, original, [descriptor, ...rest]) => {
          const isOdd = options.replica % 3 === 0 && descriptor.appliedIndex % 40 === 0;
          return original(isOdd ? { ...descriptor, digest: descriptor.digest ^ 1n } : descriptor, ...rest);
        },
      ),
    ],
  },
  {
    name: 'entry-applied-twice',
    what: 'the applied index on disk lags one entry behind the points',
    patches: [
      patch<ShardMachine, [Descriptor, readonly unknown[], unknown]>(
        ShardMachine.prototype,
        'write',
        (machine, original, [descriptor, changes, schema]) => {
          const appliedIndex = logIndex(Math.max(0, descriptor.appliedIndex - 1));
          const lagging = changes.length > 0 ? { ...descriptor, appliedIndex } : descriptor;
          original(lagging, changes, schema);
          Reflect.set(machine, 'descriptor', descriptor);
        },
      ),
    ],
  },
  {
    name: 'deletions-not-indexed',
    what: 'points that were deleted are still found',
    patches: [
      patch<IndexFeed, [readonly { readonly record: { readonly deleted: boolean } }[], number, unknown]>(
        IndexFeed.prototype,
        'changed',
        (_feed, original, [changes, appliedIndex, offered]) =>
          original(
            changes.filter(({ record }) => !record.deleted),
            appliedIndex,
            offered,
          ),
      ),
    ],
  },
  {
    name: 'ids-used-again',
    what: 'the placement driver gives the ids of a deleted collection’s replicas to the next one',
    patches: [
      patch<{ store: { counters: Record<string, number>; setCounters(counters: unknown): void } }, [unknown]>(
        PlacementMachine.prototype,
        'deleteCollection',
        ({ store }, original, args) => {
          const outcome = original(...args);
          const { counters } = store;
          store.setCounters({ ...counters, replica: Math.max(4, (counters['replica'] ?? 0) - 3) });
          return outcome;
        },
      ),
    ],
  },
  {
    name: 'attempt-answers-another',
    what: 'the gateway takes the answer to one request for that to the next',
    patches: [
      patch<GroupCalls, [{ readonly request: number }, unknown]>(
        GroupCalls.prototype,
        'receive',
        (_calls, original, [reply, from]) =>
          original({ ...reply, request: reply.request + (reply.request % 50 === 0 ? 1 : 0) }, from),
      ),
    ],
  },
  {
    name: 'call-without-end',
    what: 'a call of the gateway that has run out of time goes on',
    patches: [patch(GroupCalls.prototype, 'expire', () => undefined)],
  },
  {
    name: 'all-refusals-are-safe',
    what: 'the gateway forgets that an attempt may still be executed when it tells the client of a failure',
    patches: [
      patch<GroupCalls, [{ unknownCount: number; open: Set<number> }]>(
        GroupCalls.prototype,
        'expire',
        (_calls, original, [entry]) => {
          entry.unknownCount = 0;
          entry.open.clear();
          return original(entry);
        },
      ),
    ],
  },
];
