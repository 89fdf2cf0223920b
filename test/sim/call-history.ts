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
import { serialOf } from './sim-client';

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
    if (!('collection' in call) || call.collection !== this.collection) return [];
    return invocationsOf(call, ++this.calls).map((invocation) => this.writer.begin(invocation));
  }
}

/** Empty: the call stands for itself. */
const idempotencyKeyOf = (call: object): string =>
  'options' in call ? (call.options as { readonly key: string }).key : '';

function invocationsOf(call: GatewayCall, p: number): Invocation[] {
  switch (call.kind) {
    case 'upsert':
      return isConditional(call)
        ? []
        : call.points.map((point) => ({ p, f: 'put', k: point.id, v: { h: String(serialOf(point)) } }));
    case 'delete':
      return isConditional(call) ? [] : call.ids.map((k) => ({ p, f: 'del', k }));
    case 'get':
      return call.level === 'linearizable' && call.ids.length === 1 && !call.ids.some(isRaced)
        ? call.ids.map((k) => ({ p, f: 'get' as const, k }))
        : [];
    default:
      return [];
  }
}

/** Keys that are written under conditions, which a plain register does not know; the oracle judges them. */
const isRaced = (key: string): boolean => key.startsWith('count-') || key.startsWith('slot-');
const isConditional = ({ options }: CallOf<'upsert'> | CallOf<'delete'>): boolean =>
  options.conditions.some(({ kind }) => kind !== 'none');

function endingOf(call: GatewayCall, position: number, outcome: Outcome<AnswerOf<CallKind>>): Ending {
  if (!outcome.ok) return failureOf(position, outcome.error);
  if (call.kind !== 'get') {
    const { count, replayed, versions } = outcome.answer as AnswerOf<'delete'>;
    const isTold = call.kind === 'delete' && call.ids.length === 1 && !replayed;
    const ver = versions[position];
    return { st: 'ok', o: { ...(isTold ? { n: count } : {}), ...(ver === undefined ? {} : { ver }) } };
  }
  const [point] = (outcome.answer as AnswerOf<'get'>).points;
  return { st: 'ok', o: point === undefined ? { h: null } : { h: String(serialOf(point)), ver: point.version } };
}

/** Of several parts that failed, the code tells of the first only. */
function failureOf(position: number, error: VectronError): Ending {
  const failed = error instanceof WriteFailedError ? error.failed : [position];
  if (!failed.includes(position)) return { st: 'ok', o: null };
  return { st: failed.length === 1 && error.retry === 'safe' ? 'fail' : 'info', err: error.code };
}
