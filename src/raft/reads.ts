import type { LogIndex, ReplicaId } from '../base/ids';

/** A read that waits for a quorum to confirm its leader. */
interface PendingRead {
  readonly origin: ReplicaId;
  readonly context: number;
  index: LogIndex | null;
  /** The heartbeat round that confirms it; 0: not sent yet. */
  round: number;
}

/**
 * Linearizable reads on a leader (Raft thesis, section 6.4). A read takes the commit index of when it came in, and is
 * safe once a round of heartbeats that began after it was answered by a quorum. Round numbers are never used twice.
 */
export class LeaderReads {
  private pending: PendingRead[] = [];
  private acknowledged = new Map<number, Set<ReplicaId>>();
  private round = 0;

  get isWaiting(): boolean {
    return this.pending.some((read) => read.round === 0);
  }
  get latestRound(): number {
    return this.pending.length === 0 ? 0 : this.round;
  }

  add(origin: ReplicaId, context: number): void {
    this.pending.push({ origin, context, index: null, round: 0 });
  }

  /** Starts a round for every read that has none, at the leader's commit index. */
  startRound(commit: LogIndex, self: ReplicaId): number {
    this.round++;
    for (const read of this.pending) {
      if (read.round !== 0) continue;
      read.index = commit;
      read.round = this.round;
    }
    this.acknowledged.set(this.round, new Set([self]));
    return this.round;
  }

  /** An answer to a round confirms that round and all before it. Returns the reads that are safe now. */
  acknowledge(from: ReplicaId, round: number, isQuorum: (members: ReadonlySet<ReplicaId>) => boolean): PendingRead[] {
    let confirmed = 0;
    for (const [number, members] of this.acknowledged) {
      if (number > round) continue;
      members.add(from);
      if (isQuorum(members)) confirmed = Math.max(confirmed, number);
    }
    return this.take(confirmed);
  }

  /** Reads of rounds up to `confirmed`. */
  take(confirmed: number): PendingRead[] {
    if (confirmed === 0) return [];
    for (const number of [...this.acknowledged.keys()]) if (number <= confirmed) this.acknowledged.delete(number);
    const safe = this.pending.filter((read) => read.round !== 0 && read.round <= confirmed);
    this.pending = this.pending.filter((read) => read.round === 0 || read.round > confirmed);
    return safe;
  }

  /** Leadership is lost: nothing that waited is safe. */
  drop(): PendingRead[] {
    const dropped = this.pending;
    this.pending = [];
    this.acknowledged.clear();
    return dropped;
  }
}
