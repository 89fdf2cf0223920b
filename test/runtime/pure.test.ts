import { describe, expect, test } from '@jest/globals';
import { VectronError } from '../../src/base/errors';
import { clusterId, logIndex, nodeName, shardId, workerId } from '../../src/base/ids';
import { linkQueueMessagesMax } from '../../src/base/limits';
import { Prng } from '../../src/base/prng';
import { monotonicMs } from '../../src/base/time';
import { plainWrite } from '../../src/protocol/commands';
import { at, type Lane, lanes } from '../../src/protocol/envelope';
import type { Message } from '../../src/protocol/messages';
import { type AskOutcome, Asks } from '../../src/runtime/asks';
import { Backoff } from '../../src/runtime/backoff';
import { SendWindow } from '../../src/runtime/credit';
import { DeadlineHeap } from '../../src/runtime/deadline-heap';
import { Directory } from '../../src/runtime/directory';
import { type Batch, Batcher, encodeFrame, openFrame, parcelKinds, parcelsOf } from '../../src/runtime/frames';
import { acceptHello, encodeHello, Link, type LinkConnection } from '../../src/runtime/link';
import { failure, refusalOf } from '../../src/runtime/refusal';

const ms = monotonicMs;
const ping = (request: number): Message => ({ kind: 'pd.status', request });

test('deadlines come out as a sorted list would give them', () => {
  const random = new Prng(11);
  for (let round = 0; round < 12; round++) {
    const heap = new DeadlineHeap<number>();
    let list: { due: number; item: number }[] = [];
    const handles = new Map<number, ReturnType<typeof heap.add>>();
    let now = 0;
    for (let step = 0; step < 300; step++) {
      const action = random.float();
      if (action < 0.5) {
        const due = now + random.between(0, 30);
        handles.set(step, heap.add(ms(due), step));
        list.push({ due, item: step });
      } else if (action < 0.8 && list.length > 0) {
        const { item } = random.pick(list);
        const handle = handles.get(item);
        if (handle !== undefined) heap.cancel(handle);
        list = list.filter((entry) => entry.item !== item);
      } else {
        now += random.between(0, 10);
        // A stable sort keeps equal times in the order of insertion.
        const due = list.filter((entry) => entry.due <= now).sort((a, b) => a.due - b.due);
        list = list.filter((entry) => entry.due > now);
        const taken: number[] = [];
        for (let item = heap.takeDue(ms(now)); item !== null; item = heap.takeDue(ms(now))) taken.push(item);
        expect(taken).toEqual(due.map(({ item }) => item));
      }
      expect(heap.size).toBe(list.length);
      expect(heap.nextDue()).toBe(list.length === 0 ? null : Math.min(...list.map(({ due }) => due)));
    }
  }
});

describe('asks', () => {
  const note = (into: string[], name: string) => (outcome: AskOutcome<string>) => {
    into.push(outcome.ok ? `${name}=${outcome.reply}` : `${name}!${outcome.error.code}`);
  };

  test('each gets one outcome, in the order of deadlines', () => {
    const asks = new Asks<string>();
    const seen: string[] = [];
    const [a, b, c, d] = [asks.nextRequest(), asks.nextRequest(), asks.nextRequest(), asks.nextRequest()];
    asks.open(a, ms(30), note(seen, 'a'));
    asks.open(b, ms(10), note(seen, 'b'));
    asks.open(c, ms(20), note(seen, 'c'));
    asks.open(d, ms(20), note(seen, 'd'));
    expect(asks.nextDeadline()).toBe(10);
    expect(asks.settle(c, 'yes')).toBe(true);
    expect(asks.settle(c, 'twice')).toBe(false);
    expect(asks.expire(ms(25))).toBe(2);
    expect(asks.settle(b, 'late')).toBe(false);
    asks.failAll(new VectronError('CANCELLED', 'closing'));
    expect(seen).toEqual(['c=yes', 'b!DEADLINE_EXCEEDED', 'd!DEADLINE_EXCEEDED', 'a!CANCELLED']);
    expect(asks.size).toBe(0);
    expect(asks.nextDeadline()).toBeNull();
  });

  test('too many are refused; a forgotten one hears nothing', () => {
    const asks = new Asks<string>(2);
    const seen: string[] = [];
    asks.open(1, ms(5), note(seen, 'a'));
    asks.open(2, ms(5), note(seen, 'b'));
    expect(() => asks.open(3, ms(5), note(seen, 'c'))).toThrow(expect.objectContaining({ code: 'RESOURCE_EXHAUSTED' }));
    asks.forget(1);
    asks.expire(ms(5));
    expect(seen).toEqual(['b!DEADLINE_EXCEEDED']);
  });
});

