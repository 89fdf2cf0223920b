import { assert } from '../base/assert';
import { type ErrorCode, errorCatalogue, VectronError } from '../base/errors';
import type { MonotonicMs } from '../base/time';
import type { Failure } from '../protocol/data-messages';
import { type Address, addressText } from '../protocol/envelope';
import type { Message } from '../protocol/messages';
import { Leaders } from './leaders';
import type { Scope, Timer } from './scope';

/** Any answer of a replica or of the placement driver. */
export type Reply = Extract<Message, { readonly request: number; readonly failure: Failure | null }>;

/** `replaced`: the group does not serve this request any more, its caller must look for who does. */
export type GroupOutcome =
  | { readonly kind: 'answered'; readonly reply: Reply; readonly unansweredCount: number }
  | { readonly kind: 'replaced' }
  | { readonly kind: 'failed'; readonly error: VectronError; readonly unansweredCount: number };

export interface GroupCall {
  /** Names the group, for who is believed to lead it. */
  readonly group: string;
  /** `leader`: only it can answer. `any`: every member can. */
  readonly ask: 'leader' | 'any';
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
  readonly request: number;
  readonly call: GroupCall;
  /** Members asked in this round. */
  readonly asked: Set<string>;
  /** Members that once left this call unanswered. */
  readonly silent: Set<string>;
  current: Address | null;
  attemptMs: number;
  backoffMs: number;
  /** Attempts that nobody has answered: what was asked may have been done. */
  unansweredCount: number;
  lastFailure: VectronError | null;
  timer: Timer | null;
}

const attemptMsMax = 4_000;
/** Who was silent before is asked in passing: its late answer counts, and meanwhile another may have been elected. */
const silentAttemptMs = 200;
const backoffFirstMs = 25;
const backoffMsMax = 400;

/** Failures after which another attempt may succeed. All others are the caller's answer. */
const retried: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UNAVAILABLE',
  'NOT_LEADER',
  'STALE_SHARD',
  'OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
  'CORRUPT',
  'POISONED',
]);

/**
 * Asks a group of replicas until one answers: the believed leader first, whom it names next, then the other members, with
 * pauses between rounds, all before the call's deadline. Owned by the gateway's actor.
 *
 *  1. done() is called exactly once for every call that was not cancelled, at the latest at `until`.
 *  2. All attempts of a call have one request number, so a late answer to an early attempt still counts.
 *  3. A call succeeds only by an answer to one of its own attempts.
 *  4. It fails with a code whose class is `safe` only if every attempt was answered by a refusal.
 *
 * An attempt that was given up may still be executed later, even after a later call's: with a link that reorders, an
 * upsert repeated by us could overtake the client's next write of the same id. Between two actors links keep their order,
 * and a deposed leader's entries precede its successor's, so this needs a message older than an attempt's time-out to
 * arrive at a leader that was deposed and elected again. Idempotency keys (DESIGN D13) close it.
 */
export class GroupCalls {
  private readonly pending = new Map<number, Pending>();
  private lastRequest = 0;

  constructor(
    private readonly scope: Scope,
    readonly leaders: Leaders,
  ) {}

  get size(): number {
    return this.pending.size;
  }

  nextRequest(): number {
    return ++this.lastRequest;
  }

  start(call: GroupCall): number {
    const entry: Pending = {
      request: this.nextRequest(),
      call,
      asked: new Set(),
      silent: new Set(),
      current: null,
      attemptMs: call.attemptMs,
      backoffMs: backoffFirstMs,
      unansweredCount: 0,
      lastFailure: null,
      timer: null,
    };
    this.pending.set(entry.request, entry);
    this.attempt(entry);
    return entry.request;
  }

  /** Nobody waits for the outcome any more. */
  cancel(request: number): void {
    const entry = this.pending.get(request);
    if (entry !== undefined) this.remove(entry);
  }

  /** False: nobody waits for this answer. */
  receive(reply: Reply, from: Address): boolean {
    this.leaders.heard(from);
    const entry = this.pending.get(reply.request);
    if (entry === undefined) return false;
    if (reply.failure === null) {
      if (entry.call.ask === 'leader') this.leaders.hint(entry.call.group, from);
      this.finish(entry, { kind: 'answered', reply, unansweredCount: entry.unansweredCount });
    } else if (entry.current !== null && addressText(entry.current) === addressText(from)) {
      this.refused(entry, from, reply.failure);
    }
    return true;
  }

