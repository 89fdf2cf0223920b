import { LogWriter, type LogWriterOptions } from '../../src/actors/log-writer';
import { RaftMember } from '../../src/actors/raft-member';
import type { ReadDone } from '../../src/actors/raft-member-waiters';
import type { OpenRequest } from '../../src/actors/replica-requests';
import { ReplicaWrites } from '../../src/actors/replica-writes';
import { VectronError } from '../../src/base/errors';
import { logIndex, noReplica } from '../../src/base/ids';
import { GatewayActor } from '../../src/gateway/gateway-actor';
import { type GroupCall, GroupCalls, type GroupOutcome } from '../../src/gateway/group-calls';
import { PlacementMachine } from '../../src/placement/machine';
import type { MessageOf } from '../../src/protocol/messages';
import type { HardState } from '../../src/protocol/raft-messages';
import type { ActorContext } from '../../src/runtime/actor';
import { RequestNumbers } from '../../src/runtime/request-numbers';
import { ChangeTable } from '../../src/shard/change-table';
import { IndexFeed } from '../../src/shard/index-feed';
import { ShardMachine } from '../../src/shard/shard-machine';
import { ShardSnapshotSink } from '../../src/shard/snapshot-sink';
import { ShardSnapshotSource } from '../../src/shard/snapshot-source';
import { FencedLogEngine } from '../../src/storage/log-engine';
import { LogStore } from '../../src/storage/log-store';
import type { WriteBatch } from '../../src/storage/ports';
import { type Mutation, patch } from './mutation';

type LogWrite = MessageOf<'log.append'> | MessageOf<'log.reset'>;

