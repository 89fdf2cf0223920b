import { appendEntriesMax } from '../base/limits';
import { bool, bytes, list, nullable, oneOf, struct, type TypeOf, union, varint, versionedUnion } from './codec';
import { logIndexCodec, replicaIdCodec, termCodec } from './ids';

/** `noop` opens a leader's term; `command` belongs to the state machine; `config` changes the members. */
export const entryCodec = struct({
  term: termCodec,
  index: logIndexCodec,
  type: oneOf('noop', 'command', 'config'),
  data: bytes,
});
export type Entry = TypeOf<typeof entryCodec>;

/**
 * What must survive a crash beside the entries, in one record. `vote` 0 is nobody. `commit` may lag behind the truth.
 */
export const hardStateCodec = struct({ term: termCodec, vote: replicaIdCodec, commit: logIndexCodec });
export type HardState = TypeOf<typeof hardStateCodec>;

/** Who votes and who only learns. `votersOutgoing` is empty outside a joint configuration. */
export const configurationCodec = struct({
  voters: list(replicaIdCodec),
  votersOutgoing: list(replicaIdCodec),
  learners: list(replicaIdCodec),
});
export type Configuration = TypeOf<typeof configurationCodec>;

/**
 * What an entry of type `config` holds: the configuration that is in force from that entry on. `context` is the host's, for
 * instance where the members are; empty: nothing new. Durable: never change a variant, add one.
 */
export const configurationChangeCodec = versionedUnion('configuration change', {
  1: ['v1', struct({ configuration: configurationCodec, context: bytes })],
});
export type ConfigurationChange = TypeOf<typeof configurationChangeCodec>;

/** Names the state a snapshot holds: everything up to and including `index`, whose entry had `term`. */
export const snapshotMetaCodec = struct({ index: logIndexCodec, term: termCodec, configuration: configurationCodec });
export type SnapshotMeta = TypeOf<typeof snapshotMetaCodec>;

const header = { from: replicaIdCodec, to: replicaIdCodec, term: termCodec };

/** In a pre-vote request `term` is the term that would be campaigned in; in a granted response it is the same. */
export const raftMessageCodec = union({
  1: ['preVoteRequest', struct({ ...header, lastIndex: logIndexCodec, lastTerm: termCodec })],
  2: ['preVoteResponse', struct({ ...header, granted: bool })],
  3: ['voteRequest', struct({ ...header, lastIndex: logIndexCodec, lastTerm: termCodec, transfer: bool })],
  4: ['voteResponse', struct({ ...header, granted: bool })],
  5: [
    'appendRequest',
    struct({
      ...header,
      prevIndex: logIndexCodec,
      prevTerm: termCodec,
      commit: logIndexCodec,
      entries: list(entryCodec, appendEntriesMax),
    }),
  ],
  /**
   * `index` is the last index known to match when accepted, and the request's prevIndex when rejected; then `hintIndex`
   * and `hintTerm` say where the follower's log may still agree (Raft, section 5.3, last paragraphs).
   */
  6: [
    'appendResponse',
    struct({ ...header, rejected: bool, index: logIndexCodec, hintIndex: logIndexCodec, hintTerm: termCodec }),
  ],
  /** `readContext` 0 is none; otherwise the id of a read that waits for a quorum of answers. */
  7: ['heartbeatRequest', struct({ ...header, commit: logIndexCodec, readContext: varint })],
  8: ['heartbeatResponse', struct({ ...header, readContext: varint })],
  /** A follower asks the leader for a read index. */
  9: ['readIndexRequest', struct({ ...header, readContext: varint })],
  10: ['readIndexResponse', struct({ ...header, readContext: varint, index: nullable(logIndexCodec) })],
  11: ['timeoutNow', struct(header)],
  /** Sent by the snapshot's receiver once it is installed and durable. */
  12: ['snapshotInstalled', struct({ ...header, index: logIndexCodec })],
});
export type RaftMessage = TypeOf<typeof raftMessageCodec>;
export type RaftMessageKind = RaftMessage['kind'];
