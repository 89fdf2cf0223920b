import { SupervisorActor } from '../../src/actors/supervisor';
import { assert } from '../../src/base/assert';
import { clusterId, logIndex, nodeName, type ReplicaId, replicaId, revision, term, workerId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { at, lanes, logActor, placementActor, supervisorActor } from '../../src/protocol/envelope';
import type { Message, MessageOf } from '../../src/protocol/messages';
import { defaultStorage } from '../../src/protocol/records';
import type { Actor, ActorContext } from '../../src/runtime/actor';
import { creation } from '../placement/generate';
import { cluster, driverNodes, PlacementGroup } from './placement-group';

const workerNodes = ['machine-1', 'machine-2', 'machine-3'];
const seeds = [1, 2, 3, 4, 5];

/** An actor that sends what it is told to and keeps what comes back. */
class Asker implements Actor {
  readonly heard: Message[] = [];
  started(): void {
    // Speaks only when told to.
  }
  signalled(): void {
    // Has no timers.
  }
  stopped(): void {
    // Holds nothing.
  }
  receive(message: Message): void {
    this.heard.push(message);
  }
}

/** Asks one node once, and waits for the answer. */
function ask<K extends Message['kind']>(
  group: PlacementGroup,
  from: string,
  to: string,
  message: Message,
): MessageOf<K> {
  const asker = new Asker();
  group.nodes.spawn(from, 'asker', asker);
  const send = (context: ActorContext): void => context.send(at(nodeName(to), placementActor), message, lanes.data);
  group.nodes.host(from).perform('asker', send);
  group.runUntil(() => asker.heard.length > 0);
  group.nodes.host(from).stop('asker', 'answered');
  return asker.heard[0] as MessageOf<K>;
}

const registration = (node: string): Message => ({
  kind: 'pd.registerWorker',
  request: 1,
  cluster,
  node,
  address: '',
  zone: node,
  rack: '',
  storeIncarnation: 'a',
  worker: workerId(0),
});

function register(group: PlacementGroup): void {
  const leader = group.awaitLeader();
  for (const node of workerNodes) {
    const reply = ask<'pd.workerRegistered'>(group, node, leader, registration(node));
    expect(reply.failure).toBeNull();
  }
}

/** A machine whose replicas only exist in name. */
function spawnWorker(group: PlacementGroup, node: string): Set<ReplicaId> {
  const running = new Set<ReplicaId>();
  const home = nodeName(node);
  const tell = (message: Message): void => {
    const supervisor = at(home, supervisorActor);
    group.nodes.host(node).deliver(supervisor, supervisor, message, lanes.completion);
  };
  const supervisor = new SupervisorActor({
    cluster,
    node: home,
    address: '',
    zone: node,
    rack: '',
    storeIncarnation: 'a',
    placementNodes: driverNodes,
    hosts: {
      start: ({ replica, shard }) => {
        running.add(replica);
        const [first] = shard.members;
        assert(first !== undefined, 'a member');
        const { id, epoch } = shard;
        const progress = { term: term(1), leader: first.replica, appliedIndex: logIndex(0), points: 0 };
        tell({ kind: 'replica.report', report: { shard: id, replica, epoch, ...progress } });
      },
      destroy: (replica) => {
        running.delete(replica);
        tell({ kind: 'replica.destroyed', replica });
      },
      forget: () => undefined,
    },
    links: { setPeers: () => undefined },
    logWriter: at(home, logActor),
  });
  const log: Actor = {
    started: () => undefined,
    signalled: () => undefined,
    stopped: () => undefined,
    receive: (message, from, context) => {
      if (message.kind === 'log.list') {
        context.send(from, { kind: 'log.listed', request: message.request, replicas: [] }, lanes.completion);
      } else if (message.kind === 'log.remove') {
        context.send(from, { kind: 'log.removed', replica: message.replica }, lanes.completion);
      }
    },
  };
  group.nodes.spawn(node, logActor, log);
  group.nodes.spawn(node, supervisorActor, supervisor);
  return running;
}

describe('PlacementDriverActor', () => {
  test('an incarnation is drawn ahead of the first operation, the same on every node, and outlives leaders', () => {
    const group = new PlacementGroup(31);
    expect(group.drivers.get(group.awaitLeader())?.machine.incarnation).toBe(0);
    const [first, second] = workerNodes as [string, string];
    const reply = ask<'pd.workerRegistered'>(group, first, group.awaitLeader(), registration(first));
    expect(reply.incarnation).toBeGreaterThan(0);
    expect(reply.revision).toBe(2);
    group.runUntil(() => [...group.drivers.values()].every(({ machine }) => machine.incarnation === reply.incarnation));
    group.crash(group.awaitLeader());
    const later = ask<'pd.workerRegistered'>(group, second, group.awaitLeader(), registration(second));
    expect([later.incarnation, later.revision]).toEqual([reply.incarnation, 3]);
    const fresh = new PlacementGroup(32);
    const other = ask<'pd.workerRegistered'>(fresh, first, fresh.awaitLeader(), registration(first));
    expect(other.incarnation).not.toBe(reply.incarnation);
  });

  test('followers name the leader and do nothing', () => {
    const group = new PlacementGroup(1);
    const leader = group.awaitLeader();
    for (const node of driverNodes) {
      if (node === leader) continue;
      const reply = ask<'pd.workerRegistered'>(group, 'machine-1', node, registration('machine-1'));
      expect(reply.failure).toMatchObject({ code: 'NOT_LEADER', leader });
      const status = ask<'pd.statusReply'>(group, 'machine-1', node, { kind: 'pd.status', request: 2 });
      expect(status.failure).toMatchObject({ code: 'NOT_LEADER', leader });
    }
    expect(group.drivers.get(leader)?.machine.workerIds()).toEqual([]);
    const status = ask<'pd.statusReply'>(group, 'machine-1', leader, { kind: 'pd.status', request: 3 });
    expect(status).toMatchObject({ failure: null, leader: driverNodes.indexOf(leader) + 1 });
  });

  test('bad requests are refused before the log, foreign ones altogether', () => {
    const group = new PlacementGroup(2);
    register(group);
    const leader = group.awaitLeader();
    const before = group.agreedState();
    const askLeader = <K extends Message['kind']>(message: Message): MessageOf<K> =>
      ask<K>(group, 'machine-1', leader, message);
    const bad = { ...creation('c', 0), kind: 'pd.createCollection', request: 1, storage: defaultStorage } as const;
    expect(askLeader<'pd.collectionCreated'>(bad).failure).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'shard_count',
    });
    const five = { ...creation('c', 1, 5), kind: 'pd.createCollection', request: 1, storage: defaultStorage } as const;
    expect(askLeader<'pd.collectionCreated'>(five).failure).toMatchObject({ code: 'FAILED_PRECONDITION' });
    const deletion = { kind: 'pd.deleteCollection', request: 1, name: 'none' } as const;
    expect(askLeader<'pd.collectionDeleted'>(deletion).failure).toMatchObject({ code: 'NOT_FOUND' });
    const watch = { kind: 'pd.watch', request: 1, cluster, worker: workerId(1), fromRevision: revision(0) } as const;
    expect(askLeader<'pd.watchEvent'>(watch).failure).toBeNull();
    const refusedWatches: [string, object][] = [
      ['FAILED_PRECONDITION', { cluster: clusterId('other') }],
      ['FAILED_PRECONDITION', { fromRevision: revision(99) }],
      ['FAILED_PRECONDITION', { worker: workerId(2) }],
      ['NOT_FOUND', { worker: workerId(9) }],
    ];
    for (const [code, change] of refusedWatches) {
      expect(askLeader<'pd.watchEvent'>({ ...watch, ...change }).failure).toMatchObject({ code });
    }
    const impostor = { ...registration('machine-2'), request: 5 } as Message;
    expect(askLeader<'pd.workerRegistered'>(impostor).failure).toMatchObject({ code: 'FAILED_PRECONDITION' });
    const swapped = { ...registration('machine-1'), worker: workerId(1), storeIncarnation: 'b' } as Message;
    expect(askLeader<'pd.workerRegistered'>(swapped).failure).toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(group.agreedState()).toEqual(before);
  });

  test.each(seeds)(
    'committed creations survive crashes of leaders, and watches go on without a gap (seed %i)',
    (seed) => {
      const random = new Prng(seed);
      const group = new PlacementGroup(seed);
      register(group);
      const gateway = group.spawnGateway('gateway-1');
      group.runUntil(() => gateway.changes.length > 0);
      const created: string[] = [];
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 4; i++) {
          const name = `c${round}-${i}`;
          const outcomes = gateway.create(group, 'gateway-1', name, random.between(1, 6));
          if (i === 3) group.nodes.run(random.between(0, 5));
          else group.runUntil(() => outcomes.length > 0);
          if (outcomes[0]?.ok === true) created.push(name);
          if (i === 3) group.crash(group.awaitLeader());
        }
        const crashed = driverNodes.find((node) => !group.drivers.has(node));
        assert(crashed !== undefined, 'a crashed node');
        if (random.chance(0.5)) group.awaitLeader();
        group.boot(crashed);
        group.awaitLeader();
      }
      group.agreedState();
      group.runUntil(() => gateway.client.revision === group.drivers.get(group.awaitLeader())?.machine.revision);
      const whole = group.drivers.get(group.awaitLeader())?.machine.changesSince(revision(0), workerId(0));
      assert(whole !== undefined, 'the whole truth');
      expect(created.length).toBeGreaterThanOrEqual(15);
      expect(whole.collections.map((collection) => collection.name)).toEqual(expect.arrayContaining(created));
      expect([...gateway.shards].sort((a, b) => a - b)).toEqual(whole.shards.map((shard) => shard.id));
      const replicas = whole.shards.flatMap((shard) => shard.members.map((member) => member.replica));
      expect(new Set(replicas).size).toBe(replicas.length);
      expect(gateway.changes.filter((change) => change.full)).toHaveLength(1);
      for (const [i, change] of gateway.changes.entries()) {
        expect(change.fromRevision).toBeLessThanOrEqual(gateway.changes[i - 1]?.revision ?? 0);
      }
    },
  );

  test('a member that was away for long is brought up by snapshot', () => {
    const group = new PlacementGroup(3, 1_024);
    register(group);
    const leader = group.awaitLeader();
    const away = driverNodes.find((node) => node !== leader);
    assert(away !== undefined, 'a follower');
    group.crash(away);
    const gateway = group.spawnGateway('gateway-1');
    for (let i = 0; i < 40; i++) {
      const outcomes = gateway.create(group, 'gateway-1', `c${i}`, 3);
      group.runUntil(() => outcomes[0]?.ok === true);
    }
    group.boot(away);
    group.agreedState();
    group.runUntil(() => group.drivers.get(away)?.machine.changesSince(revision(0), workerId(0)).shards.length === 120);
    expect(group.drivers.get(away)?.failedReason).toBeNull();
  });

  test('a leader cut off answers nobody, and what it was asked has an unknown end', () => {
    const group = new PlacementGroup(4);
    register(group);
    const old = group.awaitLeader();
    const gateway = group.spawnGateway('gateway-1');
    group.runUntil(() => gateway.changes.length > 0);
    const isDriver = (node: string): boolean => driverNodes.includes(nodeName(node));
    let cut = true;
    group.nodes.lose = (to, from) =>
      cut && isDriver(to.node) && isDriver(from.node) && (to.node === old || from.node === old);
    const outcomes = gateway.create(group, 'gateway-1', 'lost');
    group.runUntil(() => outcomes.length > 0);
    expect(outcomes[0]).toMatchObject({ ok: false, error: { code: 'OUTCOME_UNKNOWN', retry: 'unsure' } });
    group.runUntil(() => group.leader !== null && group.leader !== old);
    expect(group.drivers.get(old)?.isServing).toBe(false);
    const again = gateway.create(group, 'gateway-1', 'found');
    group.runUntil(() => again.length > 0);
    expect(again[0]).toMatchObject({ ok: true });
    cut = false;
    group.agreedState();
    const names = group.drivers.get(old)?.machine.changesSince(revision(0), workerId(0)).collections;
    expect(names?.map((collection) => collection.name)).toEqual(['found']);
  });

  test('a leader that could not apply an entry of its own term answers nobody', () => {
    const group = new PlacementGroup(9);
    let cut = true;
    group.nodes.lose = (_to, _from, message) =>
      cut && message.kind === 'peer.raft' && message.message.kind === 'appendResponse';
    const isLed = (): boolean => {
      const statuses = driverNodes.map((node) =>
        ask<'pd.statusReply'>(group, 'machine-1', node, { kind: 'pd.status', request: 1 }),
      );
      for (const { failure } of statuses) expect(failure).not.toBeNull();
      return statuses.some(({ failure }) => failure?.code === 'UNAVAILABLE');
    };
    group.runUntil(isLed);
    cut = false;
    register(group);
  });

  test('a worker that is silent gets no replicas', () => {
    const group = new PlacementGroup(5);
    register(group);
    const gateway = group.spawnGateway('gateway-1');
    group.runUntil(() => gateway.changes.length > 0);
    group.nodes.run(31_000);
    const outcomes = gateway.create(group, 'gateway-1', 'c');
    group.runUntil(() => outcomes.length > 0);
    expect(outcomes[0]).toMatchObject({ ok: false, error: { code: 'RESOURCE_EXHAUSTED' } });
    for (const [i, node] of workerNodes.entries()) {
      const about = { cluster, worker: workerId(i + 1), replicas: [], removed: [] };
      const reply = ask<'pd.heartbeatReply'>(group, node, group.awaitLeader(), {
        kind: 'pd.heartbeat',
        request: 1,
        ...about,
      });
      expect(reply.failure).toBeNull();
    }
    const again = gateway.create(group, 'gateway-1', 'c');
    group.runUntil(() => again[0]?.ok === true);
  });

  test('a watcher that does not renew is dropped', () => {
    const group = new PlacementGroup(6);
    register(group);
    const asker = new Asker();
    group.nodes.spawn('gateway-9', 'asker', asker);
    const leader = group.awaitLeader();
    const watch = { kind: 'pd.watch', request: 1, cluster, worker: workerId(0), fromRevision: revision(0) } as const;
    group.nodes
      .host('gateway-9')
      .perform('asker', (context) => context.send(at(leader, placementActor), watch, lanes.data));
    group.runUntil(() => asker.heard.length === 1);
    const gateway = group.spawnGateway('gateway-1');
    const first = gateway.create(group, 'gateway-1', 'c1');
    group.runUntil(() => first[0]?.ok === true && asker.heard.length >= 2);
    group.nodes.run(12_000);
    const heard = asker.heard.length;
    const second = gateway.create(group, 'gateway-1', 'c2');
    group.runUntil(() => second[0]?.ok === true);
    group.nodes.run(1_000);
    expect(asker.heard).toHaveLength(heard);
  });

  test('with supervisors: assigned, led, hinted to gateways, deleted down to the last replica', () => {
    const group = new PlacementGroup(8);
    const running = workerNodes.map((node) => spawnWorker(group, node));
    const gateway = group.spawnGateway('gateway-1');
    group.runUntil(() => gateway.changes.at(-1)?.revision === 4);
    const creating = gateway.create(group, 'gateway-1', 'c', 4);
    group.runUntil(() => creating[0]?.ok === true && running.every((replicas) => replicas.size === 4));
    group.runUntil(() => new Set(gateway.hints.map((hint) => hint.shard)).size === 4);
    group.crash(group.awaitLeader());
    group.runUntil(() => gateway.client.leader !== null && gateway.client.leader === group.leader);
    const deletion = { kind: 'pd.deleteCollection', request: 0, name: 'c' } as const;
    const deleting = gateway.call(group, 'gateway-1', deletion);
    group.runUntil(() => deleting[0]?.ok === true && running.every((replicas) => replicas.size === 0));
    const isToRemove = (): boolean => {
      const machine = group.drivers.get(group.awaitLeader())?.machine;
      return [1, 2, 3].some((worker) => machine?.isToRemove(workerId(worker), replicaId(99 + worker)) === true);
    };
    group.runUntil(() => !isToRemove());
    expect(
      group.drivers
        .get(group.awaitLeader())
        ?.machine.rows()
        .some((row) => row.kind === 'removal'),
    ).toBe(false);
    expect(gateway.shards.size).toBe(0);
  });
});
