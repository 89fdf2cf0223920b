import { type ErrorCode, VectronError } from '../base/errors';
import { type NodeName, type Revision, revision, type Term, term, type WorkerId } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import type { Failure } from '../protocol/data-messages';
import { type Address, at, lanes, placementActor } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { LeaderHint, PlacementChange } from '../protocol/placement-messages';
import type { ActorContext, Signal } from '../runtime/actor';
import type { AskOutcome } from '../runtime/asks';
import { RequestNumbers } from '../runtime/request-numbers';
import {
  type Call,
  type CallKind,
  type CallOptions,
  type CallReply,
  type Done,
  errorOf,
  type PlacementClientOptions,
  type PlacementClientOwner,
  replyKinds,
} from './placement-calls';

const timerKey = 'placement-client';
/** Answers that say nothing was done and another node, or a later time, may do it. */
const elsewhereCodes: readonly string[] = ['NOT_LEADER', 'UNAVAILABLE', 'POISONED'] satisfies ErrorCode[];
const quickProbeMs = 50;
const probeDelayMsMax = 1_000;
const callsMax = 4_096;

/**
 * Reaches the placement driver's leader for the actor that embeds it: finds the leader, sends and repeats calls, follows
 * the watch stream. The actor forwards receive() and signalled() and calls start() once. Not an actor of its own.
 *
 *  1. Every call gets exactly one outcome, by its deadline at the latest; one that is not repeatable is sent again only
 *     when the driver said that it did nothing.
 *  2. Changes reach the owner in the order of revisions and without a gap; an event that would leave one is dropped and
 *     asked for again.
 *  3. A driver of another cluster, of an older term, or behind the revision already followed is not obeyed (DESIGN D8).
 *     Nor is one of another incarnation than the owner named or, if it named none, than the first followed.
 *  4. Without a leader it goes on looking, for ever.
 */
export class PlacementClient {
  private readonly tickMs: number;
  private readonly attemptTimeoutMs: number;
  private readonly renewMs: number;
  private readonly calls = new Map<number, Call>();
  private leaderNow: NodeName | null = null;
  private termNow: Term = term(0);
  private revisionNow: Revision = revision(0);
  /** Of the only driver obeyed; 0: none yet. */
  private incarnationNow = 0;
  private watching: WorkerId | null = null;
  private watchSentAt: MonotonicMs | null = null;
  private watchHeardAt: MonotonicMs | null = null;
  /** Events of earlier requests speak of another scope. */
  private watchMark = 0;
  private probedAt: MonotonicMs | null = null;
  private probeDelayMs = 0;
  private readonly requests = new RequestNumbers();
  /** Events and replies that were not obeyed: rule 3. */
  refusedCount = 0;
  lastRefusal = '';

  constructor(
    private readonly options: PlacementClientOptions,
    private readonly owner: PlacementClientOwner,
  ) {
    this.tickMs = options.tickMs ?? 250;
    this.attemptTimeoutMs = options.attemptTimeoutMs ?? 1_000;
    this.renewMs = options.renewMs ?? 2_500;
  }

  get leader(): NodeName | null {
    return this.leaderNow;
  }

  /** The revision followed up to; 0 before the first event. */
  get revision(): Revision {
    return this.revisionNow;
  }

  /** Of the driver whose decisions the owner holds; 0 is none in particular. */
  get incarnation(): number {
    return this.incarnationNow;
  }

  set incarnation(incarnation: number) {
    this.incarnationNow = incarnation;
  }

  start(context: ActorContext): void {
    this.probe(this.options.nodes, context);
    this.arm(context);
  }

  /** Follows the stream of a worker, or with 0 the whole routing. */
  watch(worker: WorkerId, context: ActorContext): void {
    if (this.watching !== worker) {
      this.watching = worker;
      this.revisionNow = revision(0);
      this.watchMark = this.requests.given;
    }
    this.renew(context);
    this.arm(context);
  }

  /** Sends the request under a number of its own; `request` in the message does not matter. */
  call<K extends CallKind>(
    message: MessageOf<K>,
    options: CallOptions,
    done: Done<CallReply<K>>,
    context: ActorContext,
  ): void {
    if (this.calls.size >= callsMax) {
      done({ ok: false, error: new VectronError('RESOURCE_EXHAUSTED', `${callsMax} calls wait already`) }, context);
      return;
    }
    const request = this.requests.next(context.random);
    const call: Call = {
      message: { ...message, request },
      options,
      deadline: (context.now + options.timeoutMs) as MonotonicMs,
      // onReply() hands over only the kind that belongs to the request's kind.
      done: done as Call['done'],
      sentAt: null,
    };
    this.calls.set(request, call);
    this.send(call, context);
    this.arm(context);
  }

  /** True: the message was for the client. */
  receive(message: Message, from: Address, context: ActorContext): boolean {
    if (from.actor !== placementActor || !this.options.nodes.includes(from.node)) return false;
    if (!this.take(message, from.node, context)) return false;
    this.arm(context);
    return true;
  }

