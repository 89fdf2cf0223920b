import type { LogIndex, ReplicaId } from '../base/ids';
import type { Prng } from '../base/prng';
import type { MessageOf } from '../protocol/messages';
import type { SnapshotMeta } from '../protocol/raft-messages';
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
    if (message.kind === 'peer.snapshotChunk') this.receiver.chunk(message, context);
    else this.sender?.progressed(message.from, message, context);
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

  /** A log that holds the snapshot's last entry already leads there, and may hold more that was acknowledged. */
  private needs(meta: SnapshotMeta): boolean {
    const core = this.core();
    return core !== null && meta.index > core.commitIndex && core.termAt(meta.index) !== meta.term;
  }
}