test('back-off doubles up to its limit, within its jitter, and starts anew', () => {
  const backoff = new Backoff({ firstMs: 10, delayMsMax: 100, jitter: 0.5 }, new Prng(3));
  for (const full of [10, 20, 40, 80, 100, 100]) {
    const delay = backoff.nextDelayMs();
    expect(delay).toBeGreaterThan(full / 2 - 1e-9);
    expect(delay).toBeLessThanOrEqual(full);
  }
  expect(backoff.failures).toBe(6);
  backoff.reset();
  expect(backoff.nextDelayMs()).toBeLessThanOrEqual(10);
});

test('every request has a refusal that carries its number; nothing else has', () => {
  const header = { request: 9, shard: shardId(2), epoch: { version: 1, confVersion: 1 }, timeoutMs: 1 };
  const cluster = clusterId('c');
  const requests: Message[] = [
    { kind: 'data.write', ...header, operation: { kind: 'delete', ids: [] }, options: plainWrite },
    { kind: 'data.get', ...header, ids: [], level: 'leader', minIndex: logIndex(0), stalenessMs: 0 },
    { kind: 'data.scan', ...header, afterId: '', countMax: 1 },
    { kind: 'data.status', ...header },
    { kind: 'pd.heartbeat', request: 9, cluster, worker: workerId(1), replicas: [], removed: [] },
    { kind: 'pd.deleteCollection', request: 9, name: 'x' },
    ping(9),
  ];
  const failed = failure('RESOURCE_EXHAUSTED', 'full', 50);
  for (const request of requests) {
    const reply = refusalOf(request, failed);
    expect(reply).toMatchObject({ request: 9, failure: { code: 'RESOURCE_EXHAUSTED', retryAfterMs: 50 } });
    // A refusal is a message like any other: it can be encoded, and nobody refuses it in turn.
    if (reply === null) throw new Error('unreachable');
    encodeFrame(at(nodeName('a'), 'x'), at(nodeName('b'), 'y'), reply, lanes.completion);
    expect(refusalOf(reply, failed)).toBeNull();
  }
});

test('a window leaves room for consensus and always passes completions', () => {
  const window = new SendWindow({ messagesMax: 8, bytesMax: 1_000 });
  for (let i = 0; i < 6; i++) expect(window.take(lanes.data, 10)).toBe(true);
  expect(window.take(lanes.data, 10)).toBe(false);
  expect(window.take(lanes.consensus, 10)).toBe(true);
  expect(window.take(lanes.consensus, 10)).toBe(true);
  expect(window.take(lanes.consensus, 10)).toBe(false);
  expect(window.take(lanes.completion, 10)).toBe(true);
  window.give(9, 90);
  expect(window.take(lanes.data, 5_000)).toBe(true);
  expect(window.take(lanes.data, 1)).toBe(false);
});

test('a name is the last announcer’s; the word of an earlier one about it is ignored', () => {
  const directory = new Directory();
  directory.added('a', 1);
  directory.added('b', 1);
  directory.added('a', 2);
  expect(directory.removed('a', 1)).toBe(false);
  expect(directory.isStale('a', 1)).toBe(true);
  expect(directory.isStale('a', 2)).toBe(false);
  expect(directory.isStale('unknown', 1)).toBe(false);
  expect(directory.left(1)).toEqual(['b']);
  expect(directory.threadOf('a')).toBe(2);
});

test('frames survive a batch; noise is CORRUPT', () => {
  const to = at(nodeName('a'), 'x');
  const from = at(nodeName('b'), 'y');
  const batcher = new Batcher();
  batcher.add(parcelKinds.frame, encodeFrame(to, from, ping(1), lanes.data));
  batcher.add(parcelKinds.bounced, encodeFrame(to, from, ping(2), lanes.consensus));
  const { bytes, count } = batcher.take();
  expect(count).toBe(2);
  const [first, second] = parcelsOf(bytes);
  expect(openFrame(first?.bytes ?? bytes)).toMatchObject({ to, from, lane: lanes.data });
  expect(second?.kind).toBe(parcelKinds.bounced);
  const random = new Prng(5);
  for (let i = 0; i < 200; i++) {
    const broken = bytes.slice(0, random.between(1, bytes.length));
    broken[random.between(0, broken.length - 1)] = random.between(0, 255);
    try {
      for (const parcel of parcelsOf(broken)) openFrame(parcel.bytes);
    } catch (error) {
      expect(error).toMatchObject({ code: 'CORRUPT' });
    }
  }
});

