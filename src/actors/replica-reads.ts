import { invalid, VectronError } from '../base/errors';
import { batchPointsMax, efMax, searchKMax } from '../base/limits';
import type { MonotonicMs } from '../base/time';
import type { Failure } from '../protocol/data-messages';
import type { Message, MessageOf } from '../protocol/messages';
import type { ReplicaSpec } from '../protocol/records';
import type { ActorContext, Signal } from '../runtime/actor';
import { vectorFault } from '../shard/command-faults';
import type { Selecting } from '../shard/selecting';
import type { ShardMachine } from '../shard/shard-machine';
import { checkWhole } from '../vector/metrics';
import type { VectorIndex } from '../vector/ports';
import type { RaftMember } from './raft-member';
import type { ReadDone } from './raft-member-waiters';
import { ReplicaLinking } from './replica-linking';
import { failureOf, type OpenRequest, OpenRequests } from './replica-requests';
import { type QueryMessage, QueryWork, type SelectMessage, selecting } from './replica-work';

export type ReadMessage = MessageOf<
  'data.search' | 'data.get' | 'data.scan' | 'data.select' | 'data.query' | 'data.tunedQuery'
>;
type LevelledMessage = Exclude<ReadMessage, { kind: 'data.scan' }>;
type LongMessage = SelectMessage | QueryMessage;
type ReadRequest = OpenRequest<ReadMessage>;
type TunedRequest = OpenRequest<MessageOf<'data.tunedQuery'>>;
/** Answered in the handler that serves it. */
type Quick = OpenRequest<Exclude<ReadMessage, LongMessage>>;

type Long =
  | { readonly kind: 'select'; readonly message: SelectMessage; readonly work: Selecting }
  | {
      readonly kind: 'query';
      readonly message: QueryMessage;
      readonly work: QueryWork;
      /** What was known of the state before the first query. */
      readonly freshAsOf: MonotonicMs | null;
      /** Every point that there was is in the graph. */
      readonly indexed: boolean;
    };

export interface ReadPort {
  readonly spec: ReplicaSpec;
  readonly member: RaftMember;
  readonly machine: ShardMachine;
  readonly index: VectorIndex;
  notLeader(): Failure;
  stale(why: string): Failure;
  /** A record is not what was written: this replica can no longer be trusted. */
  corrupt(thrown: VectronError, context: ActorContext): void;
}

const waitingMax = 1_024;
/** Each may hold an entry for every point that matches. */
const selectingMax = 64;
export const selectKey = 'replica.select';
const scanCountMax = 1_000;

/**
 * Reads of one replica, by level (DESIGN D12): `eventual` as the state is; `session` once what its token names is applied;
 * `bounded` if the state is known to be fresh enough, and otherwise, like `linearizable`, once a read index is applied here;
 * `leader` if this replica leads and a quorum heard it lately. A search also waits for the index to be level with the
 * store. Epoch and leadership are checked when the read is served, not when it comes in.
 *
 * How fresh the state is, it knows from read indices: one that was asked for at a moment of this machine's own monotonic
 * clock, and is applied, covers all that was acknowledged anywhere before that moment. No two clocks are compared.
 */
export class ReplicaReads {
  /** Searches that wait for the index. */
  private readonly held = new OpenRequests<ReadMessage>(waitingMax);
  private readonly confirming = new OpenRequests<ReadMessage>(waitingMax);
  /** Reads whose token names an entry that is not applied yet. */
  private readonly behind = new OpenRequests<ReadMessage>(waitingMax);
  /** All that was acknowledged before this moment is in the state; null: not known. */
  private freshAsOf: MonotonicMs | null = null;
  private refreshing = false;
  /** Being worked on, a slice at a time, each in its turn. */
  private selecting: { readonly request: OpenRequest<LongMessage>; readonly work: Long }[] = [];
  private scheduled = false;
  /** Searches that wait for the graph. */
  private readonly linking: ReplicaLinking<TunedRequest>;

  constructor(private readonly port: ReadPort) {
    this.linking = new ReplicaLinking(port.index, waitingMax, (...done) => this.linked(...done));
  }

  get openCount(): number {
    return this.held.count + this.confirming.count + this.linking.count + this.selecting.length;
  }

  accept(request: ReadRequest, context: ActorContext): void {
    const { message } = request;
    if (message.kind === 'data.scan') this.serve(request, context);
    else if (message.level === 'linearizable') this.confirm(request, context);
    else if (message.level === 'bounded') this.bounded(request, message.stalenessMs, context);
    else this.serve(request, context);
  }

