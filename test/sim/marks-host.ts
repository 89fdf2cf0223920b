import { LogWriter } from '../../src/actors/log-writer';
import { RaftMember } from '../../src/actors/raft-member';
import { MemberLog } from '../../src/actors/raft-member-log';
import { MemberSnapshots } from '../../src/actors/raft-member-snapshots';
import type { ProposalOutcome } from '../../src/actors/raft-member-waiters';
import { PendingProposals, PendingReads } from '../../src/actors/raft-member-waiters';
import { EqualityCheck } from '../../src/actors/replica-equality';
import { ReplicaReads } from '../../src/actors/replica-reads';
import { ReplicaWrites } from '../../src/actors/replica-writes';
import { SnapshotReceiver } from '../../src/actors/snapshot-receiver';
import { LocalReplicas } from '../../src/actors/supervisor-replicas';
import type { LogIndex, ReplicaId } from '../../src/base/ids';
import type { MessageOf } from '../../src/protocol/messages';
import type { RemoveRecord } from '../../src/protocol/records';
import { ChangeTable } from '../../src/shard/change-table';
import { IndexFeed } from '../../src/shard/index-feed';
import { ShardMachine } from '../../src/shard/shard-machine';
import { ShardSnapshotSink } from '../../src/shard/snapshot-sink';
import { ShardSnapshotSource } from '../../src/shard/snapshot-source';
import { WritePart } from '../../src/shard/write-part';
import { LogStore } from '../../src/storage/log-store';
import { WorkerMachine } from './machine';
import { after, before, called, type Probe } from './marks';

const isSome = (_self: unknown, _args: unknown, result: unknown): boolean => result !== null && result !== undefined;
const isFalse = (_self: unknown, _args: unknown, result: unknown): boolean => result === false;

interface MemberParts {
  readonly current: string;
}

const members: readonly Probe[] = [
  before<MemberParts>(RaftMember.prototype, 'downed', {
    log_writer_died_under_a_member: (m) => m.current === 'running',
  }),
  before<MemberParts, [MessageOf<'log.opened'>]>(RaftMember.prototype, 'opened', {
    log_opened_with_entries: (_m, [{ entries }]) => entries.length > 0,
    log_opened_after_a_snapshot: (_m, [{ baseIndex }]) => baseIndex > 0,
    corrupt_log_found_at_start: (_m, [{ outcome }]) => outcome === 'corrupt',
    log_opened_twice: (m) => m.current === 'running',
    term_without_entries_at_start: (_m, [{ hardState, entries }]) => hardState !== null && entries.length === 0,
  }),
  after<MemberSnapshots>(MemberSnapshots.prototype, 'needs', { snapshot_not_needed_any_more: isFalse }),
  before<MemberParts>(RaftMember.prototype, 'installed', {
    snapshot_installed: () => true,
  }),
  called(RaftMember.prototype, 'quarantine', 'member_put_in_quarantine'),
  called(MemberLog.prototype, 'reset', 'log_began_anew'),
  before<{ readonly byIndex: ReadonlyMap<LogIndex, unknown> }>(PendingProposals.prototype, 'failAll', {
    proposals_became_unknown: ({ byIndex }) => byIndex.size > 0,
  }),
  after<PendingReads, [number, boolean]>(PendingReads.prototype, 'end', {
    read_round_refused: (_reads, args) => (args as readonly unknown[])[2] === false,
  }),
  before<{ readonly rounds: ReadonlyMap<number, unknown> }>(PendingReads.prototype, 'failAll', {
    reads_ended_with_their_member: ({ rounds }) => rounds.size > 0,
  }),
];

interface WriterParts {
  readonly queue: readonly { readonly request: { readonly replica: ReplicaId; readonly kind: string } }[];
  readonly truncations: ReadonlyMap<ReplicaId, unknown>;
}

