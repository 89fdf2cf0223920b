import { list, struct, varint } from './codec';
import { clusterIdCodec, epochCodec, nodeNameCodec, shardIdCodec } from './ids';
import { raftMessageCodec } from './raft-messages';

/** A heartbeat, or the answer to one, that waits for its machine's next message. */
const beatCodec = struct({ shard: shardIdCodec, epoch: epochCodec, message: raftMessageCodec });

/**
 * Heartbeats of many groups (DESIGN D2): replicas and thread keepers hand theirs to their machine's `beats` actor, which
 * sends one message to each other machine. A `life` names one keeper of one thread of one process, and is drawn at random:
 * hearing it is hearing every replica that thread hosts. Tags 120 to 139, of which 125
 * was never written to a disk or sent to another machine, and is free.
 */
export const groupVariants = {
  /** From a thread's keeper to the members it hosts; never leaves the thread. `tick`: time passes. */
  120: ['group.tick', struct({})],
  /** A thread that the member's sleep relies on has fallen silent. */
  121: ['group.doubt', struct({})],
  /** A thread hosts replicas with peers on these nodes. That it lives is on the machine's BeatBoard. */
  122: ['beat.alive', struct({ life: varint, nodes: list(nodeNameCodec) })],
  123: ['beat.carry', struct({ node: nodeNameCodec, beat: beatCodec })],
  /** From machine to machine. `lives`: its threads that have spoken lately, and no others. */
  124: ['beat.machine', struct({ cluster: clusterIdCodec, lives: list(varint), beats: list(beatCodec) })],
} as const;
