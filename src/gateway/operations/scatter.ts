import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { Message } from '../../protocol/messages';
import type { CollectionRecord, ShardRecord } from '../../protocol/records';
import type { ReadDial, ShardRead } from '../calls';
import type { GroupOutcome, Reply } from '../group-calls';
import { askShard, type Core, findShards, type RequestHeader, refreshMs } from './core';
import { type AnsweredRead, type Dial, dialOf, Served } from './dial';

/** What one shard said, and after how long. */
export interface ShardAnswer {
  readonly shard: ShardRecord;
  readonly reply: Reply;
  readonly elapsedMs: number;
}

export interface Gathered {
  readonly answers: readonly ShardAnswer[];
  readonly shardsTotal: number;
  readonly served: readonly ShardRead[];
}

export interface ScatterOptions {
  readonly collection: CollectionRecord;
  readonly read: ReadDial;
  readonly until: MonotonicMs;
  readonly attemptMs: number;
  /** What has come counts if something has. */
  readonly allowPartial: boolean;
  message(header: RequestHeader, fields: ReturnType<Dial['fieldsFor']>): Message;
  done(gathered: Gathered | VectronError): void;
}

const isRead = (reply: Reply): reply is AnsweredRead => 'appliedIndex' in reply && 'ageMs' in reply;

/** Asks every shard of a collection at once. The shards of one answer always tile the whole space. */
export class Scatter {
  private shardsTotal = 0;
  private cancels: (() => void)[] = [];
  private round = 0;
  private outstanding = 0;
  private answers: ShardAnswer[] = [];
  private readonly dial: Dial;
  private served: Served;
  private error: VectronError | null = null;

  constructor(
    private readonly core: Core,
    private readonly options: ScatterOptions,
  ) {
    this.dial = dialOf(core, options.collection, options.read);
    this.served = new Served(this.dial);
  }

  /** Also to start anew. */
  start(): void {
    const { collection, until, done } = this.options;
    findShards(this.core, collection, until, (shards) => {
      if (shards instanceof VectronError) return done(shards);
      this.shardsTotal = shards.length;
      this.answers = [];
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
    const { until, attemptMs, message } = this.options;
    const askedAt = this.core.scope.now;
    return askShard(this.core, {
      ...{ shard, until, attemptMs },
      ask: this.dial.ask,
      message: (header) => message(header, this.dial.fieldsFor(shard.id)),
      done: (outcome) => {
        if (round === this.round) this.gather(shard, outcome, this.core.scope.now - askedAt);
      },
    });
  }

  private gather(shard: ShardRecord, outcome: GroupOutcome, elapsedMs: number): void {
    if (outcome.kind === 'replaced') {
      this.restart();
      return;
    }
    this.outstanding--;
    if (outcome.kind === 'failed') {
      this.error ??= outcome.error;
      if (!this.options.allowPartial) {
        this.fail(outcome.error);
        return;
      }
    } else {
      const { reply } = outcome;
      this.answers.push({ shard, reply, elapsedMs });
      if (isRead(reply)) this.served.add(reply);
    }
    if (this.outstanding === 0) this.finish();
  }

  private finish(): void {
    if (this.error !== null && this.answers.length === 0) {
      this.fail(this.error);
      return;
    }
    const { answers, shardsTotal } = this;
    this.options.done({ answers, shardsTotal, served: this.served.list });
  }

  private restart(): void {
    this.stop();
    const { placement, scope } = this.core;
    placement.refresh(Math.min(refreshMs, Math.max(0, this.options.until - scope.now)), () => this.start());
  }

  private fail(error: VectronError): void {
    this.stop();
    this.options.done(error);
  }

  /** What is still under way counts no more. */
  private stop(): void {
    this.round++;
    for (const cancel of this.cancels) cancel();
  }
}
