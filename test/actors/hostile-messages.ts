import { crc32c } from '../../src/base/crc32c';
import { clusterId, logIndex, type ReplicaId, replicaId, shardId, term } from '../../src/base/ids';
import { snapshotChunkBytesMax } from '../../src/base/limits';
import type { Prng } from '../../src/base/prng';
import type { MessageOf } from '../../src/protocol/messages';
import type { Configuration, Entry, RaftMessage } from '../../src/protocol/raft-messages';

type PeerMessage = MessageOf<
  'peer.raft' | 'peer.snapshotChunk' | 'peer.snapshotProgress' | 'peer.checksum' | 'peer.sleep'
>;
type Header = Pick<MessageOf<'peer.raft'>, 'cluster' | 'shard' | 'epoch' | 'from' | 'to'>;

/** What is true of the member that hears the messages. */
export interface Truth {
  readonly header: Header;
  readonly group: readonly ReplicaId[];
  readonly leader: ReplicaId;
  readonly term: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
}

const far = 2 ** 53 - 1;
const asChunk = (body: Omit<MessageOf<'peer.snapshotChunk'>, 'kind'>): PeerMessage => ({
  kind: 'peer.snapshotChunk',
  ...body,
});
const snapshotStates = ['streaming', 'gap', 'installed', 'refused'] as const;
const steps = ['ask', 'ready', 'sleep', 'wake'] as const;

/**
 * Messages as a hostile or damaged peer might send them: such that the wire carries them, so without numbers below 0, and
 * wrong in what they say. Not among them are those that nobody can tell from true ones, a vote that was not given or an
 * entry that the leader did not write: Raft trusts its members in these.
 */
export class HostileMessages {
  constructor(
    private readonly random: Prng,
    private readonly truth: () => Truth,
  ) {}

  next(): PeerMessage {
    const { random } = this;
    const message = this.body();
    if (random.chance(0.6)) return message;
    const wrong = this.wrongHeader();
    const header = { ...message, ...wrong };
    if (header.kind !== 'peer.raft' || random.chance(0.5)) return header;
    return { ...header, message: { ...header.message, from: header.from, to: header.to } };
  }

  /** Many of one sort, each a little different, as one that is stuck in a loop would send them. */
  burst(count: number): PeerMessage[] {
    const { random } = this;
    const { header, group, lastIndex, term: termNow } = this.truth();
    const about = { ...header, from: random.pick(group.filter((one) => one !== header.to)) };
    const meta = { index: logIndex(lastIndex + 1_000), term: term(termNow), configuration: this.members(group) };
    const data = new Uint8Array(random.between(0, 1));
    const chunk = { ...about, meta, stream: 5, last: 0, checksum: crc32c(data), data };
    const numbered = Array.from({ length: count }, (_, n) => n + 2);
    const strange = random.chance(0.4);
    const first = { ...chunk, chunk: 0, data: Uint8Array.of(9, 9), checksum: crc32c(Uint8Array.of(9, 9)) };
    if (!strange) return [first, ...numbered.map((n) => ({ ...chunk, chunk: n }))].map(asChunk);
    return numbered.map((n) => asChunk({ ...chunk, chunk: 3, from: replicaId(1_000 + n) }));
  }

  private members(voters: readonly ReplicaId[]): Configuration {
    return { voters, votersOutgoing: [], learners: [] };
  }

  private wrongHeader(): Partial<Header> {
    const { random } = this;
    return random.pick<Partial<Header>>([
      { cluster: clusterId('other') },
      { shard: shardId(random.pick([0, 2, far])) },
      { to: replicaId(random.pick([0, 99, far])) },
      { from: replicaId(random.pick([0, far, random.between(1_000, 1_000_000)])) },
    ]);
  }

  /** Near what is true, or nowhere near it. */
  private number(near: number): number {
    const { random } = this;
    return random.pick([
      near,
      near + 1,
      Math.max(near - 1, 0),
      near + random.between(1, 100),
      0,
      2 ** 40,
      far - 1,
      far,
    ]);
  }