describe('link', () => {
  const here = nodeName('here');
  const there = nodeName('there');

  class Wire implements LinkConnection {
    readonly sent: number[] = [];
    takes = true;
    closed = '';
    constructor(readonly peer = there) {}
    send(batch: Batch): boolean {
      for (const { bytes } of parcelsOf(batch.bytes)) this.sent.push(bytes.length);
      return this.takes;
    }
    close(reason: string): void {
      this.closed = reason;
    }
  }

  const build = () => {
    const arrived: string[] = [];
    const bounced: Lane[] = [];
    const opened: string[] = [];
    const link = new Link({
      node: here,
      onFrame: (frame) => arrived.push(frame.to.actor),
      onBounced: (frame) => bounced.push(frame.lane),
    });
    link.use({ open: (peer, address) => opened.push(`${peer}@${address}`), close: () => undefined });
    const send = (lane: Lane, to = there): void => {
      const bytes = encodeFrame(at(to, 'x'), at(here, 'y'), ping(1), lane);
      link.send(openFrame(bytes), bytes);
    };
    return { link, send, arrived, bounced, opened };
  };

  test('queues while it connects, sends once attached, bounces data when unreachable', () => {
    const { link, send, bounced, opened } = build();
    send(lanes.data);
    expect(bounced).toEqual([lanes.data]);
    link.setPeers([{ node: there, address: 'h:1' }]);
    link.setPeers([{ node: there, address: 'h:1' }]);
    expect(opened).toEqual(['there@h:1']);
    send(lanes.data);
    send(lanes.consensus);
    const wire = new Wire();
    link.attached(wire);
    expect(wire.sent).toHaveLength(2);
    link.detached(wire);
    send(lanes.data);
    send(lanes.consensus);
    expect(bounced).toEqual([lanes.data, lanes.data]);
    expect(link.droppedCount).toBe(1);
  });

  test('holds back when its connection is congested, within bounds, and gives up what waits when it is lost', () => {
    const { link, send, bounced } = build();
    const wire = new Wire();
    wire.takes = false;
    link.attached(wire);
    send(lanes.data);
    link.flush();
    expect(wire.sent).toHaveLength(1);
    for (let i = 0; i < linkQueueMessagesMax; i++) send(lanes.data);
    link.flush();
    expect(wire.sent).toHaveLength(1);
    const refusedCount = linkQueueMessagesMax / 4;
    expect(bounced).toHaveLength(refusedCount);
    send(lanes.consensus);
    expect(link.droppedCount).toBe(0);
    wire.takes = true;
    link.drained(wire);
    expect(wire.sent).toHaveLength(1 + linkQueueMessagesMax - refusedCount + 1);
    wire.takes = false;
    send(lanes.data);
    link.flush();
    send(lanes.data);
    link.detached(wire);
    expect(bounced).toHaveLength(refusedCount + 1);
  });

  test('uses another live connection when the first is lost, whoever opened it', () => {
    const { link, send } = build();
    const [first, second] = [new Wire(), new Wire()];
    link.attached(first);
    link.attached(second);
    send(lanes.data);
    link.flush();
    link.detached(first);
    send(lanes.data);
    link.flush();
    expect([first.sent.length, second.sent.length]).toEqual([1, 1]);
  });

  test('accepts only frames for itself from the node they name; noise ends the connection', () => {
    const { link, arrived } = build();
    const wire = new Wire();
    link.attached(wire);
    const batch = new Batcher();
    batch.add(parcelKinds.frame, encodeFrame(at(here, 'good'), at(there, 'y'), ping(1), lanes.data));
    batch.add(parcelKinds.frame, encodeFrame(at(there, 'misrouted'), at(there, 'y'), ping(1), lanes.data));
    batch.add(parcelKinds.frame, encodeFrame(at(here, 'forged'), at(nodeName('third'), 'y'), ping(1), lanes.data));
    link.received(wire, batch.take().bytes);
    expect(arrived).toEqual(['good']);
    expect(link.rejectedCount).toBe(2);
    link.received(wire, new Uint8Array([9, 9, 9]));
    expect(wire.closed).toContain('malformed');
  });

  test('a hello names its node to its own cluster only', () => {
    const hello = encodeHello(there, clusterId('one'));
    expect(acceptHello(hello, clusterId('one'))).toBe(there);
    expect(() => acceptHello(hello, clusterId('two'))).toThrow(
      expect.objectContaining({ code: 'FAILED_PRECONDITION' }),
    );
    expect(() => acceptHello(new Uint8Array([1]), clusterId('one'))).toThrow(
      expect.objectContaining({ code: 'CORRUPT' }),
    );
  });
});