  private attempt(entry: Pending): void {
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
    const target = this.choose(entry, members);
    if (target === null) {
      this.pause(entry, entry.backoffMs);
      return;
    }
    entry.current = target;
    entry.asked.add(addressText(target));
    entry.unansweredCount++;
    this.scope.send(target, call.message(entry.request, Math.ceil(call.until - now)));
    const silent = entry.silent.has(addressText(target));
    this.wait(entry, silent ? silentAttemptMs : entry.attemptMs, () => this.unanswered(entry, target));
  }

  /** Null: everybody worth asking was asked in this round. */
  private choose(entry: Pending, members: readonly Address[]): Address | null {
    const { now, random } = this.scope;
    const fresh = members.filter((member) => !entry.asked.has(addressText(member)));
    if (entry.call.ask === 'leader') {
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

  private unanswered(entry: Pending, member: Address): void {
    this.leaders.suspect(member, this.scope.now);
    entry.silent.add(addressText(member));
    entry.current = null;
    entry.attemptMs = Math.min(entry.attemptMs * 1.5, attemptMsMax);
    this.attempt(entry);
  }

  private refused(entry: Pending, from: Address, failure: Failure): void {
    entry.unansweredCount--;
    entry.current = null;
    const error = errorOf(failure);
    entry.lastFailure = error;
    if (error.code === 'OUTCOME_UNKNOWN' || error.code === 'DEADLINE_EXCEEDED') entry.unansweredCount++;
    if (error.code === 'RESOURCE_EXHAUSTED') {
      this.overloaded(entry, from, error);
      return;
    }
    if (!retried.has(error.code)) {
      this.finish(entry, { kind: 'failed', error, unansweredCount: entry.unansweredCount });
      return;
    }
    if (error.code === 'NOT_LEADER') this.redirect(entry, from, failure.leader);
    if (error.code === 'STALE_SHARD' && entry.call.learn(failure)) entry.asked.delete(addressText(from));
    this.attempt(entry);
  }

  private redirect(entry: Pending, from: Address, hint: string): void {
    this.leaders.deny(entry.call.group, from);
    const named = entry.call.members()?.find((member) => namedBy(hint, member));
    if (named !== undefined && addressText(named) !== addressText(from)) this.leaders.hint(entry.call.group, named);
  }

  /** Nothing was done: the same member again after the time it asked for, if the deadline leaves it. */
  private overloaded(entry: Pending, from: Address, error: VectronError): void {
    const delayMs = Math.max(error.retryAfterMs ?? 0, entry.backoffMs);
    if (this.scope.now + delayMs >= entry.call.until) {
      this.finish(entry, { kind: 'failed', error, unansweredCount: entry.unansweredCount });
      return;
    }
    entry.asked.delete(addressText(from));
    this.pause(entry, delayMs);
  }

  private pause(entry: Pending, delayMs: number): void {
    entry.backoffMs = Math.min(entry.backoffMs * 2, backoffMsMax);
    entry.asked.clear();
    entry.current = null;
    this.wait(entry, delayMs * (1 + 0.2 * this.scope.random.float()), () => this.attempt(entry));
  }

  private wait(entry: Pending, delayMs: number, then: () => void): void {
    if (entry.timer !== null) this.scope.cancel(entry.timer);
    const left = entry.call.until - this.scope.now;
    entry.timer = this.scope.after(Math.min(delayMs, left), delayMs < left ? then : () => this.expire(entry));
  }

  private expire(entry: Pending): void {
    const { lastFailure, unansweredCount } = entry;
    const error =
      unansweredCount === 0 && lastFailure !== null
        ? new VectronError('UNAVAILABLE', `no leader before the deadline: ${lastFailure.message}`, {
            retryAfterMs: 100,
          })
        : new VectronError('DEADLINE_EXCEEDED', `${entry.call.group} did not answer before the deadline`);
    this.finish(entry, { kind: 'failed', error, unansweredCount });
  }

  private finish(entry: Pending, outcome: GroupOutcome): void {
    assert(this.pending.get(entry.request) === entry, 'a call finished twice');
    this.remove(entry);
    entry.call.done(outcome);
  }

  private remove(entry: Pending): void {
    if (entry.timer !== null) this.scope.cancel(entry.timer);
    this.pending.delete(entry.request);
  }
}

/** A NOT_LEADER answer may name the leader by node, by actor, or by both. */
const namedBy = (hint: string, member: Address): boolean =>
  hint !== '' && (hint === member.node || hint === member.actor || hint === addressText(member));

export function errorOf(failure: Failure): VectronError {
  const code: ErrorCode = failure.code in errorCatalogue ? (failure.code as ErrorCode) : 'INTERNAL';
  return new VectronError(code, failure.message, {
    ...(failure.field === '' ? {} : { field: failure.field }),
    ...(failure.retryAfterMs === 0 ? {} : { retryAfterMs: failure.retryAfterMs }),
  });
}
