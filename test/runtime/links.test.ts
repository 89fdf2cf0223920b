import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { clusterId, nodeName } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { lanes } from '../../src/protocol/envelope';
import { LinkFabric } from '../../src/runtime/node/link-ports';
import { seededPause } from '../support/pause';
import { describeGossip, GossipActor } from './support/gossip';
import { TestMachine, type TestMachineOptions, until } from './support/machines';

const machines: TestMachine[] = [];
async function machine(name: string, options: TestMachineOptions): Promise<TestMachine> {
  const built = new TestMachine(name, options);
  machines.push(built);
  return built.start();
}
afterEach(async () => {
  await Promise.all(machines.splice(0).map(({ runtime }) => runtime.kill()));
});

/** Hosts an actor on the main thread that answers probes. */
const answer = (m: TestMachine, incarnation: number): void => {
  m.runtime.host.spawn('echo', new GossipActor(incarnation, { friends: [] }));
};
const loner = describeGossip({ friends: [] });

describe('between simulated machines', () => {
  test('every pair is joined, whichever thread holds the link; cut, heal, delay', async () => {
    const fabric = new LinkFabric();
    const link = { kind: 'fabric', fabric } as const;
    const a = await machine('a', { link, linkThread: true, threads: 1 });
    const b = await machine('b', { link, linkThread: false });
    const c = await machine('c', { link, linkThread: true, threads: 1 });
    a.want('x', loner);
    c.want('x', loner);
    answer(b, 5);
    const all = [a, b, c];
    for (const from of all) await from.prober.reach(b.address('echo'));
    for (const from of all) await from.prober.reach(c.address('x'));
    for (const from of all) await from.prober.reach(a.address('x'));

    fabric.cut(a.node, c.node);
    expect(await a.prober.ask(c.address('x'), 100)).toBeNull();
    expect(await c.prober.ask(a.address('x'), 100)).toBeNull();
    await b.prober.reach(a.address('x'));
    fabric.heal(a.node, c.node);
    await a.prober.reach(c.address('x'));

    fabric.setFaults(a.node, b.node, { cut: true });
    expect(await a.prober.ask(b.address('echo'), 100)).toBeNull();
    fabric.setFaults(a.node, b.node, { cut: false, delayMs: 120 });
    const before = performance.now();
    expect(await a.prober.ask(b.address('echo'), 5_000)).toMatchObject({ revision: 5 });
    expect(performance.now() - before).toBeGreaterThanOrEqual(119);
    expect([...a.problems, ...b.problems, ...c.problems]).toEqual([]);
  }, 20_000);

  test('reordered messages all arrive', async () => {
    const fabric = new LinkFabric();
    const link = { kind: 'fabric', fabric } as const;
    const a = await machine('a', { link });
    const b = await machine('b', { link });
    answer(b, 1);
    fabric.reorder(a.node, b.node, 30);
    const order: number[] = [];
    const random = new Prng(40);
    const asks = Array.from({ length: 40 }, async (_, i) => {
      await seededPause(random, i, i + 1);
      expect(await a.prober.ask(b.address('echo'), 5_000)).not.toBeNull();
      order.push(i);
    });
    await Promise.all(asks);
    expect(order).toHaveLength(40);
    expect(order).not.toEqual([...order].sort((x, y) => x - y));
  }, 20_000);

  test('a killed machine refuses at once and is reached again when it is back; so is one whose link thread died', async () => {
    const fabric = new LinkFabric();
    const link = { kind: 'fabric', fabric } as const;
    const a = await machine('a', { link, linkThread: true });
    const b = await machine('b', { link, linkThread: true });
    answer(b, 1);
    await a.prober.reach(b.address('echo'));
    await b.runtime.kill();
    await until('a knows that b is gone', () => true);
    let refused = await a.prober.ask(b.address('echo'), 500);
    while (refused === null) refused = await a.prober.ask(b.address('echo'), 500);
    expect(refused.failure?.code).toBe('UNAVAILABLE');
    const again = await machine('b', { link, linkThread: true });
    answer(again, 2);
    expect((await a.prober.reach(again.address('echo'))).revision).toBe(2);
    await a.runtime.linkOwnThread?.killThread();
    await a.prober.reach(again.address('echo'));
    expect(a.ends.map(({ name }) => name)).toEqual(['thread link']);
  }, 20_000);
});

