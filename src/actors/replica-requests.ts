import { asVectronError, type ErrorCode } from '../base/errors';
import { type MonotonicMs, monotonicMs } from '../base/time';
import type { Failure } from '../protocol/data-messages';
import { type Address, lanes } from '../protocol/envelope';
import type { Message, MessageOf } from '../protocol/messages';
import type { ActorContext } from '../runtime/actor';
import { type DataRequestKind, failure, refusalOf } from '../runtime/refusal';

export type DataRequest = MessageOf<DataRequestKind>;

const dataKinds: ReadonlySet<string> = new Set<DataRequest['kind']>([
  'data.write',
  'data.search',
  'data.get',
  'data.scan',
  'data.select',
  'data.query',
  'data.tunedQuery',
  'data.memory',
  'data.status',
]);
export const isDataRequest = (message: Message): message is DataRequest => dataKinds.has(message.kind);

/**
 * A request that was taken and is answered exactly once, at the latest when its deadline passes. A request without a
 * reply form cannot be made into one.
 */
export class OpenRequest<R extends DataRequest = DataRequest> {
  readonly deadline: MonotonicMs;
  answered = false;

  constructor(
    readonly message: R,
    private readonly from: Address,
    context: ActorContext,
  ) {
    this.deadline = monotonicMs(context.now + message.timeoutMs);
  }

  reply(message: Message, context: ActorContext): void {
    if (this.answered) return;
    this.answered = true;
    context.send(this.from, message, lanes.completion);
  }

  fail(failed: Failure, context: ActorContext): void {
    const message = refusalOf(this.message, failed);
    if (message !== null) this.reply(message, context);
  }

  refuse(code: ErrorCode, why: string, context: ActorContext, retryAfterMs = 0): void {
    this.fail(failure(code, why, retryAfterMs), context);
  }

  /** True if the deadline has passed: then it is answered, and must not be executed any more. */
  expire(context: ActorContext): boolean {
    if (context.now < this.deadline) return false;
    this.refuse('DEADLINE_EXCEEDED', 'the deadline passed before the shard could answer', context);
    return true;
  }
}

export function failureOf(thrown: unknown): Failure {
  const { code, message, field, retryAfterMs } = asVectronError(thrown);
  return { ...failure(code, message, retryAfterMs ?? 0), field: field ?? '' };
}

/** Requests that wait, in a bounded number, for the state to become right or their deadline to pass. */
export class OpenRequests<R extends DataRequest = DataRequest> {
  private waiting: OpenRequest<R>[] = [];

  constructor(private readonly countMax: number) {}

  get count(): number {
    return this.waiting.length;
  }

  /** False when full. */
  add(request: OpenRequest<R>): boolean {
    if (this.waiting.length >= this.countMax) return false;
    this.waiting.push(request);
    return true;
  }

  takeAll(): readonly OpenRequest<R>[] {
    const all = this.waiting;
    this.waiting = [];
    return all;
  }

  /** Answers those whose deadline has passed and forgets those that were answered. */
  sweep(context: ActorContext): void {
    if (this.waiting.length === 0) return;
    this.waiting = this.waiting.filter((request) => !request.answered && !request.expire(context));
  }
}
