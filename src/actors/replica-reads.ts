import { invalid, VectronError } from '../base/errors';
import { batchPointsMax, efMax, searchKMax } from '../base/limits';
import type { MonotonicMs } from '../base/time';
import type { Failure } from '../protocol/data-messages';
import type { Message, MessageOf } from '../protocol/messages';
import type { ReplicaSpec } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import { vectorFault } from '../shard/command-faults';
import type { ShardMachine } from '../shard/shard-machine';
import { checkWhole } from '../vector/metrics';
import type { RaftMember } from './raft-member';
import type { ReadDone } from './raft-member-waiters';
import { failureOf, type OpenRequest, OpenRequests } from './replica-requests';

type ReadMessage = MessageOf<'data.search' | 'data.get' | 'data.scan'>;
type LevelledMessage = MessageOf<'data.search' | 'data.get'>;
type ReadRequest = OpenRequest<ReadMessage>;

export interface ReadPort {
  readonly spec: ReplicaSpec;
  readonly member: RaftMember;
  readonly machine: ShardMachine;
  notLeader(): Failure;
  stale(why: string): Failure;
  /** A record is not what was written: this replica can no longer be trusted. */
  corrupt(thrown: VectronError, context: ActorContext): void;
}

const waitingMax = 1_024;
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

  constructor(private readonly port: ReadPort) {}

  get openCount(): number {
    return this.held.count + this.confirming.count;
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

  private ageMs(context: ActorContext): number | null {
    return this.freshAsOf === null ? null : Math.ceil(context.now - this.freshAsOf);
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
  }

  failAll(failed: Failure, context: ActorContext): void {
    for (const waiting of [this.held, this.confirming, this.behind]) {
      for (const request of waiting.takeAll()) request.fail(failed, context);
    }
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
    } else if (message.kind !== 'data.search' || this.port.machine.indexReady) this.answer(request, context);
    else if (!this.held.add(request)) this.tooMany(request, context);
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

  private answer(request: ReadRequest, context: ActorContext): void {
    try {
      request.reply(this.read(request.message, context), context);
    } catch (thrown) {
      if (!(thrown instanceof VectronError)) throw thrown;
      request.fail(failureOf(thrown), context);
      if (thrown.code === 'CORRUPT') this.port.corrupt(thrown, context);
    }
  }

  private read(message: ReadMessage, context: ActorContext): Message {
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
