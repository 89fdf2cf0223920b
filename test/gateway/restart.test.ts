import { expect, test } from '@jest/globals';
import type { AnswerOf, CallKind, CallOf, Outcome } from '../../src/gateway/calls';
import type { Perform } from '../../src/gateway/gateway-actor';
import { plainWrite } from '../../src/protocol/commands';
import { gatewayActor } from '../../src/protocol/envelope';
import { failure } from '../../src/runtime/refusal';
import { errorOf, get, ids, search, upsert } from './calls';
import { FakeCluster } from './fake-cluster';

/** What the clients of a gateway hear that stops while the cluster is silent. */
function stoppedDuring<K extends CallKind>(call: CallOf<K>): Outcome<AnswerOf<K>> {
  const cluster = new FakeCluster();
  cluster.addCollection('things', 4);
  cluster.answer(get(['warm']));
  cluster.loses = (message) => message.kind.startsWith('data.') || message.kind.startsWith('pd.');
  const outcomes: Outcome<AnswerOf<K>>[] = [];
  cluster.submit(call, 5_000, (outcome) => outcomes.push(outcome));
  cluster.runUntil(cluster.nowMs + 100);
  expect(outcomes).toEqual([]);
  cluster.host.stop(gatewayActor, 'restarted');
  expect(outcomes.length).toBe(1);
  return outcomes[0] as Outcome<AnswerOf<K>>;
}

test('a change that was under way when its gateway stopped is never called untouched', () => {
  expect(errorOf(stoppedDuring(upsert('a')))).toMatchObject({ code: 'OUTCOME_UNKNOWN', retry: 'unsure' });
  const remove = { kind: 'delete', collection: 'things', ids: ['a'], options: plainWrite } as const;
  expect(errorOf(stoppedDuring<'delete'>(remove)).retry).toBe('unsure');
  const drop = { kind: 'deleteCollection', name: 'things' } as const;
  expect(errorOf(stoppedDuring<'deleteCollection'>(drop)).retry).toBe('unsure');
});

test('a read that was under way may be sent again', () => {
  expect(errorOf(stoppedDuring(get(['a'])))).toMatchObject({ code: 'UNAVAILABLE', retry: 'safe' });
  expect(errorOf(stoppedDuring(search())).retry).toBe('safe');
});

test('a call whose turn has not come when its gateway ends was not made, and its client hears so', () => {
  const cluster = new FakeCluster();
  cluster.addCollection('things', 4);
  const outcomes: Outcome<unknown>[] = [];
  const perform = (task: Parameters<Perform>[0]): boolean => cluster.host.perform(gatewayActor, task);
  cluster.actor.hand(perform, upsert('a'), 5_000, (outcome) => outcomes.push(outcome));
  cluster.host.stop(gatewayActor, 'restarted');
  expect(outcomes.map(errorOf)).toEqual([expect.objectContaining({ code: 'UNAVAILABLE', retry: 'safe' })]);
  cluster.actor.hand(perform, upsert('a'), 5_000, (outcome) => outcomes.push(outcome));
  expect(outcomes.map(errorOf)[1]).toMatchObject({ code: 'UNAVAILABLE' });
  cluster.runUntil(cluster.nowMs + 1_000);
  expect([outcomes.length, cluster.sentOf('data.write').length]).toEqual([2, 0]);
});

test('two processes of one name do not use the same request numbers', () => {
  const numbersOf = (seed: number): Set<number> => {
    const cluster = new FakeCluster(seed);
    cluster.addCollection('things', 4);
    cluster.answer(upsert(...ids));
    cluster.answer(get(ids));
    return new Set(cluster.sent.map(({ message }) => ('request' in message ? Number(message.request) : 0)));
  };
  const first = numbersOf(1);
  expect(first.size).toBeGreaterThan(8);
  for (const number of numbersOf(2)) expect(first.has(number)).toBe(false);
});

test('a write of several parts is unsure when one part is, whichever failed first', () => {
  const cluster = new FakeCluster();
  const shards = cluster.addCollection('things', 4);
  cluster.answer(get(['warm']));
  const silent = shards[3]?.record.id;
  cluster.loses = (message) => message.kind === 'data.write' && message.shard === silent;
  cluster.refuses = (message) =>
    message.kind === 'data.write' && message.shard !== silent ? failure('RESOURCE_EXHAUSTED', 'full') : null;
  expect(errorOf(cluster.outcome(upsert(...ids), 1_000)).retry).toBe('unsure');
});
