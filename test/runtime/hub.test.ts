import { MessageChannel } from 'node:worker_threads';
import { afterEach, expect, test } from '@jest/globals';
import { nodeName } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { at, lanes } from '../../src/protocol/envelope';
import type { Message } from '../../src/protocol/messages';
import type { Actor } from '../../src/runtime/actor';
import { systemClock } from '../../src/runtime/node/clock';
import { Heart, HeartbeatReader, heartbeatWords } from '../../src/runtime/node/heartbeat';
import { ThreadHub } from '../../src/runtime/node/thread-hub';
import { pulseDelayMs } from '../../src/runtime/pulse';
import { until } from './support/machines';

const node = nodeName('m');
const ping = (request: number): Message => ({ kind: 'pd.status', request });
const hubs: ThreadHub[] = [];
afterEach(() => {
  for (const hub of hubs.splice(0)) hub.close();
});

/** Hubs that stand for threads, driven by hand: nothing runs or leaves unless a test says so. */
function hub(thread: number): ThreadHub {
  const built = new ThreadHub({
    node,
    thread,
    clock: systemClock,
    random: new Prng(thread),
    onEnded: () => undefined,
    wake: () => undefined,
  });
  for (const other of hubs) {
    const { port1, port2 } = new MessageChannel();
    other.addPeer(thread, port1);
    built.addPeer(other.thread, port2);
  }
  hubs.push(built);
  return built;
}

const listener = (heard: (message: Message) => void): Actor => ({
  started: () => undefined,
  receive: heard,
  signalled: () => undefined,
  stopped: () => undefined,
});
const settle = (target: ThreadHub): void => {
  while (target.host.run(10));
  target.flush();
};

test('what a dead thread sent is not taken for a word of the actor’s successor', async () => {
  const main = hub(0);
  const old = hub(1);
  const fresh = hub(2);
  const heard: number[] = [];
  main.host.spawn(
    'ear',
    listener((message) => heard.push(message.kind === 'pd.status' ? message.request : -1)),
  );
  const speak = (from: ThreadHub, request: number): void => {
    from.host.perform('a', (context) => context.send(at(node, 'ear'), ping(request), lanes.data));
    settle(from);
  };
  old.host.spawn(
    'a',
    listener(() => undefined),
  );
  await until('the old one is known', () => main.directory.threadOf('a') === 1 && old.directory.threadOf('ear') === 0);
  speak(old, 1);
  await until('it is heard', () => main.host.queuedCounts()[lanes.data] === 1);
  await until('the fresh thread knows the ear', () => fresh.directory.threadOf('ear') === 0);
  fresh.host.spawn(
    'a',
    listener(() => undefined),
  );
  await until('the fresh one is known', () => main.directory.threadOf('a') === 2);
  // Still on its way when its successor was announced.
  speak(old, 2);
  speak(fresh, 3);
  await until('the late word has come', () => main.staleCount === 1);
  await until('the fresh word has come', () => main.host.queuedCounts()[lanes.data] === 2);
  settle(main);
  expect(heard).toEqual([1, 3]);
});

test('a peer that left takes its names with it, and watchers and listeners hear', async () => {
  const main = hub(0);
  const other = hub(1);
  other.host.spawn(
    'a',
    listener(() => undefined),
  );
  other.host.spawn(
    'b',
    listener(() => undefined),
  );
  await until('both are known', () => main.directory.threadOf('b') === 1);
  const downs: string[] = [];
  main.host.spawn('watcher', {
    ...listener(() => undefined),
    started: (context) => context.watch(at(node, 'a')),
    signalled: (signal) => downs.push(signal.signal === 'down' ? signal.reason : ''),
  });
  settle(main);
  const gone: string[] = [];
  main.events.on('gone', (name, thread, reason) => gone.push(`${name} ${thread} ${reason}`));
  other.host.stop('b', 'stopped');
  await until('the end of b is announced', () => gone.length === 1);
  main.removePeer(1, 'exited');
  settle(main);
  expect(gone).toEqual(['b 1 stopped', 'a 1 exited']);
  expect(downs).toEqual(['exited']);
});

test('a watcher hears of the end even if the news of the successor comes first', async () => {
  const main = hub(0);
  const old = hub(1);
  const fresh = hub(2);
  old.host.spawn(
    'a',
    listener(() => undefined),
  );
  await until('the old one is known', () => main.directory.threadOf('a') === 1 && fresh.directory.threadOf('a') === 1);
  const downs: string[] = [];
  main.host.spawn('watcher', {
    ...listener(() => undefined),
    started: (context) => context.watch(at(node, 'a')),
    signalled: (signal) => downs.push(signal.signal === 'down' ? signal.reason : ''),
  });
  settle(main);
  fresh.host.spawn(
    'a',
    listener(() => undefined),
  );
  await until('the fresh one is known', () => main.directory.threadOf('a') === 2);
  old.host.stop('a', 'stopped');
  settle(main);
  expect(downs).toEqual(['runs on another thread']);
});

test('malformed messages are counted and end nobody', async () => {
  const main = hub(0);
  main.host.spawn(
    'a',
    listener(() => undefined),
  );
  main.host.deliverEncoded(at(node, 'a'), at(node, 'b'), new Uint8Array([250, 1, 2]), lanes.data);
  settle(main);
  expect(main.host.malformedCount).toBe(1);
  expect(main.host.has('a')).toBe(true);
});

test('a heart that stops is noticed by the reader’s own clock', async () => {
  const words = heartbeatWords(2);
  const reader = new HeartbeatReader(words, systemClock);
  const heart = new Heart(words, 50);
  heart.beatAt(1);
  const loop = setInterval(() => heart.turned(), 20);
  await until('word 0 has been silent', () => reader.isSilent(0, 250));
  expect(reader.isSilent(1, 250)).toBe(false);
  clearInterval(loop);
  await until('word 1 falls silent', () => reader.isSilent(1, 250));
  reader.restarted(1);
  expect(reader.isSilent(1, 250)).toBe(false);
});

test('a heart beats with its thread’s turns, and at most twice in the time of a beat', () => {
  const words = heartbeatWords(1);
  const counter = new Int32Array(words);
  const heart = new Heart(words, 60_000);
  heart.beatAt(0);
  for (let turn = 0; turn < 100; turn++) heart.turned();
  expect(counter[0]).toBe(1);
  const eager = new Heart(words, 0);
  eager.beatAt(0);
  eager.turned();
  expect(counter[0]).toBe(3);
});

test('streams speak at whole intervals of the wall clock, never twice within a quarter of one', () => {
  for (const wallMs of [0, 1, 499, 740, 1_700_000_000_123.5]) {
    expect((wallMs + pulseDelayMs(wallMs, 1_000)) % 1_000).toBe(0);
  }
  // A timer that was early, by a hair, does not speak again at once.
  expect(pulseDelayMs(999, 1_000)).toBe(1_001);
  expect(pulseDelayMs(750, 1_000)).toBe(250);
  expect(pulseDelayMs(751, 1_000)).toBe(1_249);
});
