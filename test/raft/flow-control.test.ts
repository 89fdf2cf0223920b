import { raftMemberTuning } from '../../src/actors/raft-member-options';
import { type LogIndex, logIndex, replicaId, term } from '../../src/base/ids';
import { entryBytesMax, inflightBytesMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';
import type { RaftMessage } from '../../src/protocol/raft-messages';
import { sizeOf } from '../../src/raft/log';
import { Progress } from '../../src/raft/progress';
import { Raft } from '../../src/raft/raft';

const [self, ready, mute] = [replicaId(1), replicaId(2), replicaId(3)];
const kib = 1024;
const large = new Uint8Array(entryBytesMax);

/** A leader of three with the production's limits: one follower acknowledges at once, the other answers heartbeats only. */
class Leader {
  readonly raft = new Raft({
    ...raftMemberTuning,
    self,
    hardState: null,
    baseIndex: logIndex(0),
    baseTerm: term(0),
    entries: [],
    configuration: { voters: [self, ready, mute], votersOutgoing: [], learners: [] },
    appliedIndex: logIndex(0),
    random: new Prng(1),
  });
  /** Bytes of entries sent to the mute one, again or not. */
  bytesToMute = 0;
  /** What it acknowledges; null: nothing. */
  muteHolds: LogIndex | null = null;

  constructor() {
    this.raft.campaign();
    this.drain();
  }

  propose(): boolean {
    const { ok } = this.raft.propose(large);
    this.drain();
    return ok;
  }

  beat(): void {
    for (let tick = 0; tick < raftMemberTuning.heartbeatTicks; tick++) this.raft.tick();
    this.drain();
  }

  acknowledge(index: LogIndex): void {
    this.answer({ kind: 'appendResponse', rejected: false, index, hintIndex: logIndex(0), hintTerm: term(0) }, mute);
    this.drain();
  }

  private drain(): void {
    while (this.raft.hasReady()) {
      const { write, messages, afterAppend, committed } = this.raft.ready();
      if (write > 0) this.raft.appended(write);
      const last = committed.at(-1);
      if (last !== undefined) this.raft.applied(last.index);
      for (const message of [...messages, ...afterAppend]) this.sent(message);
    }
  }

  private sent(message: RaftMessage): void {
    const { to, kind } = message;
    if (kind === 'preVoteRequest' || kind === 'voteRequest') {
      const kindBack = kind === 'voteRequest' ? 'voteResponse' : 'preVoteResponse';
      this.raft.step({ kind: kindBack, from: to, to: self, term: message.term, granted: true });
    } else if (kind === 'heartbeatRequest') {
      this.answer({ kind: 'heartbeatResponse', readContext: message.readContext }, to);
    } else if (kind === 'appendRequest' && to === mute) {
      for (const entry of message.entries) this.bytesToMute += sizeOf(entry);
    } else if (kind === 'appendRequest') {
      const index = logIndex(message.prevIndex + message.entries.length);
      const none = { rejected: false, hintIndex: logIndex(0), hintTerm: term(0) };
      this.answer({ kind: 'appendResponse', index, ...none }, to);
    }
  }

  private answer<T extends object>(body: T, from: typeof mute): void {
    this.raft.step({ ...body, from, to: self, term: this.raft.term } as unknown as RaftMessage);
  }
}

describe('what a leader sends a follower that does not acknowledge', () => {
  it('stays within the bytes that may be on their way and one append, however long the follower only lives', () => {
    const leader = new Leader();
    leader.acknowledge(leader.raft.lastIndex);
    for (let count = 0; count < 100; count++) expect(leader.propose()).toBe(true);
    const sent = leader.bytesToMute;
    expect(sent).toBeGreaterThanOrEqual(inflightBytesMax);
    expect(sent).toBeLessThan(inflightBytesMax + entryBytesMax + kib);
    for (let beats = 0; beats < 40; beats++) leader.beat();
    expect(leader.bytesToMute).toBe(sent);
    expect(leader.raft.commitIndex).toBe(leader.raft.lastIndex);
  });

  it('is one append while it is not known where its log ends', () => {
    const leader = new Leader();
    for (let count = 0; count < 10; count++) leader.propose();
    for (let beats = 0; beats < 40; beats++) leader.beat();
    expect(leader.bytesToMute).toBeLessThan(kib);
  });

  it('goes on with what was acknowledged, and ends when all is', () => {
    const leader = new Leader();
    leader.acknowledge(leader.raft.lastIndex);
    for (let count = 0; count < 20; count++) leader.propose();
    const last = leader.raft.lastIndex;
    let [acknowledged, sent] = [1, leader.bytesToMute];
    while (acknowledged < last) {
      leader.acknowledge(logIndex(++acknowledged));
      expect(leader.bytesToMute - sent).toBeLessThan(entryBytesMax + kib);
      sent = leader.bytesToMute;
    }
    expect(leader.bytesToMute).toBeGreaterThan(20 * entryBytesMax);
    expect(leader.raft.leading().progress.get(mute)?.inflightBytes).toBe(0);
  });
});

describe('the count of bytes on their way', () => {
  it('is that of a list of all appends, whatever is acknowledged, refused or begun anew', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = new Prng(seed);
      const max = { inflightAppendsMax: random.between(1, 5), inflightBytesMax: random.between(1, 300) };
      const progress = new Progress(logIndex(1), max);
      progress.replicate();
      let model: { last: number; bytes: number }[] = [];
      for (let step = 0; step < 200; step++) {
        const dice = random.float();
        if (dice < 0.6 && !progress.paused) {
          const [last, bytes] = [progress.next + random.between(0, 3), random.between(1, 120)];
          progress.sent(logIndex(last), bytes);
          model.push({ last, bytes });
        } else if (dice < 0.95) {
          const index = random.between(progress.match, progress.next - 1);
          progress.accepted(logIndex(index));
          model = model.filter(({ last }) => last > index);
        } else {
          progress.probe(logIndex(progress.match + 1));
          progress.replicate();
          model = [];
        }
        const bytes = model.reduce((sum, each) => sum + each.bytes, 0);
        const isFull = model.length >= max.inflightAppendsMax || bytes >= max.inflightBytesMax;
        if (progress.inflightBytes !== bytes || progress.paused !== isFull)
          throw new Error(`seed ${seed}, step ${step}`);
      }
    }
  });
});
