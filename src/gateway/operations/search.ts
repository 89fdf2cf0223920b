import { assert, present } from '../../base/assert';
import { invalid, VectronError } from '../../base/errors';
import type { MonotonicMs } from '../../base/time';
import type { Message, MessageOf } from '../../protocol/messages';
import type { CollectionRecord } from '../../protocol/records';
import { efFor, wantedHits } from '../../vector/breadth';
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
    (call.includeVector ? answerSizeError(collection, call.k, 'top_k') : null) ??
    codesError(collection, call.quantised);
  if (error !== null) return done({ ok: false, error });
  const hasCodes = collection.storage.quantisation !== 'none';
  const scatter = new Scatter(core, {
    ...{ collection, until, read: call, allowPartial: call.allowPartial },
    attemptMs: (call.filter === null ? attemptMs : selectAttemptMs) + call.waitIndexedMs,
    message: (header, dial) => messageOf(call, hasCodes, header, dial),
    done: (gathered) => {
      if (gathered instanceof VectronError) done({ ok: false, error: gathered });
      else done({ ok: true, answer: answerOf(call, hasCodes, gathered) });
    },
  });
  scatter.start();
}

/** What earlier shards do not know is asked in words of its own only where it is wanted. */
function messageOf(
  call: SearchCall,
  hasCodes: boolean,
  header: RequestHeader,
  dial: ReturnType<Dial['fieldsFor']>,
): Message {
  const { vector, k, ef, exact, includeVector, includePayload, filter, oversampling, rerank, waitIndexedMs } = call;
  const query = { vector, k, ef, exact, includeVector, includePayload };
  // Where there are no codes nothing has to be said.
  const quantised = call.quantised ?? true;
  if (rerank > 0 || waitIndexedMs > 0 || (hasCodes && !quantised)) {
    const queries = [{ ...query, filter, oversampling, rerank, quantised }];
    return { kind: 'data.tunedQuery', ...header, queries, waitIndexedMs, ...dial };
  }
  if (filter === null && oversampling === 1) return { kind: 'data.search', ...header, ...query, ...dial };
  return { kind: 'data.query', ...header, queries: [{ ...query, filter, oversampling }], ...dial };
}

function answerOf(call: SearchCall, hasCodes: boolean, { answers, shardsTotal, served }: Gathered): SearchAnswer {
  const { k, minScore, waitIndexedMs } = call;
  const best = mergeTopK(
    answers.map(({ reply }) => foundBy(reply).hits),
    k,
  );
  return {
    hits: minScore === null ? best : best.filter(({ score }) => score >= minScore),
    partial: answers.length < shardsTotal,
    shardsTotal,
    shards: answers.map((answer) => statsOf(call, hasCodes, answer)),
    indexed: waitIndexedMs === 0 ? null : answers.every(({ reply }) => 'indexed' in reply && reply.indexed),
    served,
  };
}

function foundBy(reply: Reply): Pick<MessageOf<'data.found'>, 'hits'> {
  if (reply.kind === 'data.found') return reply;
  return resultOf(reply);
}

function resultOf(reply: Reply): MessageOf<'data.queried'>['results'][number] {
  assert(reply.kind === 'data.queried' || reply.kind === 'data.tunedQueried', `a search was answered by ${reply.kind}`);
  return present(reply.results[0], 'the answer to one query');
}

function statsOf(call: SearchCall, hasCodes: boolean, { shard, reply, elapsedMs }: ShardAnswer): ShardSearchStats {
  if (reply.kind === 'data.found') {
    const used = usedBy(call, hasCodes, reply.stats.strategy);
    return { shard: shard.id, ...reply.stats, ...used, filtered: null, micros: 0, elapsedMs };
  }
  const { matches, visited, estimate, ...stats } = resultOf(reply).stats;
  const filtered = call.filter === null ? null : { matches, visited, estimate };
  return { shard: shard.id, ...stats, ...usedBy(call, hasCodes, stats.strategy), filtered, elapsedMs };
}

function codesError({ name, storage }: CollectionRecord, quantised: boolean | null): VectronError | null {
  if (quantised !== true || storage.quantisation !== 'none') return null;
  return invalid('quantised', `collection ${name} has no codes`);
}

const walks: ReadonlySet<string> = new Set(['graph', 'walk', 'twoHop']);

/** What follows from the strategy. A scan of all points, and of records, measures them exactly; one within a filter's set does not. */
function usedBy(
  call: SearchCall,
  hasCodes: boolean,
  strategy: string,
): Pick<ShardSearchStats, 'ef' | 'quantised' | 'reranked'> {
  const wanted = wantedHits(call);
  const isWalk = walks.has(strategy);
  const byCodes = isWalk || (strategy === 'scan' && call.filter !== null && !call.exact);
  const quantised = byCodes && hasCodes && call.quantised !== false;
  return { ef: isWalk ? efFor(wanted, call.ef) : null, quantised, reranked: quantised ? wanted : 0 };
}
