import { assert } from '../base/assert';
import { type ErrorCode, errorCatalogue, VectronError } from '../base/errors';
import type { Term } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import type { Failure } from '../protocol/data-messages';
import { type Address, addressText } from '../protocol/envelope';
import type { Message } from '../protocol/messages';
import { RequestNumbers } from '../runtime/request-numbers';
import { Leaders } from './leaders';
import { ProbeBudgets } from './probe-budgets';
import type { Scope, Timer } from './scope';

/** Any answer of a replica or of the placement driver. */
export type Reply = Extract<Message, { readonly request: number; readonly failure: Failure | null }>;

/** `replaced`: the group does not serve this request any more, its caller must look for who does. */
export type GroupOutcome =
  | { readonly kind: 'answered'; readonly reply: Reply; readonly unsureCount: number }
  | { readonly kind: 'replaced' }
  | {
      readonly kind: 'failed';
      readonly error: VectronError;
      readonly unsureCount: number;
      /** The refusal that decided; null: time or patience ran out. */
      readonly reply: Reply | null;
    };

/** `leader`: only it can answer. `leaderFirst`: every member can, the leader soonest. `any`: every member alike. */
export type Ask = 'leader' | 'leaderFirst' | 'any';

export interface GroupCall {
  /** Names the group, for who is believed to lead it. */
  readonly group: string;
  readonly ask: Ask;
  readonly until: MonotonicMs;
  /** How long the first member asked has for its answer. */
  readonly attemptMs: number;
  /** Who can be asked now; null: the group is gone, or no longer the one that was meant. */
  members(): readonly Address[] | null;
  message(request: number, timeoutMs: number): Message;
  /** The member's route is not ours. True: it can be asked again at once with what was learnt. */
  learn(failure: Failure): boolean;
  done(outcome: GroupOutcome): void;
}

interface Pending {
  readonly call: GroupCall;
  /** Members asked in this round. */
  readonly asked: Set<string>;
  /** A member that was named as leader in this round is asked once more; two that name each other are not asked for ever. */
  followed: boolean;
  /** Members that left this call unanswered, and when they were last asked. */
  readonly silent: Map<string, MonotonicMs>;
  /** Attempts that nobody has answered. */
  readonly open: Set<number>;
  /** The attempt that is waited for. */
  current: number;
  attemptMs: number;
  backoffMs: number;
  /** Attempts whose answer was that their outcome is unknown. */
  unknownCount: number;
  lastFailure: VectronError | null;
  timer: Timer | null;
  finished: boolean;
}

interface Attempt {
  readonly entry: Pending;
  readonly member: Address;
}

/** Attempts of which nobody knows whether they were or will be executed. */
const unsureCount = (entry: Pending): number => entry.open.size + entry.unknownCount;

const attemptMsMax = 4_000;
/** Who was silent before is asked in passing: its late answer counts, and meanwhile another may have been elected. */
const silentAttemptMs = 200;
const backoffFirstMs = 25;
const backoffMsMax = 400;
/** While nobody is believed to lead a group it is asked this often for all calls together; at first, so often at once. */
const probeEveryMs = 50;
const probesAtOnce = 3;

/** Failures after which another attempt may succeed. All others are the caller's answer. */
const retried: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UNAVAILABLE',
  'NOT_LEADER',
  'STALE_SHARD',
  'OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
  'CORRUPT',
  'REPLICA_DAMAGED',
  'UNSUPPORTED_VERSION',
  'POISONED',
]);

/**
 * Asks a group of replicas until one answers: the believed leader first, whom it names next, then the other members, with
 * pauses between rounds, all before the call's deadline. Owned by the gateway's actor.
 *
 *  1. done() is called exactly once for every call that was not cancelled, at the latest at `until`.
 *  2. Every attempt has its own request number and is remembered until the call ends, so a late answer still counts, and
 *     one that comes twice counts once.
 *  3. A call succeeds only by an answer to one of its own attempts, and never by one to an earlier process of this name.
 *  4. It fails with a code whose class is `safe` only if every attempt was answered by a refusal.
 *  5. While nobody is believed to lead a group, its calls look for a leader in turn, a few a second in all; the others wait
 *     for what those learn. So a group that elects is not kept busy with refusing.
 *
 * An attempt that was given up may still be executed later. All attempts at a write carry one idempotency key (DESIGN
 * D13), so that it is executed once, and not at all after one of them was answered by a failure for good.
 */
export class GroupCalls {
  private readonly attempts = new Map<number, Attempt>();
  /** Between rounds: they wait for their own timers, or for news of a leader. */
  private readonly pausing = new Set<Pending>();
  private readonly probes = new ProbeBudgets(probeEveryMs, probesAtOnce);
  private readonly requests = new RequestNumbers();

  constructor(
    private readonly scope: Scope,
    readonly leaders: Leaders,
  ) {}

  /** Attempts that wait for an answer. */
  get openCount(): number {
    return this.attempts.size;
  }

  nextRequest(): number {
    return this.requests.next(this.scope.random);
  }

