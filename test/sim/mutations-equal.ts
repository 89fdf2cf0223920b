import { ReplicaActor } from '../../src/actors/replica';
import { EqualityCheck } from '../../src/actors/replica-equality';
import { SnapshotReceiver } from '../../src/actors/snapshot-receiver';
import { logIndex, type ReplicaId } from '../../src/base/ids';
import type { Entry } from '../../src/protocol/raft-messages';
import { putProgress, type RestoreProgress } from '../../src/shard/restore-progress';
import { ShardMachine } from '../../src/shard/shard-machine';
import { ShardSnapshotSink, type SinkOptions } from '../../src/shard/snapshot-sink';
import { entriesFrom, hardStateKey } from '../../src/storage/keys';
import { type LogRecord, readEntry, readHardState } from '../../src/storage/log-records';
import { LogStore } from '../../src/storage/log-store';
import type { KeyValueStore } from '../../src/storage/ports';
import { WriteBatch } from '../../src/storage/ports';
import { type Mutation, patch } from './mutation';

/** Bugs in what replicas do about damage. */
export const equalMutations: readonly Mutation[] = [
  {
    name: 'checksum-not-compared',
    what: 'replicas exchange checksums and look at none',
    patches: [patch(EqualityCheck.prototype, 'judge', () => undefined)],
  },
  {
    name: 'records-not-scrubbed',
    what: 'records are read again only when somebody asks for them',
    patches: [patch(ShardMachine.prototype, 'scrubSlice', () => true)],
  },
  {
    name: 'damaged-replica-serves',
    what: 'a replica that knows it is damaged goes on',
    patches: [patch<ReplicaActor, []>(ReplicaActor.prototype, 'ended', () => undefined)],
  },
  {
    name: 'quarantine-forgotten',
    what: 'a damaged replica that starts again is who it was',
    patches: [
      patch<{ environment: { state: KeyValueStore } }, readonly unknown[]>(
        ReplicaActor.prototype,
        'started',
        (actor, original, [context]) => {
          const { state } = actor.environment;
          // The mark is the only sealed value that is asked for before the replica's parts exist.
          const blind = new Proxy(state, {
            get: (target, name) => {
              const value = Reflect.get(target, name);
              if (name !== 'get') return typeof value === 'function' ? value.bind(target) : value;
              return (key: Uint8Array) => (key[9] === 3 && key[0] === 2 ? undefined : target.get(key));
            },
          });
          actor.environment = { ...actor.environment, state: blind };
          return original(context);
        },
      ),
    ],
  },
  {
    name: 'torn-tail-in-the-middle',
    what: 'a damaged entry anywhere in a log is taken for the end of a write that a crash cut short',
    patches: [
      patch<{ store: KeyValueStore }, [ReplicaId, LogRecord]>(
        LogStore.prototype,
        'readLog',
        ({ store }, _original, [replica, record]) => {
          const key = hardStateKey(replica);
          const value = store.get(key);
          const entries: Entry[] = [];
          const range = entriesFrom(replica, logIndex(record.baseIndex + 1));
          for (const item of store.range({ ...range, countMax: Number.MAX_SAFE_INTEGER })) {
            try {
              entries.push(readEntry(item));
            } catch (thrown) {
              if (thrown instanceof Error) break;
            }
          }
          const last = record.baseIndex + entries.length;
          const hardState = value === undefined ? null : readHardState({ key, value });
          const commit = logIndex(Math.min(hardState?.commit ?? 0, last));
          return { hardState: hardState && { ...hardState, commit }, entries };
        },
      ),
    ],
  },
  {
    name: 'resume-with-a-foreign-chunk',
    what: 'a chunk of another snapshot is taken for the next one of the stream that came before, and the receiver does not count',
    patches: [
      patch(SnapshotReceiver.prototype, 'isOf', () => true),
      patch(ShardSnapshotSink.prototype, 'isOf', () => true),
      patch<{ header: unknown }, []>(ShardSnapshotSink.prototype, 'verified', (sink) => sink.header),
    ],
  },
  {
    name: 'progress-ahead-of-records',
    what: 'how far a snapshot was taken is written before the records of its latest chunk, and the receiver does not count',
    patches: [
      patch<{ progress(): RestoreProgress; options: SinkOptions }, [Uint8Array]>(
        ShardSnapshotSink.prototype,
        'accept',
        (sink, original, args) => {
          const batch = new WriteBatch();
          const progress = sink.progress();
          putProgress(batch, sink.options.replica, { ...progress, chunks: progress.chunks + 1 });
          sink.options.store.write(batch, { sync: true });
          return original(...args);
        },
      ),
      patch<{ header: unknown }, []>(ShardSnapshotSink.prototype, 'verified', (sink) => sink.header),
    ],
  },
];