  private body(): PeerMessage {
    const { random, truth } = this;
    const { header, group, lastIndex, term: termNow } = truth();
    const from = random.pick(group.filter((one) => one !== header.to));
    const about = { ...header, from };
    const draw = random.between(0, 4);
    if (draw === 0) return { kind: 'peer.raft', ...about, message: this.raft({ from, to: header.to }) };
    if (draw === 1) return this.chunk(about);
    if (draw === 2) {
      const counts = { stream: this.number(5), received: this.number(3), durable: this.number(3) };
      return { kind: 'peer.snapshotProgress', ...about, ...counts, state: random.pick(snapshotStates) };
    }
    const index = logIndex(this.number(lastIndex));
    if (draw === 3) {
      const checksum = BigInt(random.uint32()) * 2n ** 32n + BigInt(random.uint32());
      return { kind: 'peer.checksum', ...about, index, checksum, answer: random.chance(0.5) };
    }
    const when = { term: term(this.number(termNow)), index, life: this.number(1) };
    return { kind: 'peer.sleep', ...about, step: random.pick(steps), ...when };
  }

  private chunk(about: Header): MessageOf<'peer.snapshotChunk'> {
    const { random } = this;
    const { lastIndex, term: termNow } = this.truth();
    const size = random.pick([0, 0, 1, 300, snapshotChunkBytesMax + 1]);
    const data = new Uint8Array(size).fill(random.between(0, 255));
    const meta = {
      index: logIndex(random.pick([lastIndex + 1_000, lastIndex + 1_000, this.number(lastIndex)])),
      term: term(random.pick([termNow, termNow, this.number(termNow)])),
      configuration: this.configuration(),
    };
    const stream = random.pick([5, 5, 5, this.number(5)]);
    const chunk = random.chance(0.7) ? random.between(0, 2_000) : this.number(0);
    const checksum = random.chance(0.9) ? crc32c(data) : 1;
    return { kind: 'peer.snapshotChunk', ...about, meta, stream, chunk, last: random.between(0, 1), checksum, data };
  }

  private configuration(): Configuration {
    const { random } = this;
    const { group } = this.truth();
    return random.pick<Configuration>([
      this.members(group),
      { voters: [], votersOutgoing: [], learners: group },
      { voters: [...group, ...group], votersOutgoing: [], learners: [] },
      { voters: [replicaId(far)], votersOutgoing: group, learners: [replicaId(0)] },
    ]);
  }

  private raft(between: { readonly from: ReplicaId; readonly to: ReplicaId }): RaftMessage {
    const { random } = this;
    const { term: termNow, leader, lastIndex } = this.truth();
    const old = { ...between, term: term(random.between(0, termNow - 1)) };
    const wild = { ...between, term: term(random.pick([termNow + 2 ** 33, far])) };
    const now = { ...between, term: term(termNow) };
    const index = logIndex(this.number(lastIndex));
    const beyond = logIndex(lastIndex + random.pick([1_000_000, 2 ** 40]));
    const prev = { prevIndex: logIndex(lastIndex), prevTerm: term(termNow), commit: index };
    const messages: RaftMessage[] = [
      { kind: 'voteRequest', ...random.pick([old, wild, now]), lastIndex: index, lastTerm: wild.term, transfer: true },
      { kind: 'preVoteRequest', ...random.pick([old, wild, now]), lastIndex: index, lastTerm: wild.term },
      { kind: 'appendRequest', ...random.pick([old, wild]), ...prev, entries: this.entries() },
      { kind: 'appendResponse', ...now, rejected: false, index: beyond, hintIndex: index, hintTerm: wild.term },
      { kind: 'appendResponse', ...now, rejected: true, index, hintIndex: index, hintTerm: wild.term },
      { kind: 'snapshotInstalled', ...now, index: beyond },
      { kind: 'readIndexResponse', ...now, readContext: this.number(1), index },
      { kind: 'heartbeatRequest', ...random.pick([old, wild]), commit: index, readContext: this.number(0) },
      { kind: 'timeoutNow', ...random.pick([old, wild]) },
    ];
    if (between.from === leader) messages.push({ kind: 'appendRequest', ...now, ...prev, entries: this.entries() });
    return random.pick(messages);
  }

  /** With a gap, of a term to come, or not to be read. */
  private entries(): Entry[] {
    const { lastIndex, term: termNow } = this.truth();
    const data = Uint8Array.of(0, 255);
    const entry = { index: logIndex(lastIndex + 1), term: term(termNow), type: 'command' as const, data };
    return this.random.pick<Entry[]>([
      [{ ...entry, index: logIndex(lastIndex + 2) }],
      [{ ...entry, term: term(far) }],
      [{ ...entry, term: term(0) }],
      [{ ...entry, type: 'config' }],
    ]);
  }
}
