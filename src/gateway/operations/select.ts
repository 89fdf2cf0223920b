import { assert } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { MessageOf } from '../../protocol/messages';
import type { CollectionRecord, ShardRecord } from '../../protocol/records';
import type { AnswerOf, CallOf, Done } from '../calls';
import type { GroupOutcome, Reply } from '../group-calls';
import { askShard, type Core, findCollection, findShards, refreshMs } from './core';
import { type Dial, dialOf, Served } from './dial';
import { orderedScroll } from './ordered-scroll';
import { Scatter } from './scatter';
import { selectAttemptMs } from './search';

/** An answer that has reached this many bytes is given, though there may be more for its page. */
const pageBytesMax = 8 * 1024 * 1024;

function selectedBy(reply: Reply): MessageOf<'data.selected'> {
  assert(reply.kind === 'data.selected', `a selection was answered by ${reply.kind}`);
  return reply;
}

/** Exact: every shard counts what it has. */
export function count(core: Core, call: CallOf<'count'>, until: MonotonicMs, done: Done<AnswerOf<'count'>>): void {
  const { filter } = call;
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) return done({ ok: false, error: collection });
    const scatter = new Scatter(core, {
      ...{ collection, until, read: call, allowPartial: false, attemptMs: selectAttemptMs },
      message: (header, dial) => ({ kind: 'data.select', ...header, filter, selection: { kind: 'count' }, ...dial }),
      done: (gathered) => {
        if (gathered instanceof VectronError) return done({ ok: false, error: gathered });
        const sum = gathered.answers.reduce((total, { reply }) => total + selectedBy(reply).count, 0);
        done({ ok: true, answer: { count: sum, served: gathered.served } });
      },
    });
    scatter.start();
  });
}

export function scroll(core: Core, call: CallOf<'scroll'>, until: MonotonicMs, done: Done<AnswerOf<'scroll'>>): void {
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) done({ ok: false, error: collection });
    else if (call.order !== null) orderedScroll(core, collection, call, call.order, until, done);
    else new Scroll(core, collection, call, until, done).next();
  });
}

/**
 * One page of the points in the order of their hashes: one shard after another, each from where the page is. The last
 * point's id says where that is, so that a shard which splits, moves or changes its leader in between changes nothing.
 */
class Scroll {
  private readonly points: MessageOf<'data.selected'>['points'][number][] = [];
  private readonly dial: Dial;
  private readonly served: Served;
  private afterId: string;
  private bytes = 0;
  /** Where in the hash space the page is; the shards below are behind it. */
  private from: bigint;

  constructor(
    private readonly core: Core,
    private readonly collection: CollectionRecord,
    private readonly call: CallOf<'scroll'>,
    private readonly until: MonotonicMs,
    private readonly done: Done<AnswerOf<'scroll'>>,
  ) {
    this.dial = dialOf(core, collection, call);
    this.served = new Served(this.dial);
    this.afterId = call.afterId;
    const { index, count } = call.slice;
    const start = (BigInt(index) << 64n) / BigInt(count);
    const after = this.afterId === '' ? 0n : core.keyHash(this.afterId);
    this.from = after > start ? after : start;
  }

  next(): void {
    findShards(this.core, this.collection, this.until, (shards) => {
      if (shards instanceof VectronError) return this.done({ ok: false, error: shards });
      const shard = this.shardHere(shards);
      if (shard === undefined) this.finish(null);
      else this.ask(shard);
    });
  }

  private shardHere(shards: readonly ShardRecord[]): ShardRecord | undefined {
    const { index, count } = this.call.slice;
    const end = (BigInt(index + 1) << 64n) / BigInt(count);
    if (this.from >= end) return undefined;
    return shards.find(({ range }) => range.start <= this.from && this.from <= range.end);
  }

  private ask(shard: ShardRecord): void {
    const { filter, limit, slice } = this.call;
    const countMax = limit - this.points.length;
    const selection = { afterId: this.afterId, countMax, slice: slice.index, slices: slice.count };
    askShard(this.core, {
      ...{ shard, until: this.until, attemptMs: selectAttemptMs, ask: this.dial.ask },
      message: (header) => ({
        kind: 'data.select',
        ...header,
        filter,
        selection: { kind: 'page', ...selection },
        ...this.dial.fieldsFor(shard.id),
      }),
      done: (outcome) => this.answered(shard, outcome),
    });
  }

  private answered(shard: ShardRecord, outcome: GroupOutcome): void {
    if (outcome.kind === 'failed') return this.done({ ok: false, error: outcome.error });
    if (outcome.kind === 'replaced') {
      const leftMs = Math.max(0, this.until - this.core.scope.now);
      this.core.placement.refresh(Math.min(refreshMs, leftMs), () => this.next());
      return;
    }
    const selected = selectedBy(outcome.reply);
    this.served.add(selected);
    for (const point of selected.points) {
      this.points.push(point);
      this.bytes += point.vector.length + point.payload.length;
    }
    this.afterId = this.points[this.points.length - 1]?.id ?? this.afterId;
    if (selected.done) this.from = shard.range.end + 1n;
    else this.from = this.core.keyHash(this.afterId);
    if (this.points.length >= this.call.limit || this.bytes >= pageBytesMax) this.finish(this.afterId);
    else this.next();
  }

  private finish(next: string | null): void {
    this.done({ ok: true, answer: { points: this.points, next, served: this.served.list } });
  }
}
