import { describe, expect, test } from '@jest/globals';
import { PlacementDriverActor } from '../../src/actors/placement-driver';
import type { NodeName, WorkerId } from '../../src/base/ids';
import { replicaId, shardId, workerId } from '../../src/base/ids';
import { type Address, at, lanes, placementActor, replicaActor, supervisorActor } from '../../src/protocol/envelope';
import { type FlagRange, flagRange, flags } from '../../src/protocol/flags';
import type { Message, MessageOf } from '../../src/protocol/messages';
import type { Actor, ActorContext } from '../../src/runtime/actor';
import { cluster, driverNodes, PlacementGroup } from './placement-group';

const newest = flags.length;
const old: FlagRange = { oldest: 0, newest: 0 };

/** A machine's supervisor as far as the driver sees it: it registers, says what it supports, and beats. */
class Worker implements Actor {
  id: WorkerId = workerId(0);

  constructor(
    private readonly group: PlacementGroup,
    private readonly node: string,
    public range: FlagRange,
  ) {}

  started(context: ActorContext): void {
    context.setTimer('beat', 500, { signal: 'timer', key: 'beat' });
  }
  receive(message: Message): void {
    if (message.kind === 'pd.workerRegistered' && message.failure === null) this.id = message.worker;
  }
  signalled(_signal: unknown, context: ActorContext): void {
    context.setTimer('beat', 500, { signal: 'timer', key: 'beat' });
    const { leader } = this.group;
    if (leader === null) return;
    const to = at(leader, placementActor);
    const { id: worker, range, node } = this;
    const about = { cluster, node, address: '', zone: '', rack: '', storeIncarnation: `store of ${node}` };
    if (worker === 0) context.send(to, { kind: 'pd.registerWorker', request: 1, worker, ...about }, lanes.data);
    else {
      context.send(to, { kind: 'pd.heartbeat', request: 2, cluster, worker, replicas: [], removed: [] }, lanes.data);
      context.send(to, { kind: 'pd.support', request: 3, cluster, worker, range }, lanes.data);
    }
  }
  stopped(): void {
    // Holds nothing.
  }
}

/** A replica that leads, obeys and remembers what it was ordered. */
class Leader implements Actor {
  level = 0;
  readonly orders: MessageOf<'level.raise'>[] = [];
  constructor(private readonly replica: number) {}
  started(): void {
    // Waits for orders.
  }
  receive(message: Message, from: Address, context: ActorContext): void {
    if (message.kind !== 'level.raise') return;
    this.orders.push(message);
    const replica = replicaId(this.replica);
    const { request, shard } = message;
    const state = { request, failure: null, shard, replica, leader: replica, level: this.level };
    context.send(from, { kind: 'level.state', ...state }, lanes.completion);
    this.level = message.level;
  }
  signalled(): void {
    // No timers.
  }
  stopped(): void {
    // Holds nothing.
  }
}

function withWorkers(seed: number, ranges: readonly FlagRange[], drivers: readonly FlagRange[] = []) {
  const group = new PlacementGroup(seed, 4_096, (node) => drivers[driverNodes.indexOf(node)] ?? flagRange);
  const workers = ranges.map((range, n) => new Worker(group, `machine-${n + 1}`, range));
  for (const [n, worker] of workers.entries()) group.nodes.spawn(`machine-${n + 1}`, supervisorActor, worker);
  group.runUntil(() => workers.every(({ id }) => id !== 0));
  return { group, workers };
}

const levels = ({ drivers }: PlacementGroup): number[] => [...drivers.values()].map(({ machine }) => machine.level);

function createOne(group: PlacementGroup): void {
  const gateway = group.spawnGateway('gateway-1');
  const created = gateway.create(group, 'gateway-1', 'things');
  group.runUntil(() => created[0] !== undefined);
  expect(created[0]?.ok).toBe(true);
}

function upgradeDriver(group: PlacementGroup, node: NodeName): void {
  group.rangeOf = () => flagRange;
  group.crash(node);
  group.boot(node);
}

