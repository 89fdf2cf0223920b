import type { LogIndex, ReplicaId } from '../base/ids';
import { earlyClaimsMax } from '../base/limits';
import type { MessageOf } from '../protocol/messages';
import type { ActorContext } from '../runtime/actor';
import type { ChecksumNote } from '../shard/shard-machine';
import type { ChecksumBody } from './raft-member-peers';

export interface EqualityPort {
  readonly self: ReplicaId;
  /** Who counts, by the configuration applied here; empty while that is being changed. */
  voters(): readonly ReplicaId[];
  /** Of the log. */
  lastIndex(): LogIndex;
  send(to: ReplicaId, body: ChecksumBody, context: ActorContext): void;
  /** A majority agrees on another state than this replica's. */
  differs(reason: string, context: ActorContext): void;
  /** All have spoken and no majority agrees; null: that is over. */
  undecided(reason: string | null, context: ActorContext): void;
}

interface Round {
  readonly index: LogIndex;
  readonly claims: Map<ReplicaId, bigint>;
  asked: number;
}

const roundsMax = 8;
/** A round that somebody leaves unanswered for so many audits waits for the next one. */
const askedMax = 20;

/**
 * Holds a replica's state against its peers' (docs/decisions/0012). At every checksum command each replica notes the
 * checksum of its state, tells it to all voters, and judges itself alone by what it hears:
 *
 *  1. A replica whose note differs from what a majority of the voters noted at the same index is damaged.
 *  2. Without a majority nobody is: it is reported, and people decide.
 *  3. A claim is held only against claims at the same index.
 *  4. Bounded: the newest rounds are kept, and one is asked about a limited number of times.
 *  5. No peer keeps this replica from comparing, or takes another's place: rounds are begun by the own notes alone. What a
 *     voter claims before is kept apart, a few of each, and only of an index that the log has; who is not heard then is asked.
 */
export class EqualityCheck {
  private readonly rounds = new Map<LogIndex, Round>();
  private readonly early = new Map<ReplicaId, Map<LogIndex, bigint>>();
  private newest: LogIndex | null = null;
  private reported = false;

  constructor(private readonly port: EqualityPort) {}

  /** The newest checksum command applied here; null: none since the start. */
  get newestIndex(): LogIndex | null {
    return this.newest;
  }

  noted({ index, checksum }: ChecksumNote, context: ActorContext): void {
    const round = this.begin(index);
    this.newest = index;
    round.claims.set(this.port.self, checksum);
    this.ask(round, checksum, context);
    this.judge(round, context);
  }

  claimed({ from, index, checksum, answer }: MessageOf<'peer.checksum'>, context: ActorContext): void {
    const isVoter = this.port.voters().includes(from);
    const round = this.rounds.get(index);
    const own = round?.claims.get(this.port.self);
    if (round === undefined || own === undefined) {
      if (isVoter) this.keep(from, index, checksum);
      return;
    }
    if (isVoter) round.claims.set(from, checksum);
    if (!answer) this.port.send(from, { index, checksum: own, answer: true }, context);
    this.judge(round, context);
  }

  /** Claims that wait for the own note. */
  get earlyCount(): number {
    let count = 0;
    for (const { size } of this.early.values()) count += size;
    return count;
  }

  /** Of a command that is not applied here yet. */
  private keep(from: ReplicaId, index: LogIndex, checksum: bigint): void {
    if (index <= (this.newest ?? 0) || index > this.port.lastIndex()) return;
    const claims = this.early.get(from) ?? new Map<LogIndex, bigint>();
    this.early.set(from, claims.set(index, checksum));
    const [first] = claims.keys();
    if (claims.size > earlyClaimsMax && first !== undefined) claims.delete(first);
  }

  /** Asks again whoever has not answered about the newest round. */
  audit(context: ActorContext): void {
    const round = this.newest === null ? undefined : this.rounds.get(this.newest);
    const own = round?.claims.get(this.port.self);
    if (round !== undefined && own !== undefined) this.ask(round, own, context);
  }

  private ask(round: Round, checksum: bigint, context: ActorContext): void {
    const silent = this.port.voters().filter((voter) => !round.claims.has(voter));
    if (silent.length === 0 || round.asked++ >= askedMax) return;
    for (const to of silent) this.port.send(to, { index: round.index, checksum, answer: false }, context);
  }

  private judge({ index, claims }: Round, context: ActorContext): void {
    const own = claims.get(this.port.self);
    const voters = this.port.voters();
    if (own === undefined || voters.length === 0) return;
    const heard = voters.flatMap((voter) => claims.get(voter) ?? []);
    const agreed = majorityOf(heard, voters.length);
    if (agreed !== null && agreed !== own) {
      const why = `its state at ${index} is ${textOf(own)}, that of a majority ${textOf(agreed)}`;
      this.port.differs(why, context);
    } else if (agreed !== null) this.settle(null, context);
    else if (heard.length === voters.length) {
      const all = [...claims].map(([replica, checksum]) => `${replica} has ${textOf(checksum)}`).join(', ');
      this.settle(`no majority agrees on the state at ${index}: ${all}`, context);
    }
  }

  private settle(reason: string | null, context: ActorContext): void {
    if (reason === null && !this.reported) return;
    this.reported = reason !== null;
    this.port.undecided(reason, context);
  }

  private begin(index: LogIndex): Round {
    const round: Round = { index, claims: new Map(), asked: 0 };
    this.rounds.set(index, round);
    if (this.rounds.size > roundsMax) this.rounds.delete(Math.min(...this.rounds.keys()) as LogIndex);
    const voters = this.port.voters();
    for (const [from, claims] of [...this.early]) {
      const claim = claims.get(index);
      if (claim !== undefined && voters.includes(from)) round.claims.set(from, claim);
      for (const at of [...claims.keys()]) if (at <= index) claims.delete(at);
      if (claims.size === 0) this.early.delete(from);
    }
    return round;
  }
}

/** What more than half of `count` claims say, or null. */
function majorityOf(claims: readonly bigint[], count: number): bigint | null {
  for (const claim of claims) {
    if (claims.filter((other) => other === claim).length * 2 > count) return claim;
  }
  return null;
}

const textOf = (checksum: bigint): string => checksum.toString(16).padStart(16, '0');
