import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { MessageOf } from '../../protocol/messages';
import type { CallOf, Done, PayloadIndexList } from '../calls';
import type { GroupOutcome } from '../group-calls';
import type { Core } from './core';

/** Between looks at whether every shard has a new schema. */
const pollMs = 50;

/** Answers once every shard has it in its log; what it indexes is made in the background, and found by reading meanwhile. */
export function changeIndex(
  core: Core,
  { collection, key, type }: CallOf<'changeIndex'>,
  until: MonotonicMs,
  done: Done<PayloadIndexList>,
): void {
  const message = (request: number) => ({ kind: 'pd.changeSchema' as const, request, name: collection, key, type });
  core.placement.ask(until, message, (outcome) => {
    const schema = schemaOf(outcome);
    if (schema instanceof VectronError) {
      if (isDone(outcome, schema)) listIndexes(core, collection, until, done);
      else done({ ok: false, error: schema });
    } else if (schema.settled) done({ ok: true, answer: listOf(schema) });
    else awaitSettled(core, collection, until, done);
  });
}

/** After an attempt that nobody answered, what was to be dropped is gone: that attempt dropped it. */
const isDone = (outcome: GroupOutcome, error: VectronError): boolean =>
  error.code === 'NOT_FOUND' && error.field === 'key' && outcome.kind === 'failed' && outcome.unsureCount > 0;

export function listIndexes(core: Core, collection: string, until: MonotonicMs, done: Done<PayloadIndexList>): void {
  look(core, collection, until, (schema) => {
    if (schema instanceof VectronError) done({ ok: false, error: schema });
    else done({ ok: true, answer: listOf(schema) });
  });
}

function awaitSettled(core: Core, collection: string, until: MonotonicMs, done: Done<PayloadIndexList>): void {
  const left = until - core.scope.now;
  core.scope.after(Math.min(pollMs, left), () =>
    look(core, collection, until, (schema) => {
      if (schema instanceof VectronError) done({ ok: false, error: schema });
      else if (schema.settled) done({ ok: true, answer: listOf(schema) });
      else if (until > core.scope.now) awaitSettled(core, collection, until, done);
      else done({ ok: false, error: new VectronError('DEADLINE_EXCEEDED', unsettled) });
    }),
  );
}

const unsettled = 'it is decided, but not every shard has it yet';

function look(
  core: Core,
  name: string,
  until: MonotonicMs,
  then: (schema: MessageOf<'pd.schema'> | VectronError) => void,
): void {
  const message = (request: number) => ({ kind: 'pd.getSchema' as const, request, name });
  core.placement.ask(until, message, (outcome) => then(schemaOf(outcome)));
}

function schemaOf(outcome: GroupOutcome): MessageOf<'pd.schema'> | VectronError {
  if (outcome.kind === 'failed') return outcome.error;
  if (outcome.kind === 'answered' && outcome.reply.kind === 'pd.schema') return outcome.reply;
  return new VectronError('INTERNAL', 'the placement driver answered something else');
}

const listOf = ({ schema, settled }: MessageOf<'pd.schema'>): PayloadIndexList => ({
  indexes: schema.indexes,
  settled,
});