describe('between processes, by gRPC', () => {
  const grpc = (listen: string | null, heartbeatMs = 100) => ({ kind: 'grpc', listen, heartbeatMs }) as const;

  test('a node that only dials gets its answers over its own stream', async () => {
    const a = await machine('a', { link: grpc('127.0.0.1:0') });
    const b = await machine('b', { link: grpc(null) });
    answer(a, 3);
    answer(b, 4);
    expect((await b.prober.ask(a.address('echo'), 500))?.failure?.code).toBe('UNAVAILABLE');
    b.runtime.setPeers([{ node: 'a', address: a.runtime.linkAddress }]);
    expect((await b.prober.reach(a.address('echo'))).revision).toBe(3);
    expect((await a.prober.reach(b.address('echo'))).revision).toBe(4);
    expect(
      await b.prober.ask(a.address('echo'), 1_000, { kind: 'pd.status', request: 0 }, lanes.consensus),
    ).toMatchObject({
      revision: 3,
    });
  }, 20_000);

  test('big messages and many of them arrive', async () => {
    const a = await machine('a', { link: grpc('127.0.0.1:0') });
    const b = await machine('b', { link: grpc(null) });
    answer(a, 3);
    b.runtime.setPeers([{ node: 'a', address: a.runtime.linkAddress }]);
    await b.prober.reach(a.address('echo'));
    const big = { kind: 'pd.statusReply', failure: null, leader: 0, term: 0, revision: 9 } as const;
    b.runtime.host.perform('prober', (context) => {
      for (let i = 1; i <= 20; i++) {
        const message = { ...big, request: i, digest: 'x'.repeat(2 * 1024 * 1024) };
        context.send(a.address('echo'), message as never, lanes.data);
      }
      for (let i = 21; i <= 3_000; i++) {
        context.send(a.address('echo'), { ...big, request: i, digest: '' } as never, lanes.data);
      }
    });
    let heard = 0;
    while (heard < 3_000) heard = (await b.prober.reach(a.address('echo'))).term as number;
    expect(heard).toBe(3_000);
  }, 30_000);

  test('a restarted node is reached again, and meanwhile refusals come at once', async () => {
    const a = await machine('a', { link: grpc('127.0.0.1:0'), linkThread: true });
    const address = a.runtime.linkAddress;
    const b = await machine('b', { link: grpc(null), linkThread: true });
    answer(a, 1);
    b.runtime.setPeers([{ node: 'a', address }]);
    await b.prober.reach(a.address('echo'));
    await a.runtime.kill();
    let refused = await b.prober.ask(a.address('echo'), 500);
    while (refused === null) refused = await b.prober.ask(a.address('echo'), 500);
    expect(refused.failure?.code).toBe('UNAVAILABLE');
    const again = await machine('a', { link: grpc(address), linkThread: true });
    answer(again, 2);
    expect((await b.prober.reach(again.address('echo'))).revision).toBe(2);
    await again.runtime.linkOwnThread?.killThread();
    await b.prober.reach(again.address('echo'));
  }, 30_000);

  test('a node of another cluster is refused, by the one that listens and by the one that dials', async () => {
    const a = await machine('a', { link: grpc('127.0.0.1:0') });
    const stranger = await machine('b', { link: grpc(null), cluster: clusterId('other') });
    answer(a, 1);
    answer(stranger, 2);
    stranger.runtime.setPeers([{ node: 'a', address: a.runtime.linkAddress }]);
    for (let i = 0; i < 5; i++) {
      const reply = await stranger.prober.ask(a.address('echo'), 300);
      expect(reply?.failure?.code ?? 'UNAVAILABLE').toBe('UNAVAILABLE');
    }
    const noted = stranger.runtime.linkFailures.get(nodeName('a'));
    expect(noted?.message).toContain('cluster');
    expect((await a.prober.ask(stranger.address('echo'), 300))?.failure?.code).toBe('UNAVAILABLE');
  }, 20_000);

  test('an address that answers for another node is not taken for the one looked for', async () => {
    const a = await machine('a', { link: grpc('127.0.0.1:0') });
    const b = await machine('b', { link: grpc(null) });
    answer(a, 1);
    b.runtime.setPeers([{ node: 'c', address: a.runtime.linkAddress }]);
    await until('the mistake is noticed', () => b.runtime.linkFailures.has(nodeName('c')));
    expect(b.runtime.linkFailures.get(nodeName('c'))?.message).toContain('is a, not c');
  }, 20_000);

  test('a connection that has gone silent without closing is given up within a few heartbeats', async () => {
    const a = await machine('a', { link: grpc('127.0.0.1:0', 50) });
    const b = await machine('b', { link: grpc(null, 50) });
    answer(a, 1);
    const cable = await Cable.to(a.runtime.linkAddress);
    try {
      b.runtime.setPeers([{ node: 'a', address: cable.address }]);
      await b.prober.reach(a.address('echo'));
      cable.pull();
      let reply = await b.prober.ask(a.address('echo'), 100);
      while (reply === null) reply = await b.prober.ask(a.address('echo'), 100);
      expect(reply.failure?.code).toBe('UNAVAILABLE');
      cable.plug();
      await b.prober.reach(a.address('echo'));
    } finally {
      cable.close();
    }
  }, 20_000);
});

/** Passes bytes on to an address until it is pulled; then nothing passes and nothing closes. */
class Cable {
  private readonly sockets = new Set<Socket>();
  private pulled = false;

  private constructor(
    private readonly server: Server,
    readonly address: string,
  ) {}

  static to(target: string): Promise<Cable> {
    return new Promise((resolve) => {
      const server = createServer((near) => cable.join(near, connect(Number(target.split(':')[1]), '127.0.0.1')));
      let cable: Cable;
      server.listen(0, '127.0.0.1', () => {
        cable = new Cable(server, `127.0.0.1:${(server.address() as AddressInfo).port}`);
        resolve(cable);
      });
    });
  }

  pull(): void {
    this.pulled = true;
  }

  plug(): void {
    this.pulled = false;
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private join(near: Socket, far: Socket): void {
    this.pass(near, far);
    this.pass(far, near);
  }

  private pass(from: Socket, to: Socket): void {
    this.sockets.add(from);
    from.on('data', (bytes) => {
      if (!this.pulled) to.write(bytes);
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.sockets.delete(from);
      if (!this.pulled) to.destroy();
    });
  }
}
