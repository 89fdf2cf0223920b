import { bool, bytes, list, nullable, oneOf, struct, text, varint } from './codec';
import { addressCodec } from './envelope';
import { incarnationCodec, logIndexCodec, replicaIdCodec, termCodec } from './ids';
import { raftEnvelopeCodec } from './peer-messages';
import { entryCodec, hardStateCodec } from './raft-messages';

/**
 * Between raft members and their machine's log writer. Tags 20 to 39.
 *
 * `log.open` is the barrier of DESIGN D2: it drops every earlier write of the replica that has not been made durable
 * and answers with a new incarnation. From then on the log writer ignores writes of older incarnations, and a member
 * ignores completions of older ones. Completions of one replica come in the order of its writes.
 */
export const logVariants = {
  /** `descriptor` is kept with the replica (an encoded ReplicaSpec) if it has none yet; empty: must exist already. */
  20: ['log.open', struct({ replica: replicaIdCodec, descriptor: bytes })],
  21: [
    'log.opened',
    struct({
      replica: replicaIdCodec,
      outcome: oneOf('ready', 'removed', 'corrupt', 'unknown'),
      incarnation: incarnationCodec,
      descriptor: bytes,
      hardState: nullable(hardStateCodec),
      /** The log begins after this entry: (0, 0) for a log that was never truncated. */
      baseIndex: logIndexCodec,
      baseTerm: termCodec,
      entries: list(entryCodec),
    }),
  ],
  /** Entries replace whatever the log holds from the first one's index on. `write` numbers the member's writes from 1. */
  22: [
    'log.append',
    struct({
      replica: replicaIdCodec,
      incarnation: incarnationCodec,
      write: varint,
      hardState: nullable(hardStateCodec),
      entries: list(entryCodec),
    }),
  ],
  /** All writes up to `write` are on disk. */
  23: ['log.appended', struct({ replica: replicaIdCodec, incarnation: incarnationCodec, write: varint })],
  /**
   * The state up to `index` was written to the state store before this was sent. The log writer syncs the state store
   * (every 1 to 5 s), and only then truncates the log's head to it. No answer.
   */
  24: [
    'log.truncate',
    struct({ replica: replicaIdCodec, incarnation: incarnationCodec, index: logIndexCodec, term: termCodec }),
  ],
  /** A snapshot was installed: the log starts anew after `index`. Numbered and answered like an append. */
  25: [
    'log.reset',
    struct({
      replica: replicaIdCodec,
      incarnation: incarnationCodec,
      write: varint,
      index: logIndexCodec,
      term: termCodec,
      hardState: hardStateCodec,
    }),
  ],
  /** Destroys the log and leaves a tombstone: the id can never be opened again. Answered by log.removed once durable. */
  26: ['log.remove', struct({ replica: replicaIdCodec })],
  27: ['log.removed', struct({ replica: replicaIdCodec })],
  /** Every replica of this store: what a worker starts without a placement driver. */
  28: ['log.list', struct({ request: varint })],
  29: [
    'log.listed',
    struct({
      request: varint,
      replicas: list(struct({ replica: replicaIdCodec, removed: bool, descriptor: bytes })),
    }),
  ],
  /** The store failed a sync or found itself corrupt: nothing will be acknowledged again until it is replaced. */
  30: ['log.poisoned', struct({ reason: text })],
  /** A part of a log too long for one message, in order and before its log.opened, which has the rest. */
  31: [
    'log.openedEntries',
    struct({ replica: replicaIdCodec, incarnation: incarnationCodec, entries: list(entryCodec) }),
  ],
  /** What may be said once all writes up to `write` are on disk. The log writer says it then, in the member's place. */
  32: [
    'log.promise',
    struct({
      replica: replicaIdCodec,
      incarnation: incarnationCodec,
      write: varint,
      to: addressCodec,
      promise: raftEnvelopeCodec,
    }),
  ],
} as const;
