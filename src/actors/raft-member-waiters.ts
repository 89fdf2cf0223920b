import type { LogIndex, Term } from '../base/ids';
import type { RaftCore } from '../raft/types';
import type { ActorContext } from '../runtime/actor';

/** `applied`: committed and applied at (index, term). `unknown`: it may have been, may still be, or never will. */
export type ProposalOutcome =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly term: Term }
  | { readonly kind: 'unknown' };
export type Settle = (outcome: ProposalOutcome, context: ActorContext) => void;

/** Proposals whose end is not known yet. Every one is settled exactly once, and never by somebody else's entry. */
export class PendingProposals {
  private readonly byIndex = new Map<LogIndex, { readonly term: Term; readonly settle: Settle }>();

  get count(): number {
    return this.byIndex.size;
  }

  add(index: LogIndex, term: Term, settle: Settle, context: ActorContext): void {
    const earlier = this.byIndex.get(index);
    this.byIndex.set(index, { term, settle });
    earlier?.settle({ kind: 'unknown' }, context);
  }

  applied(index: LogIndex, term: Term, context: ActorContext): void {
    const pending = this.byIndex.get(index);
    if (pending === undefined) return;
    this.byIndex.delete(index);
    pending.settle(pending.term === term ? { kind: 'applied', index, term } : { kind: 'unknown' }, context);
  }

  failAll(context: ActorContext): void {
    const all = [...this.byIndex.values()];
    this.byIndex.clear();
    for (const { settle } of all) settle({ kind: 'unknown' }, context);
  }
}

/** `ok`: this member has applied all that was acknowledged anywhere before the read was asked for. */
export type ReadDone = (ok: boolean, context: ActorContext) => void;

interface Round {
  readonly reads: readonly ReadDone[];
  index: LogIndex | null;
  ticks: number;
}

const contextsPerMember = 2 ** 32;

/**
 * Linearizable reads that wait for a read index, and then for its apply. Reads asked for between two flushes share one
 * round; a round without an answer in time is refused, as its messages may be lost.
 */
export class PendingReads {
  private unsent: ReadDone[] = [];
  private readonly rounds = new Map<number, Round>();
  private contextNext: number;

  /** `salt` in [0, 2^20) tells members' contexts apart when a follower's read is answered by the leader. */
  constructor(
    salt: number,
    private readonly ticksMax: number,
  ) {
    this.contextNext = salt * contextsPerMember + 1;
  }

  get count(): number {
    return this.unsent.length + this.rounds.size;
  }

  add(done: ReadDone): void {
    this.unsent.push(done);
  }

  flush(core: RaftCore): void {
    if (this.unsent.length === 0) return;
    const context = this.contextNext++;
    this.rounds.set(context, { reads: this.unsent, index: null, ticks: 0 });
    this.unsent = [];
    core.readIndex(context);
  }

  answered(readContext: number, index: LogIndex | null, context: ActorContext): void {
    const round = this.rounds.get(readContext);
    if (round === undefined) return;
    if (index === null) this.end(readContext, round, false, context);
    else round.index = index;
  }

  applied(index: LogIndex, context: ActorContext): void {
    for (const [key, round] of this.rounds) {
      if (round.index !== null && round.index <= index) this.end(key, round, true, context);
    }
  }

  tick(context: ActorContext): void {
    for (const [key, round] of this.rounds) {
      if (++round.ticks > this.ticksMax) this.end(key, round, false, context);
    }
  }

  failAll(context: ActorContext): void {
    const { unsent } = this;
    this.unsent = [];
    for (const [key, round] of this.rounds) this.end(key, round, false, context);
    for (const done of unsent) done(false, context);
  }

  private end(key: number, round: Round, ok: boolean, context: ActorContext): void {
    this.rounds.delete(key);
    for (const done of round.reads) done(ok, context);
  }
}
