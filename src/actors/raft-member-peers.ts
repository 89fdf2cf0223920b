import type { NodeName, ReplicaId, Term } from '../base/ids';
import { type Address, at, beatsActor, type Lane, lanes } from '../protocol/envelope';
import type { MessageOf } from '../protocol/messages';
import type { RaftEnvelope } from '../protocol/peer-messages';
import type { RaftMessage } from '../protocol/raft-messages';
import type { ActorContext } from '../runtime/actor';
import type { PeerHeader, RaftMemberOptions } from './raft-member-options';
import type { SleepBody } from './raft-member-sleep';
import type { SnapshotProgressBody } from './snapshot-receiver';
import type { SnapshotChunkBody } from './snapshot-sender';

export type PeerMessage = MessageOf<
  'peer.raft' | 'peer.snapshotChunk' | 'peer.snapshotProgress' | 'peer.checksum' | 'peer.sleep'
>;
export type ChecksumBody = Omit<MessageOf<'peer.checksum'>, 'kind' | keyof PeerHeader>;

const termLeapMax = 2 ** 32;

/** The envelope of messages between members: who may be heard, and where the others are. */
export class MemberPeers {
  /** Messages of another cluster, shard or replica, or from nobody of the group. */
  foreignCount = 0;

  constructor(private readonly options: RaftMemberOptions) {}

  /** Whether a message is for this member and from one of its group; counted if not. */
  isOurs(message: PeerMessage, termNow: Term): boolean {
    const { cluster, shard, self, addressOf } = this.options;
    const ours =
      message.cluster === cluster &&
      message.shard === shard &&
      message.to === self &&
      addressOf(message.from) !== null &&
      isSane(message, termNow);
    if (!ours) this.foreignCount++;
    return ours;
  }

  sendRaft(message: RaftMessage, context: ActorContext): void {
    const { to } = message;
    if (this.isForCarriage(message)) return this.carry(message, context);
    this.send(to, { kind: 'peer.raft', ...this.header(to), message }, lanes.consensus, context);
  }

  /**
   * Where a promise goes and what it says, for the log writer to send; null: it is sent from here as any other message,
   * or there is nobody to send it to.
   */
  promised(message: RaftMessage): { readonly to: Address; readonly envelope: RaftEnvelope } | null {
    const to = this.options.addressOf(message.to);
    if (to === null || this.isForCarriage(message)) return null;
    return { to, envelope: { ...this.header(message.to), message } };
  }

  /** Where the group's other members are. */
  nodes(): NodeName[] {
    const { self, configuration, addressOf } = this.options;
    const { voters, votersOutgoing, learners } = configuration();
    const others = [...voters, ...votersOutgoing, ...learners].filter((member) => member !== self);
    return others.flatMap((member) => addressOf(member)?.node ?? []);
  }

  sendSleep(to: ReplicaId, body: SleepBody, context: ActorContext): void {
    this.send(to, { kind: 'peer.sleep', ...this.header(to), ...body }, lanes.consensus, context);
  }

  /** A learner may not know yet where its leader is, and learns it from whatever comes straight from there. */
  private isForCarriage(message: RaftMessage): boolean {
    const { keeper, configuration } = this.options;
    return keeper !== undefined && isPlainBeat(message) && configuration().voters.includes(message.to);
  }

  /** With those of other groups for the same machine. */
  private carry(message: RaftMessage, context: ActorContext): void {
    const address = this.options.addressOf(message.to);
    if (address === null) return;
    const { epoch, shard } = this.options;
    const beat = { shard, epoch: epoch(), message };
    context.send(at(context.self.node, beatsActor), { kind: 'beat.carry', node: address.node, beat }, lanes.consensus);
  }

  /** In the data lane, where a megabyte delays no heartbeat. */
  sendChunk(to: ReplicaId, body: SnapshotChunkBody, context: ActorContext): void {
    this.send(to, { kind: 'peer.snapshotChunk', ...this.header(to), ...body }, lanes.data, context);
  }

  sendProgress(to: ReplicaId, body: SnapshotProgressBody, context: ActorContext): void {
    this.send(to, { kind: 'peer.snapshotProgress', ...this.header(to), ...body }, lanes.consensus, context);
  }

  sendChecksum(to: ReplicaId, body: ChecksumBody, context: ActorContext): void {
    this.send(to, { kind: 'peer.checksum', ...this.header(to), ...body }, lanes.data, context);
  }

  private header(to: ReplicaId): PeerHeader {
    const { cluster, shard, epoch, self } = this.options;
    return { cluster, shard, epoch: epoch(), from: self, to };
  }

  private send(to: ReplicaId, message: PeerMessage, lane: Lane, context: ActorContext): void {
    const address = this.options.addressOf(to);
    if (address !== null) context.send(address, message, lane);
  }
}

/** A heartbeat that no read waits for, or its answer. */
const isPlainBeat = (message: RaftMessage): boolean =>
  (message.kind === 'heartbeatRequest' || message.kind === 'heartbeatResponse') && message.readContext === 0;

/** The envelope tells the truth, and no single message makes the term leap out of reach: two kinds can make it rise. */
function isSane(message: PeerMessage, termNow: Term): boolean {
  const termMax = termNow + termLeapMax;
  if (message.kind === 'peer.snapshotChunk') return message.meta.term <= termMax;
  if (message.kind !== 'peer.raft') return true;
  const { from, to, term } = message.message;
  return from === message.from && to === message.to && term <= termMax;
}
