import { ReplicaReads } from '../../src/actors/replica-reads';
import type { OpenRequest } from '../../src/actors/replica-requests';
import { ReplicaWrites, type WritePort } from '../../src/actors/replica-writes';
import { ByFilterRun } from '../../src/gateway/operations/by-filter';
import type { Condition } from '../../src/protocol/commands';
import type { MessageOf } from '../../src/protocol/messages';
import { failure } from '../../src/runtime/refusal';
import { idsOf } from '../../src/shard/command-faults';
import { DedupeTable } from '../../src/shard/dedupe-table';
import { decodeRecord } from '../../src/shard/point-record';
import { ShardSnapshotSink } from '../../src/shard/snapshot-sink';
import { ShardSnapshotSource } from '../../src/shard/snapshot-source';
import { WritePart } from '../../src/shard/write-part';
import { type Mutation, patch } from './mutation';

type WriteRequest = OpenRequest<MessageOf<'data.write'>>;

/** Bugs in exactly-once writes, conditions and the levels of reads. */
export const onceMutations: readonly Mutation[] = [
  {
    name: 'dedupe-not-consulted',
    what: 'apply does not look whether a point knows the key',
    patches: [patch(DedupeTable.prototype, 'find', () => undefined)],
  },
  {
    name: 'dedupe-not-stored',
    what: 'the outcome of a write is not in the record it touches',
    patches: [patch<DedupeTable, []>(DedupeTable.prototype, 'remembering', (table) => table)],
  },
  {
    name: 'dedupe-window-ignored',
    what: 'a repetition after its window is taken for a new write',
    patches: [patch(WritePart.prototype, 'untimely', () => null)],
  },
  {
    name: 'settled-key-executed',
    what: 'a copy of a write that its session has called settled is taken for a new one',
    patches: [patch(DedupeTable.prototype, 'isSettled', () => false)],
  },
  {
    name: 'failure-not-remembered',
    what: 'a write that failed, or found nothing to delete, may happen when it is repeated',
    patches: [
      patch<WritePart, readonly unknown[]>(WritePart.prototype, 'settle', (part, _original, [item, result, index]) =>
        Reflect.apply(Reflect.get(part, 'remember'), part, [item, result, index]),
      ),
    ],
  },
  {
    name: 'by-filter-without-mark',
    what: 'a repeated change by filter changes what was written since it was first made',
    patches: [patch(ByFilterRun.prototype, 'markOf', () => ({ index: Number.MAX_SAFE_INTEGER, replayed: false }))],
  },
  {
    name: 'condition-at-propose',
    what: 'conditions are checked by the leader when it proposes, and not when the write is applied',
    patches: [
      patch(WritePart.prototype, 'violated', () => new Set()),
      patch<{ port: WritePort }, [WriteRequest]>(
        ReplicaWrites.prototype,
        'refusal',
        ({ port }, original, [request]) => original(request) ?? conflictNow(port, request.message),
      ),
    ],
  },
  {
    name: 'snapshot-forgets-touched',
    what: 'a snapshot takes a record for its own although a write has added its outcome since, and its receiver does not count',
    patches: [
      patch<{ index: number }, [string, Uint8Array]>(
        ShardSnapshotSource.prototype,
        'asOfSnapshot',
        ({ index }, original, [id, value]) => (decodeRecord(id, value).version <= index ? value : original(id, value)),
      ),
      patch<{ header: unknown }, []>(ShardSnapshotSink.prototype, 'verified', (sink) => sink.header),
    ],
  },
  {
    name: 'token-ignored',
    what: 'a read that presents a commit token does not wait for it',
    patches: [patch(ReplicaReads.prototype, 'isBehind', () => false)],
  },
  {
    name: 'age-forgotten',
    what: 'a replica that was fresh once takes itself for fresh',
    patches: [
      patch<{ freshAsOf: unknown }, []>(ReplicaReads.prototype, 'ageMs', ({ freshAsOf }) =>
        freshAsOf === null ? null : 0,
      ),
    ],
  },
];

function conflictNow({ machine }: WritePort, { operation, options }: MessageOf<'data.write'>) {
  const fails = idsOf(operation).some((id, i) => !holds(options.conditions[i], machine.get([id])[0]?.version ?? 0));
  return fails ? failure('FAILED_PRECONDITION', 'the condition does not hold') : null;
}

function holds(condition: Condition | undefined, version: number): boolean {
  if (condition === undefined || condition.kind === 'none') return true;
  if (condition.kind === 'version') return condition.version === version;
  return condition.kind === 'absent' ? version === 0 : version > 0;
}