const logs: readonly Probe[] = [
  before<WriterParts>(LogWriter.prototype, 'flush', {
    one_sync_for_several_replicas: ({ queue }) => new Set(queue.map(({ request }) => request.replica)).size > 1,
    one_sync_for_several_writes: ({ queue }) => queue.length > 4,
  }),
  before<WriterParts, [ReplicaId]>(LogWriter.prototype, 'dropWrites', {
    waiting_writes_dropped_at_open: ({ queue }, [replica]) =>
      queue.some(({ request }) => request.replica === replica && request.kind === 'log.append'),
    truncation_dropped_at_open: ({ truncations }, [replica]) => truncations.has(replica),
  }),
  after(LogWriter.prototype, 'write', { write_of_an_earlier_incarnation_ignored: (_w, _a, reply) => reply === null }),
  called(LogWriter.prototype, 'refuse', 'failed_store_refuses_a_request'),
  called(LogWriter.prototype, 'remove', 'log_removed_for_good'),
  before<WriterParts>(LogWriter.prototype, 'truncate', {
    state_synced_for_several_logs: ({ truncations }) => truncations.size > 1,
  }),
  before<LogStore, [unknown, ReplicaId, number, number]>(LogStore.prototype, 'stageTailDeletion', {
    stored_tail_deleted: (_store, [, , first, last]) => first <= last,
  }),
  before<{ readonly garbage: readonly unknown[] }>(LogStore.prototype, 'sweep', {
    stored_head_deleted: ({ garbage }) => garbage.length > 0,
  }),
  after<LogStore, unknown[], boolean>(LogStore.prototype, 'truncate', { truncation_came_too_late: isFalse }),
];

interface ReceiverParts {
  readonly incoming: SnapshotReceiver['incoming'];
}
type Chunk = MessageOf<'peer.snapshotChunk'>;

const snapshots: readonly Probe[] = [
  before<ReceiverParts, [Chunk]>(SnapshotReceiver.prototype, 'chunk', {
    snapshot_chunk_seen_before: ({ incoming }, [{ stream, chunk }]) =>
      incoming?.stream === stream && chunk < incoming.received,
    snapshot_chunk_out_of_order: ({ incoming }, [{ stream, chunk }]) =>
      incoming?.stream === stream && chunk > incoming.received,
    newer_snapshot_displaced_one_under_way: ({ incoming }, [{ stream }]) =>
      incoming !== null && incoming.stream !== stream,
    snapshot_chunk_for_nobody: ({ incoming }, [{ chunk }]) => incoming === null && chunk > 0,
  }),
  before<ReceiverParts>(SnapshotReceiver.prototype, 'abort', { snapshot_given_up_midway: (r) => r.incoming !== null }),
  called(ShardSnapshotSink.prototype, 'finish', 'snapshot_complete'),
  called(ShardSnapshotSource.prototype, 'beforeChange', 'write_while_a_snapshot_is_read'),
  called(ShardSnapshotSource.prototype, 'fail', 'snapshot_source_replaced'),
  after(ShardMachine.prototype, 'collectGarbage', { replaced_points_deleted_in_slices: isFalse }),
  after(ShardMachine.prototype, 'catchUpIndex', { index_brought_level_in_slices: isFalse }),
  before<{ readonly restoring: unknown }>(ShardMachine.prototype, 'openRestore', {
    restore_begun_anew: ({ restoring }) => restoring !== null,
  }),
  before<{ readonly work: unknown }>(IndexFeed.prototype, 'changed', {
    write_while_the_index_is_behind: ({ work }) => work !== null,
  }),
  after<IndexFeed, unknown[], unknown>(IndexFeed.prototype, 'begin', {
    index_brought_level_by_the_table_of_changes: (feed) => kindOfWork(feed) === 'changes',
    index_waits_for_its_file: (feed) => kindOfWork(feed) === 'loading',
    index_brought_level_by_all_records: (feed) => kindOfWork(feed) === 'records',
  }),
  before(ChangeTable.prototype, 'trim', { table_of_changes_trimmed: () => true }),
];

const kindOfWork = (feed: unknown): string | undefined => (feed as { work: { kind: string } | null }).work?.kind;

