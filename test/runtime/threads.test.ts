import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { lanes } from '../../src/protocol/envelope';
import { defaultStorage } from '../../src/protocol/records';
import { DedicatedThread } from '../../src/runtime/node/dedicated-thread';
import { Switchboard } from '../../src/runtime/node/switchboard';
import { seededPause } from '../support/pause';
import { chatter, describeGossip } from './support/gossip';
import { TestMachine, until } from './support/machines';

const machines: TestMachine[] = [];
async function machine(...args: ConstructorParameters<typeof TestMachine>): Promise<TestMachine> {
  const built = new TestMachine(...args);
  machines.push(built);
  return built.start();
}
afterEach(async () => {
  await Promise.all(machines.splice(0).map(({ runtime }) => runtime.kill()));
});

const loner = describeGossip({ friends: [] });

test('actors on pool threads, a dedicated thread and the main thread reach each other', async () => {
  const m = await machine('m', { threads: 2, log: ['a', 'b'] });
  m.want('a', describeGossip({ friends: ['b', 'log'] }));
  m.want('b', describeGossip({ friends: ['a', 'log'] }));
  for (const name of ['a', 'b', 'log']) await m.prober.reach(m.address(name));
  expect(m.runtime.pool.threadOf('a')).not.toBe(m.runtime.pool.threadOf('b'));
  const before = await m.prober.reach(m.address('log'));
  const heard = async (): Promise<number> => (await m.prober.reach(m.address('log'))).term as number;
  let later = await heard();
  while (later < (before.term as number) + 100) later = await heard();
  const stats = await m.runtime.pool.stats();
  expect(stats.flatMap(({ actors }) => actors).sort()).toEqual(['a', 'b']);
  expect(m.ends).toEqual([]);
  expect(m.problems).toEqual([]);
}, 20_000);

test('100 random thread kills under load: all actors come back, none hears a dead incarnation', async () => {
  const random = new Prng(42);
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const m = await machine('m', { threads: 2, log: names });
  for (const name of names) m.want(name, describeGossip({ friends: [...names, 'log'].filter((n) => n !== name) }));
  let kills = 0;
  while (kills < 100) {
    const isKilled = random.chance(0.2)
      ? await m.runtime.dedicated('log').killThread()
      : await m.runtime.pool.killThreadOf(random.pick(names));
    if (isKilled) kills++;
    // Some kills hit a thread at work, some one that has only just come up.
    await seededPause(random, 0, 60);
  }
  for (const name of [...names, 'log']) await m.prober.reach(m.address(name), 20_000);
  expect(m.ends.filter(({ name }) => name === 'thread log').length).toBeGreaterThan(5);
  expect(m.ends.filter(({ name }) => names.includes(name)).length).toBeGreaterThanOrEqual(60);
  expect(m.ends.filter(({ reason }) => reason.includes('VIOLATION'))).toEqual([]);
  expect(m.problems).toEqual([]);
}, 240_000);

