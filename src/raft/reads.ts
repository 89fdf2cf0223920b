import type { LogIndex, ReplicaId } from '../base/ids';
import { raftReadRoundsMax } from '../base/limits';

interface Read {
  readonly origin: ReplicaId;
  readonly context: number;
}

/** A read that is settled: `index` null refuses it. */
export interface SettledRead extends Read {
  readonly index: LogIndex | null;
}

interface Round {
  readonly number: number;
  readonly index: LogIndex;
  readonly reads: readonly Read[];
  readonly confirmedBy: Set<ReplicaId>;
}

/**
 * Linearizable reads on a leader (Raft thesis, section 6.4). Owned by one leadership, so that no answer of another term
 * is ever held against its rounds.
 *
 *  1. A read's index is the commit index of a moment after it came in.
 *  2. It is safe once a quorum has answered a heartbeat that was sent after it came in: a round's, or a later one's.
 *  3. Round numbers rise from 1 and are never used twice. At most raftReadRoundsMax rounds are open; further reads wait
 *     and share the next.
 */
export class LeaderReads {
  private waiting: Read[] = [];
  private rounds: Round[] = [];
  private numbered = 0;

  get wantsRound(): boolean {
    return this.waiting.length > 0 && this.rounds.length < raftReadRoundsMax;
  }
  /** 0: none is open. */
  get latestRound(): number {
    return this.rounds[this.rounds.length - 1]?.number ?? 0;
  }

  get isEmpty(): boolean {
    return this.waiting.length === 0 && this.rounds.length === 0;
  }

  add(origin: ReplicaId, context: number): void {
    this.waiting.push({ origin, context });
  }

  /** Starts a round for every read that waits, at the leader's commit index. */
  startRound(index: LogIndex): number {
    const number = ++this.numbered;
    this.rounds.push({ number, index, reads: this.waiting, confirmedBy: new Set() });
    this.waiting = [];
    return number;
  }

  /** An answer to a round confirms it and all before it. Returns the reads that are safe now. */
  acknowledge(
    from: ReplicaId,
    number: number,
    isQuorum: (has: (member: ReplicaId) => boolean) => boolean,
  ): SettledRead[] {
    let confirmed = 0;
    for (const [at, round] of this.rounds.entries()) {
      if (round.number > number) break;
      round.confirmedBy.add(from);
      if (isQuorum((member) => round.confirmedBy.has(member))) confirmed = at + 1;
    }
    return this.rounds.splice(0, confirmed).flatMap(({ index, reads }) => reads.map((read) => ({ ...read, index })));
  }

  /** Leadership is lost: nothing that waited is safe. */
  drop(): SettledRead[] {
    const dropped = [...this.rounds.flatMap(({ reads }) => reads), ...this.waiting];
    this.rounds = [];
    this.waiting = [];
    return dropped.map((read) => ({ ...read, index: null }));
  }
}

/** Reads that a follower has passed on to its leader. Each ends by the leader's answer, another leader, or time. */
export class ForwardedReads {
  private readonly waitedTicks = new Map<number, number>();

  get count(): number {
    return this.waitedTicks.size;
  }

  add(context: number): void {
    this.waitedTicks.set(context, 0);
  }

  /** False: not waited for, or not any more. */
  answered(context: number): boolean {
    return this.waitedTicks.delete(context);
  }

  /** Returns those that have waited too long. */
  tick(ticksMax: number): number[] {
    const late: number[] = [];
    for (const [context, waited] of this.waitedTicks) {
      if (waited >= ticksMax) late.push(context);
      else this.waitedTicks.set(context, waited + 1);
    }
    for (const context of late) this.waitedTicks.delete(context);
    return late;
  }

  drop(): number[] {
    const dropped = [...this.waitedTicks.keys()];
    this.waitedTicks.clear();
    return dropped;
  }
}
