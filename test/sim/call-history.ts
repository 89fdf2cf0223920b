import { VectronError } from '../../src/base/errors';
import {
  type AnswerOf,
  type CallKind,
  type CallOf,
  type GatewayCall,
  type Outcome,
  WriteFailedError,
} from '../../src/gateway/calls';
import type { Ending, HistoryWriter, Invocation } from '../history/history-writer';
import { apart, serialOf } from './sim-client';

/** What the judge's register takes for a version (judge/register.go). */
const mustNotExist = 0;
const mustExist = -1;

type Done<K extends CallKind> = (outcome: Outcome<AnswerOf<K>>) => void;

/**
 * The client-side history of a simulated run: every linearizable get of one key, and every upsert and delete, key by key.
 * The parts of a write of several keys are independent registers that were written within the same time.
 *
 * All calls under one idempotency key are one operation: it begins with the first and ends with the first success. Until
 * then nobody knows its outcome, whatever a single call is told.
 */
export class CallHistory {
  private calls = 0;
  private readonly idsOf = new Map<string, readonly number[]>();

  /** Calls of other collections are left out: those come and go, and their points with them. */
  constructor(
    private readonly writer: HistoryWriter,
    private readonly collection: string,
  ) {}

  /** The same call's outcome, noted before it is told. */
  observe<K extends CallKind>(call: CallOf<K>, done: Done<K>): Done<K> {
    const repeatable = idempotencyKeyOf(call);
    const ids = this.idsOf.get(repeatable) ?? this.begin(call as GatewayCall);
    if (ids.length === 0) return done;
    if (repeatable !== '') this.idsOf.set(repeatable, ids);
    return (outcome) => {
      for (const [position, id] of ids.entries()) {
        const ending = endingOf(call as GatewayCall, position, outcome as Outcome<AnswerOf<CallKind>>);
        const isSettled = repeatable === '' || ending.st === 'ok';
        if (isSettled && this.writer.isOpen(id)) this.writer.end(id, ending);
      }
      done(outcome);
    };
  }

  close(): void {
    this.writer.close();
  }

  private begin(call: GatewayCall): readonly number[] {
    if (!('collection' in call) || call.collection !== this.collection || isApart(call)) return [];
    return invocationsOf(call, ++this.calls).map((invocation) => this.writer.begin(invocation));
  }
}

/** Empty: the call stands for itself. */
const idempotencyKeyOf = (call: object): string =>
  'options' in call ? (call.options as { readonly key: string }).key : '';

/** Changed by filter as well, which no register knows of. */
function isApart(call: GatewayCall): boolean {
  if (call.kind === 'upsert') return call.points.some(({ id }) => id.startsWith(apart));
  return 'ids' in call && call.ids.some((id) => id.startsWith(apart));
}

function invocationsOf(call: GatewayCall, p: number): Invocation[] {
  switch (call.kind) {
    case 'upsert':
      return call.points.map((point, at) => {
        const [ifVer, h] = [expectedOf(call, at), String(serialOf(point))];
        return ifVer === null ? { p, f: 'put', k: point.id, v: { h } } : { p, f: 'cas', k: point.id, v: { h, ifVer } };
      });
    case 'delete':
      return call.ids.map((k, at) => {
        const ifVer = expectedOf(call, at);
        return ifVer === null ? { p, f: 'del', k } : { p, f: 'cad', k, v: { ifVer } };
      });
    case 'get':
      return call.level === 'linearizable' && call.ids.length === 1
        ? call.ids.map((k) => ({ p, f: 'get' as const, k }))
        : [];
    default:
      return [];
  }
}

/** The version that a point must have, as the judge's register takes it; null: any, or none. */
function expectedOf({ options }: CallOf<'upsert'> | CallOf<'delete'>, position: number): number | null {
  const condition = options.conditions[position] ?? { kind: 'none' };
  if (condition.kind === 'none') return null;
  if (condition.kind === 'version') return condition.version;
  return condition.kind === 'absent' ? mustNotExist : mustExist;
}

function endingOf(call: GatewayCall, position: number, outcome: Outcome<AnswerOf<CallKind>>): Ending {
  const isTried = (call.kind === 'upsert' || call.kind === 'delete') && expectedOf(call, position) !== null;
  if (!outcome.ok) return isTried ? triedInVain(position, outcome.error) : failureOf(position, outcome.error);
  if (call.kind !== 'get') {
    const { count, replayed, versions } = outcome.answer as AnswerOf<'delete'>;
    const isTold = call.kind === 'delete' && call.ids.length === 1 && !replayed;
    const ver = versions[position];
    if (isTried) return { st: 'ok', o: { ok: true, ...(ver === undefined ? {} : { ver }) } };
    return { st: 'ok', o: { ...(isTold ? { n: count } : {}), ...(ver === undefined ? {} : { ver }) } };
  }
  const [point] = (outcome.answer as AnswerOf<'get'>).points;
  return { st: 'ok', o: point === undefined ? { h: null } : { h: String(serialOf(point)), ver: point.version } };
}

/** A condition that did not hold is an answer like any other, of a write of one key: somebody else's must explain it. */
function triedInVain(position: number, error: VectronError): Ending {
  const isAlone = !(error instanceof WriteFailedError) || error.failed.length === 1;
  const isVerdict = error.code === 'FAILED_PRECONDITION' && isAlone;
  return isVerdict ? { st: 'ok', o: { ok: false } } : failureOf(position, error);
}

/** Of several parts that failed, the code tells of the first only. */
function failureOf(position: number, error: VectronError): Ending {
  const failed = error instanceof WriteFailedError ? error.failed : [position];
  if (!failed.includes(position)) return { st: 'ok', o: null };
  return { st: failed.length === 1 && error.retry === 'safe' ? 'fail' : 'info', err: error.code };
}