  /** Returns how to cancel it: then nobody waits for its outcome any more. */
  start(call: GroupCall): () => void {
    const entry: Pending = {
      call,
      asked: new Set(),
      followed: false,
      silent: new Map(),
      open: new Set(),
      current: 0,
      attemptMs: call.attemptMs,
      backoffMs: backoffFirstMs,
      unknownCount: 0,
      lastFailure: null,
      timer: null,
      finished: false,
    };
    this.attempt(entry);
    return () => this.end(entry);
  }

  /** Answers that nobody waits for are ignored. */
  receive(reply: Reply, from: Address): void {
    const attempt = this.attempts.get(reply.request);
    if (attempt === undefined) return this.leaders.heard(from);
    const { entry, member } = attempt;
    this.learnt(entry.call.group, () => this.leaders.heard(from));
    if (reply.failure !== null) {
      this.attempts.delete(reply.request);
      entry.open.delete(reply.request);
      this.refused(entry, member, reply, reply.failure);
      return;
    }
    if (entry.call.ask === 'leader') {
      this.learnt(entry.call.group, () => this.leaders.answered(entry.call.group, member, this.scope.now));
    }
    this.finish(entry, { kind: 'answered', reply, unsureCount: unsureCount(entry) - 1 });
  }

  /** Somebody who knows says who leads. */
  reportLeader(group: string, leader: Address, term: Term): void {
    this.learnt(group, () => this.leaders.report(group, leader, term));
  }

  /** Calls that wait for the group to have a leader need not wait out their pause when there is another one. */
  private learnt(group: string, take: () => void): void {
    const { now } = this.scope;
    const before = this.leaders.of(group, now);
    take();
    const leader = this.leaders.of(group, now);
    if (leader === null || (before !== null && addressText(before) === addressText(leader))) return;
    // In a turn of their own: whoever told us may be in the middle of ending another call.
    for (const entry of this.pausing) {
      if (entry.call.group !== group) continue;
      newRound(entry);
      this.wait(entry, 0, () => this.attempt(entry));
    }
  }

  private attempt(entry: Pending): void {
    this.pausing.delete(entry);
    const { call } = entry;
    const { now } = this.scope;
    if (now >= call.until) {
      this.expire(entry);
      return;
    }
    const members = call.members();
    if (members === null) {
      this.finish(entry, { kind: 'replaced' });
      return;
    }
    if (call.ask === 'leader' && !this.mayAsk(call.group, now)) {
      this.park(entry);
      return;
    }
    const target = this.choose(entry, members);
    if (target === null) {
      this.pause(entry, entry.backoffMs);
      return;
    }
    this.ask(entry, target);
  }

  private ask(entry: Pending, target: Address): void {
    const { call } = entry;
    const { now } = this.scope;
    const request = this.nextRequest();
    entry.current = request;
    entry.asked.add(addressText(target));
    entry.open.add(request);
    this.attempts.set(request, { entry, member: target });
    this.scope.send(target, call.message(request, Math.ceil(call.until - now)));
    const silent = entry.silent.has(addressText(target));
    this.wait(entry, silent ? silentAttemptMs : entry.attemptMs, () => this.unanswered(entry, target, now));
  }

  private mayAsk(group: string, now: MonotonicMs): boolean {
    return this.leaders.of(group, now) !== null || this.probes.take(group, now);
  }

  /** Its round goes on when a leader is learnt of, or when it is its turn to look for one. */
  private park(entry: Pending): void {
    this.pausing.add(entry);
    this.wait(entry, probeEveryMs * (1 + 4 * this.scope.random.float()), () => this.attempt(entry));
  }

  /** Null: everybody worth asking was asked in this round. */
  private choose(entry: Pending, members: readonly Address[]): Address | null {
    const { now, random } = this.scope;
    const fresh = members.filter((member) => {
      const lastAsked = entry.silent.get(addressText(member)) ?? Number.NEGATIVE_INFINITY;
      // Who may be slow with what it was asked is not given the same work again soon.
      return !entry.asked.has(addressText(member)) && now - lastAsked >= entry.attemptMs;
    });
    if (entry.call.ask !== 'any') {
      const leader = this.leaders.of(entry.call.group, now);
      const believed =
        leader === null ? undefined : fresh.find((member) => addressText(member) === addressText(leader));
      if (believed !== undefined) return believed;
    }
    const alive = fresh.filter((member) => !this.leaders.isSuspected(member, now));
    if (alive.length > 0) return random.pick(alive);
    // Only when nobody else was there to be asked: a suspect is better than nobody.
    return entry.asked.size === 0 && fresh.length > 0 ? random.pick(fresh) : null;
  }

  private unanswered(entry: Pending, member: Address, askedAt: MonotonicMs): void {
    const { now } = this.scope;
    const answeredAt = entry.call.ask === 'leader' ? this.leaders.answeredAt(entry.call.group, member) : null;
    const until = Math.min((answeredAt ?? askedAt) + entry.attemptMs, askedAt + attemptMsMax);
    // A leader that goes on answering is busy, and asked twice would be busier. Not for ever: the request may be lost.
    if (answeredAt !== null && until > now) {
      this.wait(entry, until - now, () => this.unanswered(entry, member, askedAt));
      return;
    }
    this.leaders.suspect(member, now);
    entry.silent.set(addressText(member), askedAt);
    entry.attemptMs = Math.min(entry.attemptMs * 1.5, attemptMsMax);
    this.attempt(entry);
  }

