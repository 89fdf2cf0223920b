import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { MessageOf } from '../../protocol/messages';
import type { CallOf, Done, PayloadIndexList } from '../calls';
import type { GroupOutcome } from '../group-calls';
import type { Core, Found } from './core';
import { awaitSettled } from './settling';

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
    else awaitSettled(core, until, (then) => look(core, collection, until, then), listed(done));
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

function look(core: Core, name: string, until: MonotonicMs, then: Found<MessageOf<'pd.schema'>>): void {
  const message = (request: number) => ({ kind: 'pd.getSchema' as const, request, name });
  core.placement.ask(until, message, (outcome) => then(schemaOf(outcome)));
}

function schemaOf(outcome: GroupOutcome): MessageOf<'pd.schema'> | VectronError {
  if (outcome.kind === 'failed') return outcome.error;
  if (outcome.kind === 'answered' && outcome.reply.kind === 'pd.schema') return outcome.reply;
  return new VectronError('INTERNAL', 'the placement driver answered something else');
}

const listed =
  (done: Done<PayloadIndexList>): Done<MessageOf<'pd.schema'>> =>
  (outcome) =>
    done(outcome.ok ? { ok: true, answer: listOf(outcome.answer) } : outcome);

const listOf = ({ schema, settled }: MessageOf<'pd.schema'>): PayloadIndexList => ({
  indexes: schema.indexes,
  settled,
});