  private take(message: Message, node: NodeName, context: ActorContext): boolean {
    switch (message.kind) {
      case 'pd.statusReply':
        this.onStatus(message, node, context);
        return true;
      case 'pd.watchEvent':
        this.onEvent(message, node, context);
        return true;
      case 'pd.workerRegistered':
      case 'pd.heartbeatReply':
      case 'pd.collectionCreated':
      case 'pd.collectionDeleted':
      case 'pd.replicaMoving':
      case 'pd.leaderTransferring':
        this.onReply(message, node, context);
        return true;
      default:
        return false;
    }
  }

  /** True: the signal was for the client. */
  signalled(signal: Signal, context: ActorContext): boolean {
    if (signal.signal !== 'timer' || signal.key !== timerKey) return false;
    this.expireCalls(context);
    if (this.isLeaderSilent(context.now)) this.loseLeader();
    if (this.leaderNow === null) this.probeAll(context);
    else if (this.isRenewalDue(context.now)) this.renew(context);
    this.arm(context);
    return true;
  }

  /** Sets the timer for whatever is due next: an idle client wakes nobody but to renew its watch. */
  private arm(context: ActorContext): void {
    const delayMs = Math.max(1, this.nextDue(context.now) - context.now);
    context.setTimer(timerKey, delayMs, { signal: 'timer', key: timerKey });
  }

  private nextDue(now: MonotonicMs): number {
    if (this.leaderNow === null) return now + this.tickMs;
    const silent = this.unanswered().map((sentAt) => sentAt + this.attemptTimeoutMs);
    const deadlines = [...this.calls.values()].map(({ deadline }) => deadline as number);
    const renewal = this.watching === null ? [] : [(this.watchSentAt ?? now) + this.renewMs];
    return Math.min(now + this.renewMs, ...silent, ...deadlines, ...renewal);
  }

  /** Ever less often the longer nobody leads. */
  private probeAll(context: ActorContext): void {
    if (this.probedAt !== null && context.now - this.probedAt < this.probeDelayMs) return;
    this.probeDelayMs = Math.min(Math.max(this.probeDelayMs * 2, this.tickMs), probeDelayMsMax);
    this.probe(this.options.nodes, context);
  }

  private probe(nodes: readonly NodeName[], context: ActorContext): void {
    this.probedAt = context.now;
    for (const node of nodes) {
      context.send(
        at(node, placementActor),
        { kind: 'pd.status', request: this.requests.next(context.random) },
        lanes.data,
      );
    }
  }

  private onStatus(reply: MessageOf<'pd.statusReply'>, node: NodeName, context: ActorContext): void {
    if (reply.failure !== null) this.followHint(reply.failure, context);
    else if (this.isTermObeyed(reply.term, node)) this.adoptLeader(node, reply.term, context);
  }

  /** A node that does not lead may know who does; asked at most every few milliseconds. */
  private followHint(failure: Failure, context: ActorContext): void {
    const hinted = this.options.nodes.find((node) => node === failure.leader);
    const isTooSoon = this.probedAt !== null && context.now - this.probedAt < quickProbeMs;
    if (this.leaderNow === null && hinted !== undefined && !isTooSoon) this.probe([hinted], context);
  }

  private adoptLeader(node: NodeName, leaderTerm: Term, context: ActorContext): void {
    const isNew = node !== this.leaderNow || leaderTerm > this.termNow;
    this.leaderNow = node;
    this.termNow = leaderTerm;
    this.probeDelayMs = 0;
    if (!isNew) return;
    this.watchSentAt = null;
    if (this.watching !== null) this.renew(context);
    for (const call of this.calls.values()) if (call.sentAt === null) this.send(call, context);
    this.owner.placementLeaderFound(context);
  }

  private loseLeader(): void {
    this.leaderNow = null;
    this.watchSentAt = null;
    for (const call of this.calls.values()) if (call.options.repeatable) call.sentAt = null;
  }

  private send(call: Call, context: ActorContext): void {
    if (this.leaderNow === null) return;
    call.sentAt = context.now;
    context.send(at(this.leaderNow, placementActor), call.message, lanes.data);
  }

  private expireCalls(context: ActorContext): void {
    for (const [request, call] of [...this.calls]) {
      if (context.now < call.deadline) continue;
      const code = call.sentAt === null && !call.options.repeatable ? 'UNAVAILABLE' : 'DEADLINE_EXCEEDED';
      const error = new VectronError(code, 'the placement driver did not answer in time');
      this.settle(request, call, { ok: false, error }, context);
    }
  }

  private isLeaderSilent(now: MonotonicMs): boolean {
    return this.leaderNow !== null && this.unanswered().some((sentAt) => now - sentAt >= this.attemptTimeoutMs);
  }

  /** When the leader was asked what it has not answered yet. */
  private unanswered(): MonotonicMs[] {
    const waiting = [...this.calls.values()].filter((call) => call.options.repeatable).map((call) => call.sentAt);
    const asked = [...waiting, this.isWatchAnswered() ? null : this.watchSentAt];
    return asked.filter((sentAt) => sentAt !== null);
  }

