import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { CallOf, CollectionTtl, Done } from '../calls';
import type { GroupOutcome } from '../group-calls';
import type { Core, Found } from './core';
import { awaitSettled } from './settling';

/** Answers once every shard has it in its log: from then on whatever is written has it. */
export function changeTtl(
  core: Core,
  { name, ttlMs }: CallOf<'changeTtl'>,
  until: MonotonicMs,
  done: Done<CollectionTtl>,
): void {
  const message = (request: number) => ({ kind: 'pd.changeTtl' as const, request, name, ttlMs });
  core.placement.ask(until, message, (outcome) => {
    const ttl = ttlIn(outcome);
    if (ttl instanceof VectronError) done({ ok: false, error: ttl });
    else if (ttl.settled) done({ ok: true, answer: ttl });
    else awaitTtl(core, name, until, done);
  });
}

/** As it is, once every shard has it. */
export const awaitTtl = (core: Core, name: string, until: MonotonicMs, done: Done<CollectionTtl>): void =>
  awaitSettled(core, until, (then) => lookAtTtl(core, name, until, then), done);

export function lookAtTtl(core: Core, name: string, until: MonotonicMs, then: Found<CollectionTtl>): void {
  const message = (request: number) => ({ kind: 'pd.getTtl' as const, request, name });
  core.placement.ask(until, message, (outcome) => then(ttlIn(outcome)));
}

function ttlIn(outcome: GroupOutcome): CollectionTtl | VectronError {
  if (outcome.kind === 'failed') return outcome.error;
  if (outcome.kind === 'answered' && outcome.reply.kind === 'pd.ttl') {
    const { ttlMs, settled } = outcome.reply;
    return { ttlMs, settled };
  }
  return new VectronError('INTERNAL', 'the placement driver answered something else');
}
