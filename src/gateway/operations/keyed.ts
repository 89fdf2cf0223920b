import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { Message } from '../../protocol/messages';
import type { CollectionRecord, ShardRecord } from '../../protocol/records';
import type { Ask, GroupOutcome, Reply } from '../group-calls';
import { shardOfHash } from '../routing-table';
import { askShard, type Core, findShards, type RequestHeader, refreshMs } from './core';

/** Work on items that each belong to the shard their id hashes to. */
export interface KeyedWork {
  readonly collection: CollectionRecord;
  readonly count: number;
  readonly ask: Ask;
  readonly until: MonotonicMs;
  readonly attemptMs: number;
  idOf(position: number): string;
  /** About what an item adds to a message or to its answer. */
  bytesOf(position: number): number;
  message(header: RequestHeader, positions: readonly number[]): Message;
  accept(reply: Reply, positions: readonly number[]): void;
  /** A part's failure as the caller is to hear of it. Default: as it is. */
  explain?(error: VectronError, reply: Reply | null, positions: readonly number[]): VectronError;
  done(result: KeyedResult): void;
}

export interface KeyedResult {
  readonly error: VectronError | null;
  /** Positions whose part failed, ascending. */
  readonly failed: readonly number[];
}

/** A part of this size costs little to send again and is far from the limit of a log entry. */
const partBytesMax = 1024 * 1024;

/**
 * Groups items by shard, cuts each group into parts of about partBytesMax, sends all parts at once, and groups those
 * again whose shard turns out to be no longer theirs. Calls work.done() once, when every part has an outcome.
 */
export function runKeyed(core: Core, work: KeyedWork): void {
  new KeyedOperation(core, work).start();
}

class KeyedOperation {
  private outstanding = 0;
  private error: VectronError | null = null;
  private readonly failed: number[] = [];

  constructor(
    private readonly core: Core,
    private readonly work: KeyedWork,
  ) {}

  start(): void {
    this.dispatch(Array.from({ length: this.work.count }, (_, position) => position));
  }

  private dispatch(positions: readonly number[]): void {
    this.outstanding++;
    findShards(this.core, this.work.collection, this.work.until, (shards) => {
      if (shards instanceof VectronError) this.fail(positions, shards);
      else for (const part of this.cut(shards, positions)) this.send(part.shard, part.positions);
      this.settle();
    });
  }

  private cut(shards: readonly ShardRecord[], positions: readonly number[]): Part[] {
    const open = new Map<ShardRecord, Part>();
    const parts: Part[] = [];
    for (const position of positions) {
      const shard = shardOfHash(shards, this.core.keyHash(this.work.idOf(position)));
      const bytes = this.work.bytesOf(position);
      let part = open.get(shard);
      if (part === undefined || part.bytes + bytes > partBytesMax) {
        part = { shard, positions: [], bytes: 0 };
        open.set(shard, part);
        parts.push(part);
      }
      part.positions.push(position);
      part.bytes += bytes;
    }
    return parts;
  }

  private send(shard: ShardRecord, positions: readonly number[]): void {
    const { work } = this;
    this.outstanding++;
    askShard(this.core, {
      shard,
      ask: work.ask,
      until: work.until,
      attemptMs: work.attemptMs,
      message: (header) => work.message(header, positions),
      done: (outcome) => {
        this.finished(outcome, positions);
        this.settle();
      },
    });
  }

  private finished(outcome: GroupOutcome, positions: readonly number[]): void {
    if (outcome.kind === 'answered') this.work.accept(outcome.reply, positions);
    else if (outcome.kind === 'failed') {
      const { error, reply } = outcome;
      this.fail(positions, this.work.explain?.(error, reply, positions) ?? error);
    } else this.reroute(positions);
  }

  private reroute(positions: readonly number[]): void {
    this.outstanding++;
    const { scope, placement } = this.core;
    placement.refresh(Math.min(refreshMs, Math.max(0, this.work.until - scope.now)), () => {
      this.dispatch(positions);
      this.settle();
    });
  }

  private fail(positions: readonly number[], error: VectronError): void {
    // One part of which nobody knows makes the whole unsure, whatever was refused before it.
    if (this.error === null || (this.error.retry !== 'unsure' && error.retry === 'unsure')) this.error = error;
    this.failed.push(...positions);
  }

  private settle(): void {
    if (--this.outstanding > 0) return;
    this.failed.sort((a, b) => a - b);
    this.work.done({ error: this.error, failed: this.failed });
  }
}

interface Part {
  readonly shard: ShardRecord;
  readonly positions: number[];
  bytes: number;
}
