import type { LogIndex, ReplicaId } from '../base/ids';
import { groupMembersMax } from '../base/limits';
import type { Prng } from '../base/prng';
import type { MessageOf } from '../protocol/messages';
import type { Configuration, SnapshotMeta } from '../protocol/raft-messages';
import type { RaftCore } from '../raft/types';
import type { ActorContext } from '../runtime/actor';
import type { RaftMemberOptions } from './raft-member-options';
import type { MemberPeers } from './raft-member-peers';
import { SnapshotReceiver, type SnapshotReceiverPort } from './snapshot-receiver';
import { SnapshotSender } from './snapshot-sender';

type SnapshotMessage = MessageOf<'peer.snapshotChunk' | 'peer.snapshotProgress'>;

/** What one member sends and takes of whole states. It sends while it runs, and only what its core asked for. */
export class MemberSnapshots {
  private readonly receiver: SnapshotReceiver;
  private sender: SnapshotSender | null = null;

  constructor(
    private readonly options: RaftMemberOptions,
    private readonly peers: MemberPeers,
    private readonly core: () => RaftCore | null,
    installed: SnapshotReceiverPort['installed'],
  ) {
    this.receiver = new SnapshotReceiver({
      machine: options.machine,
      needed: (meta) => this.needs(meta),
      syncBytes: options.tuning.snapshotWindowBytes / 2,
      progress: (to, body, context) => peers.sendProgress(to, body, context),
      installed,
    });
  }

  get isActive(): boolean {
    return this.sender?.isActive === true || this.receiver.isActive;
  }
  /** Chunks that came before their time. */
  get aheadCount(): number {
    return this.receiver.aheadCount;
  }
  get resumedCount(): number {
    return this.receiver.resumedCount;
  }
  /** The log must keep everything after it; null: no stream. */
  get oldestIndex(): LogIndex | null {
    return this.sender?.oldestIndex ?? null;
  }

  /** The member has a core. */
  run(random: Prng): void {
    this.sender = this.newSender(random.uint32() * 2 ** 16);
  }

  start(to: ReplicaId, context: ActorContext): void {
    this.sender?.start(to, context);
  }

  handle(message: SnapshotMessage, context: ActorContext): void {
    if (message.kind === 'peer.snapshotProgress') this.sender?.progressed(message.from, message, context);
    else if (!this.isBehind(message)) this.receiver.chunk(message, context);
  }

  tick(context: ActorContext): void {
    this.sender?.tick(context);
    this.receiver.tick();
  }

  /** The member leads no more. */
  closeAll(): void {
    this.sender?.closeAll();
  }

  halt(): void {
    this.receiver.suspend();
    this.closeAll();
    this.sender = null;
  }

  /**
   * Whoever has applied more than this member has seen every change of members and of range that it has, and says so in the
   * envelope (docs/decisions/0026). Anything else with an older epoch is no news, or no truth.
   */
  private isBehind({ epoch, meta }: MessageOf<'peer.snapshotChunk'>): boolean {
    const { machine, epoch: own } = this.options;
    const { version, confVersion } = own();
    return meta.index > machine.appliedIndex && (epoch.version < version || epoch.confVersion < confVersion);
  }

  private newSender(streamFirst: number): SnapshotSender {
    const { machine, configuration, tuning } = this.options;
    return new SnapshotSender(
      {
        machine,
        windowBytes: tuning.snapshotWindowBytes,
        configuration: () => configuration(),
        send: (to, body, context) => this.peers.sendChunk(to, body, context),
        finished: (to, ok) => this.core()?.snapshotFinished(to, ok),
      },
      streamFirst,
    );
  }

  /**
   * A log that holds the snapshot's last entry already leads there, and may hold more that was acknowledged. A leader has
   * what is committed, terms never fall along a log, and no group is without voters: what says otherwise is no snapshot.
   */
  private needs({ index, term, configuration }: SnapshotMeta): boolean {
    const core = this.core();
    if (core === null || core.role === 'leader' || !isGroup(configuration)) return false;
    if (index <= core.commitIndex || index > indexMax) return false;
    return term > 0 && term >= (core.termAt(core.commitIndex) ?? 0) && core.termAt(index) !== term;
  }
}

/** Beyond all logs there will be, and far below where counting further ends. */
const indexMax = 2 ** 48;

/** Somebody votes, and nobody is named twice but the voters that go over from one half of a change to the other. */
function isGroup({ voters, votersOutgoing, learners }: Configuration): boolean {
  const parts = [voters, votersOutgoing, learners];
  if (voters.length === 0 || parts.some((part) => part.length > groupMembersMax)) return false;
  if (parts.some((part) => new Set(part).size < part.length || part.some((member) => member <= 0))) return false;
  return learners.every((learner) => !voters.includes(learner));
}
