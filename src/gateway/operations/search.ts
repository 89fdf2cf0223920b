import { assert, present } from '../../base/assert';
import { VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { Message, MessageOf } from '../../protocol/messages';
import type { CollectionRecord } from '../../protocol/records';
import { mergeTopK } from '../../vector/top-k';
import type { CallOf, Done, SearchAnswer, SearchCall, ShardSearchStats } from '../calls';
import type { Reply } from '../group-calls';
import { type Core, findCollection, type RequestHeader } from './core';
import type { Dial } from './dial';
import { answerSizeError, vectorError } from './points';
import { type Gathered, Scatter, type ShardAnswer } from './scatter';

const attemptMs = 1_000;
/** A shard may have to read all of its points for a filter: asking another one sooner would only double the work. */
export const selectAttemptMs = 4_000;

/** Asks every shard at once and merges their best to the best of all (scatter and gather). */
export function search(core: Core, call: CallOf<'search'>, until: MonotonicMs, done: Done<SearchAnswer>): void {
  findCollection(core, call.collection, until, (collection) => {
    if (collection instanceof VectronError) done({ ok: false, error: collection });
    else searchIn(core, collection, call, until, done);
  });
}

/** The same, of a collection that is known. */
export function searchIn(
  core: Core,
  collection: CollectionRecord,
  call: SearchCall,
  until: MonotonicMs,
  done: Done<SearchAnswer>,
): void {
  const error =
    vectorError(collection, call.vector, 'vector') ??
    (call.includeVector ? answerSizeError(collection, call.k, 'top_k') : null);
  if (error !== null) return done({ ok: false, error });
  const scatter = new Scatter(core, {
    ...{ collection, until, read: call, allowPartial: call.allowPartial },
    attemptMs: call.filter === null ? attemptMs : selectAttemptMs,
    message: (header, dial) => messageOf(call, header, dial),
    done: (gathered) => {
      if (gathered instanceof VectronError) done({ ok: false, error: gathered });
      else done({ ok: true, answer: answerOf(call, gathered) });
    },
  });
  scatter.start();
}

function messageOf(call: SearchCall, header: RequestHeader, dial: ReturnType<Dial['fieldsFor']>): Message {
  const { vector, k, ef, exact, includeVector, includePayload, filter, oversampling } = call;
  const query = { vector, k, ef, exact, includeVector, includePayload };
  if (filter === null && oversampling === 1) return { kind: 'data.search', ...header, ...query, ...dial };
  return { kind: 'data.query', ...header, queries: [{ ...query, filter, oversampling }], ...dial };
}

function answerOf({ k, minScore, filter }: SearchCall, { answers, shardsTotal, served }: Gathered): SearchAnswer {
  const best = mergeTopK(
    answers.map(({ reply }) => foundBy(reply).hits),
    k,
  );
  return {
    hits: minScore === null ? best : best.filter(({ score }) => score >= minScore),
    partial: answers.length < shardsTotal,
    shardsTotal,
    shards: answers.map((answer) => statsOf(filter !== null, answer)),
    served,
  };
}

function foundBy(reply: Reply): Pick<MessageOf<'data.found'>, 'hits'> {
  if (reply.kind === 'data.found') return reply;
  return resultOf(reply);
}

function resultOf(reply: Reply): MessageOf<'data.queried'>['results'][number] {
  assert(reply.kind === 'data.queried', `a search was answered by ${reply.kind}`);
  return present(reply.results[0], 'the answer to one query');
}

function statsOf(hasFilter: boolean, { shard, reply, elapsedMs }: ShardAnswer): ShardSearchStats {
  if (reply.kind === 'data.found') {
    return { shard: shard.id, ...reply.stats, filtered: null, micros: 0, elapsedMs };
  }
  const { matches, visited, estimate, ...stats } = resultOf(reply).stats;
  return { shard: shard.id, ...stats, filtered: hasFilter ? { matches, visited, estimate } : null, elapsedMs };
}