  /** Whichever attempt it answers, a failure for good is the answer. Only the one that is waited for decides what is done next. */
  private refused(entry: Pending, from: Address, reply: Reply, failure: Failure): void {
    const error = errorOf(failure);
    if (isUnsure(error.code)) entry.unknownCount++;
    const isOverload = error.code === 'RESOURCE_EXHAUSTED';
    if (!isOverload && !retried.has(error.code)) this.finish(entry, failed(entry, error, reply));
    if (entry.finished || reply.request !== entry.current) return;
    entry.lastFailure = error;
    if (isOverload) this.overloaded(entry, from, error);
    else this.elsewhere(entry, from, failure);
  }

  private elsewhere(entry: Pending, from: Address, failure: Failure): void {
    if (failure.code === 'NOT_LEADER') this.redirect(entry, from, failure.leader);
    const learnt = failure.code === 'STALE_SHARD' && entry.call.learn(failure);
    if (learnt) entry.asked.delete(addressText(from));
    this.attempt(entry);
  }

  private redirect(entry: Pending, from: Address, hint: string): void {
    this.leaders.deny(entry.call.group, from);
    const named = entry.call.members()?.find((member) => member.node === hint);
    if (named === undefined || addressText(named) === addressText(from)) return;
    if (!entry.followed) entry.asked.delete(addressText(named));
    entry.followed = true;
    this.learnt(entry.call.group, () => this.leaders.hint(entry.call.group, named));
  }

  /** Nothing was done: the same member again after the time it asks for, if it names one and the deadline leaves it. */
  private overloaded(entry: Pending, from: Address, error: VectronError): void {
    const { retryAfterMs } = error;
    const delayMs = Math.max(retryAfterMs ?? 0, entry.backoffMs);
    const isHopeless = retryAfterMs === undefined || this.scope.now + delayMs >= entry.call.until;
    if (isHopeless && unsureCount(entry) === 0) {
      this.finish(entry, failed(entry, error));
      return;
    }
    entry.asked.delete(addressText(from));
    this.pause(entry, delayMs);
  }

  private pause(entry: Pending, delayMs: number): void {
    entry.backoffMs = Math.min(entry.backoffMs * 2, backoffMsMax);
    newRound(entry);
    entry.current = 0;
    if (entry.call.ask !== 'any') this.pausing.add(entry);
    this.wait(entry, delayMs * (1 + 0.2 * this.scope.random.float()), () => this.attempt(entry));
  }

  private wait(entry: Pending, delayMs: number, then: () => void): void {
    if (entry.timer !== null) this.scope.cancel(entry.timer);
    const left = entry.call.until - this.scope.now;
    entry.timer = this.scope.after(Math.min(delayMs, left), delayMs < left ? then : () => this.expire(entry));
  }

  private expire(entry: Pending): void {
    const { lastFailure, call } = entry;
    if (unsureCount(entry) > 0 || lastFailure === null) {
      const message = `${call.group} did not answer before the deadline`;
      this.finish(entry, failed(entry, new VectronError('DEADLINE_EXCEEDED', message)));
      return;
    }
    const code = lastFailure.code === 'RESOURCE_EXHAUSTED' ? lastFailure.code : 'UNAVAILABLE';
    const message = `${call.group} could not serve before the deadline: ${lastFailure.message}`;
    const retryAfterMs = lastFailure.retryAfterMs ?? backoffMsMax;
    this.finish(entry, failed(entry, new VectronError(code, message, { retryAfterMs })));
  }

  private finish(entry: Pending, outcome: GroupOutcome): void {
    assert(!entry.finished, 'a call finished twice');
    this.end(entry);
    entry.call.done(outcome);
  }

  private end(entry: Pending): void {
    entry.finished = true;
    this.pausing.delete(entry);
    if (entry.timer !== null) this.scope.cancel(entry.timer);
    for (const request of entry.open) this.attempts.delete(request);
    entry.open.clear();
  }
}

function newRound(entry: Pending): void {
  entry.asked.clear();
  entry.followed = false;
}

const isUnsure = (code: ErrorCode): boolean => errorCatalogue[code].retry === 'unsure';

const failed = (entry: Pending, error: VectronError, reply: Reply | null = null): GroupOutcome => ({
  kind: 'failed',
  error,
  reply,
  unsureCount: unsureCount(entry),
});

export function errorOf(failure: Failure): VectronError {
  const code: ErrorCode = failure.code in errorCatalogue ? (failure.code as ErrorCode) : 'INTERNAL';
  return new VectronError(code, failure.message, {
    ...(failure.field === '' ? {} : { field: failure.field }),
    ...(failure.retryAfterMs === 0 ? {} : { retryAfterMs: failure.retryAfterMs }),
  });
}