const requests: readonly Probe[] = [
  after(WritePart.prototype, 'untimely', { idempotency_key_out_of_its_window: isSome }),
  after<WritePart, unknown[], ReadonlySet<unknown>>(WritePart.prototype, 'violated', {
    condition_failed_at_apply: (_part, _args, items) => items.size > 0,
  }),
  before<WritePart, [unknown, LogIndex, boolean]>(WritePart.prototype, 'answer', {
    write_answered_from_memory: (_part, [, , replayed]) => replayed,
  }),
  before<ReplicaWrites, [unknown, ProposalOutcome]>(ReplicaWrites.prototype, 'settled', {
    write_of_unknown_outcome: (_writes, [, { kind }]) => kind === 'unknown',
  }),
  after<ReplicaWrites, unknown[], { readonly code: string } | null>(ReplicaWrites.prototype, 'refusal', {
    write_refused_by_a_follower: (_writes, _args, refusal) => refusal?.code === 'NOT_LEADER',
  }),
  after<ReplicaReads, [MessageOf<'data.get'>], boolean>(ReplicaReads.prototype, 'isBehind', {
    read_waits_for_its_token: (_reads, _args, behind) => behind,
  }),
  after<ReplicaReads, [MessageOf<'data.get'>], { readonly code: string } | null>(ReplicaReads.prototype, 'refusal', {
    leader_read_refused: (_reads, _args, refusal) => refusal?.code === 'NOT_LEADER',
  }),
  before<ReplicaReads, [unknown, boolean]>(ReplicaReads.prototype, 'confirmed', {
    read_not_confirmed: (_reads, [, ok]) => !ok,
  }),
  before<{ readonly port: { readonly machine: ShardMachine } }, [MessageOf<'data.get'>]>(
    ReplicaReads.prototype,
    'read',
    {
      search_on_a_small_graph: ({ port }, [{ kind }]) => (kind as string) === 'data.search' && port.machine.points < 5,
    },
  ),
  before<EqualityCheck, [string | null]>(EqualityCheck.prototype, 'settle', {
    replicas_agreed_on_a_checksum: (_check, [reason]) => reason === null,
  }),
];

const lives: readonly Probe[] = [
  called(LocalReplicas.prototype, 'down', 'replica_ended_by_itself'),
  before<LocalReplicas, [{ readonly restarts: number }]>(LocalReplicas.prototype, 'launch', {
    replica_started_again: (_replicas, [{ restarts }]) => restarts > 0,
    replica_started_again_and_again: (_replicas, [{ restarts }]) => restarts > 2,
  }),
  before<{ tombstones: ReadonlySet<ReplicaId>; replicas: ReadonlyMap<ReplicaId, unknown> }, [RemoveRecord]>(
    LocalReplicas.prototype,
    'remove',
    {
      removal_repeated: ({ tombstones }, [{ replica }]) => tombstones.has(replica),
      removed_before_it_ever_came: ({ tombstones, replicas }, [{ replica }]) =>
        !tombstones.has(replica) && !replicas.has(replica),
    },
  ),
  before<WorkerMachine>(WorkerMachine.prototype, 'crash', {
    crash_with_an_unsynced_log: ({ disk }) => disk.log.unsyncedCount > 0,
    crash_with_unsynced_state: ({ disk }) => disk.state.unsyncedCount > 0,
    crash_in_the_middle_of_a_write: ({ dying }) => dying,
    crash_after_a_disk_error: ({ sick }) => sick,
    leader_crashed: ({ replicas }) => [...replicas.values()].some(({ actor }) => actor.member?.isLeader === true),
    candidate_crashed: ({ replicas }) => [...replicas.values()].some(({ actor }) => actor.member?.role === 'candidate'),
    crash_with_proposals_pending: ({ replicas }) =>
      [...replicas.values()].some(({ actor }) => (actor.member?.pendingCount ?? 0) > 0),
    crash_with_reads_pending: ({ replicas }) =>
      [...replicas.values()].some(({ actor }) => (actor.member?.pendingReadCount ?? 0) > 0),
    crash_before_the_log_was_open: ({ replicas }) =>
      [...replicas.values()].some(({ actor }) => actor.member?.state === 'opening'),
    crash_behind_in_apply: ({ replicas }) =>
      [...replicas.values()].some(
        ({ actor: { member } }) => (member?.raft?.appliedIndex ?? 0) < (member?.commitIndex ?? 0),
      ),
  }),
];

export const hostProbes: readonly Probe[] = [...members, ...logs, ...snapshots, ...requests, ...lives];