describe('supervision', () => {
  test('an actor that throws is reported and can be started again; its thread lives', async () => {
    const m = await machine('m', { threads: 1 });
    m.want('a', loner);
    m.want('b', loner);
    const first = await m.prober.reach(m.address('a'));
    const b = await m.prober.reach(m.address('b'));
    await m.prober.ask(m.address('a'), 20, { kind: 'pd.deleteCollection', request: 0, name: '' });
    await until('the end is reported', () => m.ends.length > 0);
    expect(m.ends).toEqual([{ name: 'a', reason: 'Error: told to fail' }]);
    const second = await m.prober.reach(m.address('a'));
    expect(second.revision).toBeGreaterThan(first.revision);
    expect((await m.prober.reach(m.address('b'))).revision).toBe(b.revision);
  }, 20_000);

  test('an actor that cannot be made is reported', async () => {
    const m = await machine('m', { threads: 1 });
    m.runtime.startShardActor('impossible', loner);
    await until('the end is reported', () => m.ends.length > 0);
    expect(m.ends).toEqual([{ name: 'impossible', reason: 'could not start: cannot be made' }]);
    expect(m.runtime.pool.isHosted('impossible')).toBe(false);
  }, 20_000);

  test('threads killed while they load are replaced as well', async () => {
    const m = await machine('m', { threads: 2 });
    m.want('a', loner);
    m.want('b', loner);
    const random = new Prng(90);
    for (let i = 0; i < 12; i++) {
      await m.runtime.pool.killThreads();
      await seededPause(random, 0, 90);
    }
    for (const name of ['a', 'b']) await m.prober.reach(m.address(name), 15_000);
    await m.runtime.pool.ready();
    expect((await m.runtime.pool.stats()).length).toBe(2);
    expect(m.problems).toEqual([]);
  }, 30_000);

  test('a thread that cannot start says why', async () => {
    const m = await machine('m', {});
    const downs: string[] = [];
    const thread = new DedicatedThread({
      node: m.node,
      name: 'broken',
      entryFile: join(__dirname, 'support', 'broken-thread.js'),
      workerData: null,
      actors: [],
      link: () => null,
      silentMsMax: null,
      hub: m.runtime.hub,
      switchboard: new Switchboard(),
      onDown: (what, reason) => downs.push(`${what}: ${reason}`),
      onProblem: (what) => downs.push(what),
    });
    try {
      await expect(thread.start(600)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: 'thread broken is not up: broken on purpose',
      });
      await until('it has been tried again', () => downs.length > 1);
    } finally {
      await thread.kill();
    }
  }, 20_000);

  test('killActor ends one actor', async () => {
    const m = await machine('m', { threads: 1 });
    m.want('a', loner);
    const first = await m.prober.reach(m.address('a'));
    m.runtime.pool.killActor('a');
    await until('the end is reported', () => m.ends.length > 0);
    expect(m.ends).toEqual([{ name: 'a', reason: 'killed' }]);
    expect((await m.prober.reach(m.address('a'))).revision).toBeGreaterThan(first.revision);
  }, 20_000);

  test('a thread that hangs is terminated, and its actors come back', async () => {
    const m = await machine('m', { threads: 2, silentMsMax: 400 });
    m.want('a', loner);
    m.want('b', loner);
    await m.prober.reach(m.address('a'));
    const group = m.runtime.pool.groupOf('a');
    await m.prober.ask(m.address('a'), 10, hang);
    expect(m.runtime.pool.isSilent(group ?? -1, 10_000)).toBe(false);
    await until('the silent thread ends', () => m.ends.some(({ name }) => name === 'a'));
    expect(m.ends).toContainEqual({ name: 'a', reason: 'thread fell silent' });
    expect(m.ends.some(({ name }) => name === 'b')).toBe(false);
    await m.prober.reach(m.address('a'));
  }, 20_000);

  test('a request to an actor whose thread is dead is refused at once', async () => {
    const m = await machine('m', { threads: 1, log: [] });
    m.want('a', loner);
    await m.prober.reach(m.address('a'));
    m.runtime.pool.stopActor('a', 'for good');
    m['restart'] = () => undefined;
    await until('a is gone', () => !m.runtime.pool.isHosted('a'));
    const refused = await m.prober.ask(m.address('a'), 2_000);
    expect(refused?.failure?.code).toBe('UNAVAILABLE');
  }, 20_000);

  test('stop() ends actors and threads in order', async () => {
    const m = await machine('m', { threads: 2, log: [] });
    m.want('a', loner);
    await m.prober.reach(m.address('a'));
    await m.runtime.stop();
    expect(m.problems).toEqual([]);
    expect(m.ends).toEqual([{ name: 'prober', reason: 'machine stops' }]);
    machines.splice(0);
  }, 20_000);
});

const hang = {
  kind: 'pd.createCollection',
  request: 0,
  name: '',
  dimension: 1,
  metric: 'cosine',
  hnsw: { m: 1, efConstruction: 1 },
  storage: defaultStorage,
  shardCount: 1,
  replicationFactor: 1,
} as const;

test('a flood of data does not hold up a consensus message', async () => {
  const m = await machine('m', { threads: 1 });
  m.want('slow', describeGossip({ friends: [], workMs: 0.5 }));
  await m.prober.reach(m.address('slow'));
  const floodCount = 2_000;
  let answeredCount = 0;
  const flood = Array.from({ length: floodCount }, async () => {
    await m.prober.ask(m.address('slow'), 30_000);
    answeredCount++;
  });
  await until('the flood is being worked on', () => answeredCount > 10);
  const before = answeredCount;
  await m.prober.ask(m.address('slow'), 10_000, { kind: 'pd.status', request: 0 }, lanes.consensus);
  // At .5 ms each the whole flood takes a second; the urgent one waits for a few turns of 2 ms.
  expect(answeredCount - before).toBeLessThan(200);
  await Promise.all(flood);
  expect(answeredCount).toBe(floodCount);
}, 40_000);

test('a sender without credit is refused instead of filling memory', async () => {
  const m = await machine('m', { threads: 1, silentMsMax: 60_000 });
  m.want('a', loner);
  await m.prober.reach(m.address('a'));
  await m.prober.ask(m.address('a'), 10, hang);
  const big = 'x'.repeat(1024 * 1024);
  const answers = await Promise.all(
    Array.from({ length: 80 }, () =>
      m.prober.ask(m.address('a'), 1_500, { ...chatter(1, 1, big), kind: 'pd.deleteCollection', name: big } as never),
    ),
  );
  // 48 of the 64 MiB are for data; what they hold cannot be answered, the rest is refused.
  expect(m.runtime.hub.refusedCount).toBe(80 - 48);
  expect(answers.every((answer) => answer === null)).toBe(true);
}, 20_000);
