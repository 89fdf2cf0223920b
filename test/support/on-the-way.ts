import type { LogIndex, Term } from '../../src/base/ids';
import type { RaftMessage } from '../../src/protocol/raft-messages';
import { sizeOf } from '../../src/raft/log';

/** Consecutive entries that one member has sent another in one term, and that the other has not acknowledged. */
interface Run {
  readonly term: Term;
  first: number;
  readonly sizes: number[];
  /** Sent again, by a leader that has not heard of it yet, it weighs nothing. */
  acknowledged: number;
}

/**
 * What leaders have on their way to each other member, counted from the messages alone: what a member has acknowledged or
 * refused is on its way no longer, even if the leader has not heard of it yet. So it never counts more than a leader that
 * counts well.
 */
export class OnTheWay {
  private readonly runs = new Map<string, Run>();

  constructor(private readonly inflightBytesMax: number) {}

  /** What is wrong with a message that leaves; null: nothing. */
  sent(message: RaftMessage): string | null {
    if (message.kind === 'appendRequest' && message.entries.length > 0) return this.appended(message);
    if (message.kind === 'snapshotInstalled') this.acknowledged(message, message.index);
    if (message.kind === 'appendResponse' && message.rejected) this.refused(message);
    else if (message.kind === 'appendResponse') this.acknowledged(message, message.index);
    return null;
  }

  /** Members were changed: one that has left may be back, and nothing is known of what it was sent. */
  forget(): void {
    this.runs.clear();
  }

  private appended(message: Extract<RaftMessage, { readonly kind: 'appendRequest' }>): string | null {
    const { from, to, term, prevIndex, entries } = message;
    const run = this.runOf(`${from}>${to}`, term, prevIndex + 1);
    const before = run.sizes.reduce((sum, size) => sum + size, 0);
    for (const entry of entries) run.sizes.push(entry.index <= run.acknowledged ? 0 : sizeOf(entry));
    if (before === 0 || before < this.inflightBytesMax) return null;
    return `${from} sends ${to} more, with ${before} bytes on their way that may be ${this.inflightBytesMax}`;
  }

  /** Up to where an append begins: one that goes back takes the place of what was sent from there on. */
  private runOf(key: string, term: Term, from: number): Run {
    const run = this.latest(key, term);
    const continues = from >= run.first && from <= run.first + run.sizes.length;
    if (continues) run.sizes.length = from - run.first;
    else restart(run, from);
    return run;
  }

  /** Of this term; one that is kept nowhere for a term that is over. */
  private latest(key: string, term: Term): Run {
    const known = this.runs.get(key);
    if (known?.term === term) return known;
    const run: Run = { term, first: Number.POSITIVE_INFINITY, sizes: [], acknowledged: 0 };
    if (known === undefined || known.term < term) this.runs.set(key, run);
    return run;
  }

  private acknowledged({ from, to, term }: RaftMessage, index: LogIndex): void {
    const run = this.latest(`${to}>${from}`, term);
    run.acknowledged = Math.max(run.acknowledged, index);
    if (index >= run.first) run.first += run.sizes.splice(0, index + 1 - run.first).length;
  }

  private refused({ from, to, term }: RaftMessage): void {
    restart(this.latest(`${to}>${from}`, term), Number.POSITIVE_INFINITY);
  }
}

function restart(run: Run, first: number): void {
  run.sizes.length = 0;
  run.first = first;
}