describe('flags of a cluster', () => {
  test('are switched on once every node of the driver and every worker has said that it knows them', () => {
    const { group } = withWorkers(1, [flagRange, flagRange, flagRange]);
    group.runUntil(() => levels(group).every((level) => level === newest));
    group.agreedState();
  });

  test('stay off in a cluster without workers', () => {
    const group = new PlacementGroup(2);
    group.awaitLeader();
    group.nodes.run(10_000);
    expect(levels(group)).toEqual([0, 0, 0]);
  });

  test('stay off while one worker does not know them, and come on when it does', () => {
    const { group, workers } = withWorkers(3, [flagRange, flagRange, old]);
    createOne(group);
    group.nodes.run(15_000);
    expect(levels(group)).toEqual([0, 0, 0]);
    (workers[2] as Worker).range = flagRange;
    group.runUntil(() => levels(group).every((level) => level === newest));
  });

  test('stay off while one node of the driver does not know them, whoever leads', () => {
    const { group } = withWorkers(4, [flagRange, flagRange, flagRange], [flagRange, flagRange, old]);
    group.nodes.run(15_000);
    expect(levels(group)).toEqual([0, 0, 0]);
    upgradeDriver(group, driverNodes[2] as NodeName);
    group.runUntil(() => levels(group).length === 3 && levels(group).every((level) => level === newest));
  });

  test('nothing of them is in the log while a node of the driver has said nothing', () => {
    const { group } = withWorkers(5, []);
    group.crash(driverNodes.find((node) => node !== group.awaitLeader()) as NodeName);
    const fresh = new Worker(group, 'machine-1', flagRange);
    group.nodes.spawn('machine-1', supervisorActor, fresh);
    group.runUntil(() => fresh.id !== 0);
    group.nodes.run(10_000);
    for (const { machine } of group.drivers.values()) expect(machine.levels.worker(fresh.id)).toBeNull();
  });

  test('a worker that does not know the level gets no replicas', () => {
    const { group } = withWorkers(6, [flagRange, flagRange, flagRange]);
    group.runUntil(() => levels(group).every((level) => level === newest));
    const late = new Worker(group, 'machine-0', old);
    group.nodes.spawn('machine-0', supervisorActor, late);
    group.runUntil(() => late.id !== 0);
    for (let n = 0; n < 3; n++) {
      const gateway = group.spawnGateway(`gateway-${n}`);
      const created = gateway.create(group, `gateway-${n}`, `c${n}`);
      group.runUntil(() => created[0]?.ok === true);
    }
    const shards = group.drivers.get(group.awaitLeader())?.machine.shards() ?? [];
    expect(shards).toHaveLength(3);
    expect(shards.flatMap(({ members }) => members).some(({ worker }) => worker === late.id)).toBe(false);
  });

  test('are switched on in each shard by an order to its leader, until it has applied it, and not again', () => {
    const { group } = withWorkers(7, [flagRange, flagRange, flagRange]);
    createOne(group);
    const [shard] = group.drivers.get(group.awaitLeader())?.machine.shards() ?? [];
    const leaders = (shard?.members ?? []).map(({ replica, node }) => {
      const leader = new Leader(replica);
      group.nodes.spawn(node, replicaActor(replica), leader);
      return leader;
    });
    const driver = (): PlacementDriverActor | undefined => group.drivers.get(group.awaitLeader());
    group.runUntil(() => driver()?.flags.levelOf(shardId(shard?.id ?? 0)) === newest);
    const orders = leaders.flatMap((leader) => leader.orders);
    expect(orders.every(({ level }) => level === newest)).toBe(true);
    const count = orders.length;
    group.nodes.run(10_000);
    expect(leaders.flatMap((leader) => leader.orders)).toHaveLength(count);
  });

  test('a node that cannot run the level of its records falls silent and says why', () => {
    const { group } = withWorkers(8, [flagRange, flagRange, flagRange]);
    group.runUntil(() => levels(group).every((level) => level === newest));
    const victim = driverNodes.find((node) => node !== group.awaitLeader()) as NodeName;
    group.rangeOf = (node) => (node === victim ? old : flagRange);
    group.crash(victim);
    group.boot(victim);
    group.nodes.run(5_000);
    expect(group.drivers.get(victim)?.failedReason).toMatch(/^outdated: .*level \d+; this program supports 0 to 0/);
    createOne(group);
  });

  test('can be asked for', () => {
    const { group } = withWorkers(9, [flagRange, flagRange, old]);
    group.nodes.run(10_000);
    const replies: MessageOf<'pd.flagsReply'>[] = [];
    const leader = group.awaitLeader();
    const asker: Actor = {
      started: (context) => context.send(at(leader, placementActor), { kind: 'pd.flags', request: 5 }, lanes.data),
      receive: (message) => {
        if (message.kind === 'pd.flagsReply') replies.push(message);
      },
      signalled: () => undefined,
      stopped: () => undefined,
    };
    group.nodes.spawn('asker', 'asker', asker);
    group.runUntil(() => replies.length === 1);
    expect(replies[0]).toMatchObject({ failure: null, level: 0, shards: [] });
    const ranges = new Map(replies[0]?.nodes.map(({ name, range }) => [name as string, range]));
    expect([ranges.get('pd-1'), ranges.get('machine-1'), ranges.get('machine-3')]).toEqual([flagRange, flagRange, old]);
  });
});
