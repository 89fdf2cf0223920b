import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { Hit } from '../../protocol/data-messages';
import type { CollectionRecord, ShardRecord } from '../../protocol/records';
import { mergeTopK } from '../../vector/top-k';
import type { CallOf, Done, SearchAnswer, ShardSearchStats } from '../calls';
import type { GroupOutcome } from '../group-calls';
import { askShard, type Core, findCollection, findShards, refreshMs } from './core';
import { type Dial, dialOf, Served } from './dial';
import { answerSizeError, vectorError } from './points';

const attemptMs = 1_000;

/** Asks every shard at once and merges their best to the best of all (scatter and gather). */
export function search(core: Core, call: CallOf<'search'>, until: MonotonicMs, done: Done<SearchAnswer>): void {
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) return done({ ok: false, error: collection });
    const error =
      vectorError(collection, call.vector, 'vector') ??
      (call.includeVector ? answerSizeError(collection, call.k, 'top_k') : null);
    if (error !== null) return done({ ok: false, error });
    new SearchOperation(core, collection, call, until, done).scatter();
  });
}

class SearchOperation {
  private shards: readonly ShardRecord[] = [];
  private cancels: (() => void)[] = [];
  private round = 0;
  private outstanding = 0;
  private lists: (readonly Hit[])[] = [];
  private stats: ShardSearchStats[] = [];
  private readonly dial: Dial;
  private served: Served;
  private error: VectronError | null = null;

  constructor(
    private readonly core: Core,
    private readonly collection: CollectionRecord,
    private readonly call: CallOf<'search'>,
    private readonly until: MonotonicMs,
    private readonly done: Done<SearchAnswer>,
  ) {
    this.dial = dialOf(core, collection, call);
    this.served = new Served(this.dial);
  }

  /** Starts anew: the shards of one answer always tile the whole space. */
  scatter(): void {
    findShards(this.core, this.collection, this.until, (shards) => {
      if (shards instanceof VectronError) return this.done({ ok: false, error: shards });
      this.shards = shards;
      this.lists = [];
      this.stats = [];
      this.served = new Served(this.dial);
      this.error = null;
      this.outstanding = shards.length;
      const round = ++this.round;
      this.cancels = [];
      for (const shard of shards) {
        if (round === this.round) this.cancels.push(this.ask(shard, round));
      }
    });
  }

  private ask(shard: ShardRecord, round: number): () => void {
    const { vector, k, ef, exact, includeVector, includePayload } = this.call;
    const { dial } = this;
    return askShard(this.core, {
      shard,
      ask: dial.ask,
      until: this.until,
      attemptMs,
      message: (header) => ({
        kind: 'data.search',
        ...header,
        ...{ vector, k, ef, exact, includeVector, includePayload },
        ...dial.fieldsFor(shard.id),
      }),
      done: (outcome) => {
        if (round === this.round) this.gather(shard, outcome);
      },
    });
  }

  private gather(shard: ShardRecord, outcome: GroupOutcome): void {
    if (outcome.kind === 'replaced') {
      this.restart();
      return;
    }
    this.outstanding--;
    if (outcome.kind === 'failed') {
      this.error ??= outcome.error;
      if (!this.call.allowPartial) {
        this.fail(outcome.error);
        return;
      }
    } else {
      const { reply } = outcome;
      assert(reply.kind === 'data.found', () => `a search was answered by ${reply.kind}`);
      this.lists.push(reply.hits);
      this.stats.push({ shard: shard.id, ...reply.stats });
      this.served.add(reply);
    }
    if (this.outstanding === 0) this.answer();
  }

  private answer(): void {
    if (this.error !== null && this.lists.length === 0) {
      this.fail(this.error);
      return;
    }
    const shardsTotal = this.shards.length;
    this.done({
      ok: true,
      answer: {
        hits: mergeTopK(this.lists, this.call.k),
        partial: this.lists.length < shardsTotal,
        shardsTotal,
        shards: this.stats,
        served: this.served.list,
      },
    });
  }

  private restart(): void {
    this.stop();
    const { placement, scope } = this.core;
    placement.refresh(Math.min(refreshMs, Math.max(0, this.until - scope.now)), () => this.scatter());
  }

  private fail(error: VectronError): void {
    this.stop();
    this.done({ ok: false, error });
  }

  /** What is still under way counts no more. */
  private stop(): void {
    this.round++;
    for (const cancel of this.cancels) cancel();
  }
}