  private confirm(request: ReadRequest, context: ActorContext): void {
    if (!this.confirming.add(request)) this.tooMany(request, context);
    else this.readIndex((ok, later) => this.confirmed(request, ok, later), context);
  }

  private bounded(request: ReadRequest, stalenessMs: number, context: ActorContext): void {
    const ageMs = this.ageMs(context);
    if (ageMs === null || ageMs > stalenessMs) {
      this.confirm(request, context);
      return;
    }
    this.serve(request, context);
    if (ageMs <= stalenessMs / 2 || this.refreshing) return;
    this.refreshing = true;
    this.readIndex(() => {
      this.refreshing = false;
    }, context);
  }

  private readIndex(done: ReadDone, context: ActorContext): void {
    const askedAt = context.now;
    this.port.member.readIndex((ok, later) => {
      if (ok && (this.freshAsOf === null || askedAt > this.freshAsOf)) this.freshAsOf = askedAt;
      done(ok, later);
    }, context);
  }

  private ageMs(context: ActorContext, freshAsOf = this.freshAsOf): number | null {
    return freshAsOf === null ? null : Math.ceil(context.now - freshAsOf);
  }

  /** Those that wait for an entry which a token names. */
  get behindCount(): number {
    return this.behind.count;
  }

  /** The state has moved on. */
  applied(context: ActorContext): void {
    if (this.behind.count === 0) return;
    for (const request of this.behind.takeAll()) this.serve(request, context);
  }

  /** The index may have become level with the store. */
  release(context: ActorContext): void {
    if (!this.port.machine.indexReady) return;
    for (const request of this.held.takeAll()) this.serve(request, context);
  }

  sweep(context: ActorContext): void {
    this.held.sweep(context);
    this.confirming.sweep(context);
    this.behind.sweep(context);
    for (const { request } of this.selecting) request.expire(context);
  }

  failAll(failed: Failure, context: ActorContext): void {
    for (const waiting of [this.held, this.confirming, this.behind]) {
      for (const request of waiting.takeAll()) request.fail(failed, context);
    }
    for (const request of this.linking.takeAll()) request.fail(failed, context);
    for (const { request, work } of this.selecting) {
      work.work.close();
      request.fail(failed, context);
    }
    this.selecting = [];
  }

  private confirmed(request: ReadRequest, ok: boolean, context: ActorContext): void {
    if (request.answered) return;
    if (ok) this.serve(request, context);
    else request.fail(this.port.notLeader(), context);
  }

  private serve(request: ReadRequest, context: ActorContext): void {
    if (request.answered || request.expire(context)) return;
    const { message } = request;
    const failed = message.kind === 'data.scan' ? null : this.refusal(message);
    if (failed !== null) request.fail(failed, context);
    else if (this.isBehind(message)) {
      if (!this.behind.add(request)) this.tooMany(request, context);
    } else if (needsIndex(message) && !this.port.machine.indexReady) {
      if (!this.held.add(request)) this.tooMany(request, context);
    } else if (message.kind === 'data.tunedQuery') {
      if (!this.linking.add(request as TunedRequest, message.waitIndexedMs, context)) this.tooMany(request, context);
    } else if (isLong(message)) this.begin(request as OpenRequest<LongMessage>, false, context);
    else this.answer(request as Quick, context);
  }

  /** Meanwhile the replica may have become another one. */
  private linked(request: TunedRequest, indexed: boolean, context: ActorContext): void {
    if (request.answered || request.expire(context)) return;
    const failed = this.refusal(request.message);
    if (failed !== null) request.fail(failed, context);
    else this.begin(request as OpenRequest<LongMessage>, indexed, context);
  }

  private isBehind(message: ReadMessage): boolean {
    return message.kind !== 'data.scan' && message.minIndex > this.port.machine.appliedIndex;
  }

  private refusal(message: LevelledMessage): Failure | null {
    const { machine, member } = this.port;
    if (message.epoch.version !== machine.epoch.version)
      return this.port.stale('the request has another version of the shard');
    return message.level === 'leader' && !member.leaderIsReady ? this.port.notLeader() : null;
  }

  private answer(request: Quick, context: ActorContext): void {
    this.guarded(request, context, () => request.reply(this.read(request.message, context), context));
  }