/** Bugs in stores, state machines, actors and gateway. */
export const hostMutations: readonly Mutation[] = [
  {
    name: 'log-not-synced',
    what: 'the log writer acknowledges what is written but not synced',
    patches: [
      patch<FencedLogEngine, [WriteBatch]>(FencedLogEngine.prototype, 'commit', (engine, _original, [batch]) =>
        engine.store.write(batch, { sync: false }),
      ),
    ],
  },
  {
    name: 'vote-not-stored',
    what: 'the vote is not in the hard state that is written',
    patches: [
      patch<LogStore, [WriteBatch, number, HardState | null, unknown]>(
        LogStore.prototype,
        'append',
        (_store, original, [batch, replica, hardState, entries]) =>
          original(batch, replica, hardState && { ...hardState, vote: noReplica }, entries),
      ),
    ],
  },
  {
    name: 'no-incarnation-barrier',
    what: 'writes of a replica’s earlier incarnation still reach its log',
    patches: [
      patch<LogWriter, []>(LogWriter.prototype, 'dropWrites', () => undefined),
      patch<{ logs: LogStore }, [LogWrite, WriteBatch]>(
        LogWriter.prototype,
        'write',
        (writer, _original, [request, batch]) => {
          const { replica, incarnation, write } = request;
          if (request.kind === 'log.append') writer.logs.append(batch, replica, request.hardState, request.entries);
          else writer.logs.reset(batch, replica, request.index, request.term, request.hardState);
          return { kind: 'log.appended', replica, incarnation, write };
        },
      ),
    ],
  },
  {
    name: 'truncate-before-state-sync',
    what: 'a log loses its head before the state that replaces it is on disk',
    patches: [
      patch<{ options: LogWriterOptions }, [ActorContext]>(
        LogWriter.prototype,
        'truncate',
        (writer, original, args) => {
          writer.options = { ...writer.options, state: { sync: () => undefined } };
          return original(...args);
        },
      ),
    ],
  },
  {
    name: 'applied-index-apart',
    what: 'the applied index is not in the batch that holds the points',
    patches: [
      patch<ShardMachine, [unknown, readonly unknown[], unknown]>(
        ShardMachine.prototype,
        'write',
        (_machine, original, [descriptor, changes, schema]) => {
          original(descriptor, [], schema);
          original(descriptor, changes, schema);
        },
      ),
    ],
  },
  {
    name: 'snapshot-misses-changes',
    what: 'points that change while a snapshot is read are missing from it, and its receiver does not count',
    patches: [
      patch(ShardSnapshotSource.prototype, 'beforeChange', () => undefined),
      patch<{ header: unknown }, []>(ShardSnapshotSink.prototype, 'verified', (sink) => sink.header),
    ],
  },
  {
    name: 'index-left-behind',
    what: 'after a restart or a snapshot the index is not brought level with the store',
    patches: [
      patch<{ work: unknown }, []>(IndexFeed.prototype, 'begin', (feed, original) => {
        original();
        feed.work = null;
      }),
    ],
  },
  {
    name: 'change-table-forgets',
    what: 'now and then a change is not written into the table that a restart goes by',
    patches: [
      patch<ChangeTable, [unknown, readonly string[], number, number]>(
        ChangeTable.prototype,
        'add',
        (_table, original, [batch, ids, before, index]) => original(batch, index % 7 === 0 ? [] : ids, before, index),
      ),
    ],
  },
  {
    name: 'index-misses-changes',
    what: 'now and then a change does not reach the index',
    patches: [
      patch<IndexFeed, [readonly unknown[], number, unknown]>(
        IndexFeed.prototype,
        'changed',
        (_feed, original, [changes, appliedIndex, ...rest]) =>
          original(appliedIndex % 20 === 0 ? [] : changes, appliedIndex, ...rest),
      ),
    ],
  },
  {
    name: 'placement-rows-lost',
    what: 'the placement driver applies a change and does not store its records',
    patches: [
      patch(PlacementMachine.prototype, 'drainWrites', (_machine, original) => {
        original();
        return [];
      }),
    ],
  },
  {
    name: 'acknowledge-before-quorum',
    what: 'a replica acknowledges a write that it has only proposed',
    patches: [
      patch<ReplicaWrites, [OpenRequest<MessageOf<'data.write'>>, ActorContext]>(
        ReplicaWrites.prototype,
        'accept',
        (_writes, original, [request, context]) => {
          original(request, context);
          const { request: number, shard } = request.message;
          const done = { kind: 'data.written', request: number, shard, failure: null } as const;
          const effect = { index: logIndex(0), affected: 1, versions: [], previous: [], previousOmitted: 0 };
          request.reply({ ...done, ...effect, replayed: false, conflict: null }, context);
        },
      ),
    ],
  },
  {
    name: 'read-without-quorum',
    what: 'a linearizable read is served without asking a quorum',
    patches: [
      patch<RaftMember, [ReadDone, ActorContext]>(
        RaftMember.prototype,
        'readIndex',
        (_member, _original, [done, context]) => done(true, context),
      ),
    ],
  },
  {
    name: 'gateway-hides-failures',
    what: 'the gateway acknowledges a write that it could not deliver in time',
    patches: [
      patch<GroupCalls, [{ readonly call: GroupCall }, GroupOutcome]>(
        GroupCalls.prototype,
        'finish',
        (_calls, original, [entry, outcome]) => {
          const hides = outcome.kind === 'failed' && entry.call.message(0, 0).kind === 'data.write';
          const reply = {
            kind: 'data.written',
            request: 0,
            shard: 0,
            failure: null,
            index: 0,
            affected: 1,
            versions: [],
            previous: [],
          };
          original(entry, hides ? { kind: 'answered', reply, unsureCount: 0 } : outcome);
        },
      ),
    ],
  },
  {
    name: 'requests-count-from-one',
    what: 'a process that starts again uses the request numbers of its predecessor again',
    patches: [
      patch<{ first: number; last: number }, []>(RequestNumbers.prototype, 'next', (numbers) => {
        numbers.first = 1;
        return ++numbers.last;
      }),
    ],
  },
  {
    name: 'stopped-gateway-says-untouched',
    what: 'a gateway that stops tells its clients that nothing of their writes was applied',
    patches: [
      patch<{ running: Iterable<{ fail(error: VectronError): void }> }, []>(
        GatewayActor.prototype,
        'stopped',
        (gateway) => {
          for (const call of [...gateway.running]) call.fail(new VectronError('UNAVAILABLE', 'stopping'));
        },
      ),
    ],
  },
];
