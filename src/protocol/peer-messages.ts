import { bool, bytes, oneOf, struct, type TypeOf, u64, varint } from './codec';
import { clusterIdCodec, epochCodec, logIndexCodec, replicaIdCodec, shardIdCodec, termCodec } from './ids';
import { raftMessageCodec, snapshotMetaCodec } from './raft-messages';

/** Every message between members of one group carries who they are and what they believe (DESIGN D7). */
const peerHeader = {
  cluster: clusterIdCodec,
  shard: shardIdCodec,
  epoch: epochCodec,
  from: replicaIdCodec,
  to: replicaIdCodec,
};

/** A member's message to another, without its kind: what a log writer is given to send. */
export const raftEnvelopeCodec = struct({ ...peerHeader, message: raftMessageCodec });
export type RaftEnvelope = TypeOf<typeof raftEnvelopeCodec>;

/** Between raft members of one group. Tags 1 to 19; 3 was an answer to chunks. Shard 0 is the placement driver's own group. */
export const peerVariants = {
  1: ['peer.raft', raftEnvelopeCodec],
  /** `chunk` counts from 0; `last` is 1 with the final one. `checksum` is over `data`. `stream` names one attempt. */
  2: [
    'peer.snapshotChunk',
    struct({
      ...peerHeader,
      meta: snapshotMetaCodec,
      stream: varint,
      chunk: varint,
      last: varint,
      checksum: varint,
      data: bytes,
    }),
  ],
  /** The sender's checksum of its state at `index`, a checksum command. `answer` false: it asks for the receiver's. */
  10: ['peer.checksum', struct({ ...peerHeader, index: logIndexCodec, checksum: u64, answer: bool })],
  /**
   * How many chunks of a stream the receiver has, in order, and how many of them are on its disk. `gap`: more was sent, go
   * back to `received`. `installed`: the state is the receiver's own, durably. `refused`: it will not take this stream.
   */
  11: [
    'peer.snapshotProgress',
    struct({
      ...peerHeader,
      stream: varint,
      received: varint,
      durable: varint,
      state: oneOf('streaming', 'gap', 'installed', 'refused'),
    }),
  ],
  /**
   * An idle group goes to sleep: its leader asks, every other member says that it is ready, the leader says sleep. `wake`
   * asks whoever sleeps to look after the group again. `life`: the sender's thread (group-messages.ts).
   */
  12: [
    'peer.sleep',
    struct({
      ...peerHeader,
      step: oneOf('ask', 'ready', 'sleep', 'wake'),
      term: termCodec,
      index: logIndexCodec,
      life: varint,
    }),
  ],
} as const;