  private guarded(request: ReadRequest, context: ActorContext, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (!(thrown instanceof VectronError)) throw thrown;
      request.fail(failureOf(thrown), context);
      if (thrown.code === 'CORRUPT') this.port.corrupt(thrown, context);
    }
  }

  // Selections: longer than one handler may work

  private begin(request: OpenRequest<LongMessage>, indexed: boolean, context: ActorContext): void {
    if (this.selecting.length >= selectingMax) return this.tooMany(request, context);
    this.guarded(request, context, () => {
      this.selecting.push({ request, work: this.workOf(request.message, indexed) });
      this.schedule(context);
    });
  }

  private workOf(message: LongMessage, indexed: boolean): Long {
    const { machine, spec } = this.port;
    if (message.kind === 'data.select') {
      return { kind: 'select', message, work: selecting(machine, message, spec.collection) };
    }
    const work = new QueryWork(machine, message.queries, spec.collection);
    return { kind: 'query', message, work, freshAsOf: this.freshAsOf, indexed };
  }

  private schedule(context: ActorContext): void {
    if (this.scheduled || this.selecting.length === 0) return;
    this.scheduled = true;
    context.later({ signal: 'work', key: selectKey });
  }

  /** True if the signal was its own. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if (this.linking.signalled(signal, context)) return true;
    if (signal.signal !== 'work' || signal.key !== selectKey) return false;
    this.scheduled = false;
    const next = this.selecting.shift();
    if (next !== undefined && !this.advance(next.request, next.work, context)) this.selecting.push(next);
    this.schedule(context);
    return true;
  }

  /** True if there is nothing left to do for it. */
  private advance(request: OpenRequest<LongMessage>, long: Long, context: ActorContext): boolean {
    const { work } = long;
    let ended = request.answered || request.expire(context);
    this.guarded(request, context, () => {
      if (!ended && work.advance()) {
        ended = true;
        // What was checked before the first slice may have changed since.
        const failed = this.refusal(request.message);
        if (failed !== null) request.fail(failed, context);
        else request.reply(this.found(long, context), context);
      }
    });
    ended ||= request.answered;
    if (ended) work.close();
    return ended;
  }

  private found(long: Long, context: ActorContext): Message {
    const { request, shard } = long.message;
    const header = { request, shard, failure: null };
    if (long.kind === 'query') {
      const { results, appliedIndex } = long.work;
      const answer = { ...header, appliedIndex, ageMs: this.ageMs(context, long.freshAsOf), results };
      if (long.message.kind === 'data.query') return { kind: 'data.queried', ...answer };
      return { kind: 'data.tunedQueried', ...answer, indexed: long.indexed };
    }
    const { hits, points, done, count, visited, stored } = long.work.result();
    const { appliedIndex } = this.port.machine;
    const ageMs = this.ageMs(context);
    return { kind: 'data.selected', ...header, appliedIndex, ageMs, hits, points, done, count, visited, stored };
  }

  private read(message: Exclude<ReadMessage, LongMessage>, context: ActorContext): Message {
    const { appliedIndex } = this.port.machine;
    const header = { request: message.request, shard: message.shard, failure: null, appliedIndex };
    const ageMs = this.ageMs(context);
    if (message.kind === 'data.search') return { kind: 'data.found', ...header, ageMs, ...this.search(message) };
    if (message.kind === 'data.get') return { kind: 'data.got', ...header, ageMs, points: this.get(message) };
    const countMax = Math.min(Math.max(message.countMax, 1), scanCountMax);
    return { kind: 'data.scanned', ...header, ...this.port.machine.scan(message.afterId, countMax) };
  }

  private search(message: MessageOf<'data.search'>): ReturnType<ShardMachine['search']> {
    const { dimension } = this.port.spec.collection;
    const fault = vectorFault(message.vector, dimension, 'vector');
    if (fault !== null) throw fault;
    checkWhole(message.k, 1, searchKMax, 'k');
    checkWhole(message.ef, 0, efMax, 'ef');
    return this.port.machine.search(message);
  }

  private get({ ids }: MessageOf<'data.get'>): ReturnType<ShardMachine['get']> {
    if (ids.length > batchPointsMax) throw invalid('ids', `${ids.length} ids, at most ${batchPointsMax} are allowed`);
    return this.port.machine.get(ids);
  }

  private tooMany(request: ReadRequest, context: ActorContext): void {
    request.refuse('RESOURCE_EXHAUSTED', 'too many reads wait here', context, 50);
  }
}

const isLong = (message: ReadMessage): boolean => message.kind === 'data.select' || message.kind === 'data.query';

/** What only the vector index can answer; matches of a filter are found by reading records while it is not level. */
function needsIndex(message: ReadMessage): boolean {
  if (message.kind === 'data.tunedQuery' && message.waitIndexedMs > 0) return true;
  if (message.kind === 'data.query' || message.kind === 'data.tunedQuery')
    return message.queries.some(({ filter }) => filter === null);
  return message.kind === 'data.search';
}
