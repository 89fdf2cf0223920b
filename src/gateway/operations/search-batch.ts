import { VectronError } from '../../base/errors';
import { requestBytesMax } from '../../base/limits';
import { type MonotonicMs, monotonicMs } from '../../base/time';
import type { CollectionRecord } from '../../protocol/records';
import type { AnswerOf, CallOf, Done, Outcome, SearchAnswer } from '../calls';
import { type Core, findCollection } from './core';
import { searchIn } from './search';

/** Searches of one batch under way at a time: what bounds the memory of their answers, and keeps a batch from crowding out other calls. */
const underWayMax = 16;

/** Each search is answered as if it had come alone: what has gone wrong with one stands in its place. */
export function searchBatch(
  core: Core,
  call: CallOf<'searchBatch'>,
  until: MonotonicMs,
  done: Done<AnswerOf<'searchBatch'>>,
): void {
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) done({ ok: false, error: collection });
    else new Batch(core, collection, call, until, done).begin();
  });
}

class Batch {
  private readonly outcomes: Outcome<SearchAnswer>[] = [];
  private started = 0;
  private ended = 0;
  private bytes = 0;

  constructor(
    private readonly core: Core,
    private readonly collection: CollectionRecord,
    private readonly call: CallOf<'searchBatch'>,
    private readonly until: MonotonicMs,
    private readonly done: Done<AnswerOf<'searchBatch'>>,
  ) {}

  begin(): void {
    while (this.started < this.call.searches.length && this.started - this.ended < underWayMax) this.next();
  }

  private next(): void {
    const at = this.started++;
    const search = this.call.searches[at];
    if (search === undefined) return;
    const { now } = this.core.scope;
    const until = search.timeoutMs === 0 ? this.until : monotonicMs(Math.min(this.until, now + search.timeoutMs));
    searchIn(this.core, this.collection, search.call, until, (outcome) => this.ends(at, outcome));
  }

  private ends(at: number, outcome: Outcome<SearchAnswer>): void {
    this.outcomes[at] = this.bounded(outcome);
    this.ended++;
    if (this.ended === this.call.searches.length) this.done({ ok: true, answer: { outcomes: this.outcomes } });
    else this.begin();
  }

  /** The answers of a batch may be as large together as one may be alone. */
  private bounded(outcome: Outcome<SearchAnswer>): Outcome<SearchAnswer> {
    if (!outcome.ok) return outcome;
    const bytes = outcome.answer.hits.reduce((sum, { payload, vector }) => sum + payload.length + vector.length, 0);
    if (this.bytes + bytes <= requestBytesMax) {
      this.bytes += bytes;
      return outcome;
    }
    const message = `the answers of the batch would have more than ${requestBytesMax} bytes; ask for fewer at a time`;
    return { ok: false, error: new VectronError('RESOURCE_EXHAUSTED', message, { field: 'searches' }) };
  }
}