  private isWatchAnswered(): boolean {
    return this.watchSentAt !== null && this.watchHeardAt !== null && this.watchHeardAt >= this.watchSentAt;
  }

  private isRenewalDue(now: MonotonicMs): boolean {
    return this.watching !== null && (this.watchSentAt === null || now - this.watchSentAt >= this.renewMs);
  }

  private renew(context: ActorContext): void {
    if (this.leaderNow === null || this.watching === null) return;
    this.watchSentAt = context.now;
    const { cluster } = this.options;
    const [worker, fromRevision] = [this.watching, this.revisionNow];
    const message: Message = {
      kind: 'pd.watch',
      request: this.requests.next(context.random),
      cluster,
      worker,
      fromRevision,
    };
    context.send(at(this.leaderNow, placementActor), message, lanes.data);
  }

  private onReply(reply: CallReply<CallKind>, node: NodeName, context: ActorContext): void {
    const call = this.calls.get(reply.request);
    if (call === undefined || replyKinds[call.message.kind] !== reply.kind) return;
    if (reply.failure !== null) {
      this.onFailure(reply.request, call, reply.failure, node, context);
      return;
    }
    if (!this.isReplyObeyed(reply, node)) return;
    this.settle(reply.request, call, { ok: true, reply }, context);
  }

  private onFailure(request: number, call: Call, failure: Failure, node: NodeName, context: ActorContext): void {
    const isRepeated =
      elsewhereCodes.includes(failure.code) || (failure.code === 'OUTCOME_UNKNOWN' && call.options.repeatable);
    if (!isRepeated) {
      this.settle(request, call, { ok: false, error: errorOf(failure) }, context);
      return;
    }
    call.sentAt = null;
    if (node === this.leaderNow) this.loseLeader();
    this.followHint(failure, context);
  }

  private isReplyObeyed(reply: CallReply<CallKind>, node: NodeName): boolean {
    if (reply.kind === 'pd.heartbeatReply') return this.isTermObeyed(reply.term, node);
    if (reply.kind !== 'pd.workerRegistered') return true;
    if (reply.cluster !== this.options.cluster) return this.refuse(node, `${node} is of cluster ${reply.cluster}`);
    if (!this.isIncarnationObeyed(reply.incarnation, node)) return false;
    return reply.revision >= this.revisionNow || this.refuse(node, `${node} is behind, at revision ${reply.revision}`);
  }

  private isIncarnationObeyed(theirs: number, node: NodeName): boolean {
    const mine = this.incarnationNow;
    if (mine === 0 || theirs === mine) return true;
    return this.refuse(node, `${node} started from nothing: its incarnation is ${theirs}, not ${mine}`);
  }

  private isTermObeyed(theirs: Term, node: NodeName): boolean {
    return theirs >= this.termNow || this.refuse(node, `${node} leads in the past term ${theirs}`);
  }

  private refuse(node: NodeName, why: string): false {
    this.refusedCount++;
    this.lastRefusal = why;
    if (node === this.leaderNow) this.loseLeader();
    return false;
  }

  private settle(request: number, call: Call, outcome: AskOutcome<CallReply<CallKind>>, context: ActorContext): void {
    this.calls.delete(request);
    call.done(outcome, context);
  }

  private onEvent(event: MessageOf<'pd.watchEvent'>, node: NodeName, context: ActorContext): void {
    if (event.failure !== null) {
      this.onWatchFailure(event.failure, node, context);
      return;
    }
    const { change } = event;
    if (change.cluster !== this.options.cluster) {
      this.refuse(node, `${node} is of cluster ${change.cluster}`);
      return;
    }
    if (!this.isIncarnationObeyed(change.incarnation, node)) return;
    if (
      this.watching === null ||
      !this.requests.isSince(this.watchMark, event.request) ||
      !this.isTermObeyed(event.term, node)
    )
      return;
    this.incarnationNow = change.incarnation;
    this.adoptLeader(node, event.term, context);
    this.watchHeardAt = context.now;
    this.follow(change, event.leaders, context);
  }

  private follow(change: PlacementChange, leaders: readonly LeaderHint[], context: ActorContext): void {
    if (change.revision < this.revisionNow) return;
    if (!change.full && change.fromRevision > this.revisionNow) {
      this.renew(context);
      return;
    }
    this.revisionNow = change.revision;
    this.owner.placementChanged(change, leaders, context);
  }

  private onWatchFailure(failure: Failure, node: NodeName, context: ActorContext): void {
    if (failure.code === 'NOT_FOUND') {
      this.watchHeardAt = context.now;
      this.owner.placementForgot(context);
      return;
    }
    if (!elsewhereCodes.includes(failure.code)) this.refuse(node, `${node}: ${failure.message}`);
    else if (node === this.leaderNow) this.loseLeader();
    this.followHint(failure, context);
  }
}
