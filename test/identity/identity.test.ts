import { describe, expect, it } from '@jest/globals';
import {
  type ClusterId,
  clusterId,
  logIndex,
  nodeName,
  replicaId,
  revision,
  shardId,
  term,
  workerId,
} from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { PlacementMachine } from '../../src/placement/machine';
import { encode } from '../../src/protocol/codec';
import { commandLevels, plainWrite, type ShardCommand, shardCommandCodec } from '../../src/protocol/commands';
import { at, lanes, logActor, placementActor } from '../../src/protocol/envelope';
import type { Message, MessageOf } from '../../src/protocol/messages';
import { configurationChangeCodec } from '../../src/protocol/raft-messages';
import { emptySchema } from '../../src/protocol/schemas';
import type { Actor } from '../../src/runtime/actor';
import { MemoryStore } from '../../src/storage/memory-store';
import { cluster, PlacementGroup } from '../actors/placement-group';
import { heartbeat, MemberBench } from '../actors/raft-member-doubles';
import { ReplicaGroup } from '../actors/replica-group';
import { creation, commandOf as placementCommandOf, register } from '../placement/generate';
import { configuration, entryOf, epoch, machineOf, pointOf, upsert } from '../shard/shard-helpers';

const other = clusterId('other');
const random = new Prng(70);

/** The answers of the placement driver's leader to what a node says, one after the other. */
function answersTo(group: PlacementGroup, node: string, messages: readonly Message[]): Message[] {
  const heard: Message[] = [];
  const asker: Actor = {
    started: () => undefined,
    receive: (message) => void heard.push(message),
    signalled: () => undefined,
    stopped: () => undefined,
  };
  group.nodes.spawn(node, 'asker', asker);
  for (const message of messages) {
    const count = heard.length;
    const to = at(group.awaitLeader(), placementActor);
    group.nodes.host(node).perform('asker', (context) => context.send(to, message, lanes.data));
    group.runUntil(() => heard.length > count);
  }
  group.nodes.host(node).stop('asker', 'answered');
  return heard;
}

const registration = (from: string, storeIncarnation: string, worker = 0, of: ClusterId = cluster): Message => ({
  kind: 'pd.registerWorker',
  request: 1,
  cluster: of,
  node: nodeName(from),
  address: '',
  zone: '',
  rack: '',
  storeIncarnation,
  worker: workerId(worker),
});

describe('another cluster', () => {
  const group = { cluster: other, shard: shardId(7), epoch, from: replicaId(12), to: replicaId(11) };
  const meta = { index: logIndex(9), term: term(9), configuration };
  const chunk = { stream: 1, chunk: 0, last: 1, checksum: 0, data: new Uint8Array(0) };
  const peers: Message[] = [
    { kind: 'peer.raft', ...group, message: heartbeat(1) },
    { kind: 'peer.snapshotChunk', ...group, meta, ...chunk },
    { kind: 'peer.checksum', ...group, index: logIndex(1), checksum: 1n, answer: false },
    { kind: 'peer.snapshotProgress', ...group, stream: 1, received: 1, durable: 1, state: 'installed' },
    { kind: 'peer.sleep', ...group, step: 'sleep', term: term(1), index: logIndex(1), life: 1 },
  ];

  it.each(peers.map((message) => [message.kind, message] as const))('%s: is not heard by a member', (_, message) => {
    const bench = new MemberBench().open();
    const sent = bench.context.sent.length;
    expect(bench.member.handle(message, bench.context)).toBe(true);
    expect([bench.member.foreignCount, bench.core.stepped, bench.context.sent.length]).toEqual([1, [], sent]);
  });

  it('is refused whatever it asks the placement driver, and changes nothing', () => {
    const driver = new PlacementGroup(71);
    answersTo(driver, 'machine-1', [registration('machine-1', 'a')]);
    driver.nodes.run(3_000);
    const before = driver.agreedState();
    const about = { request: 2, cluster: other, worker: workerId(1) };
    const where = { request: 2, cluster: other, shard: shardId(1), replica: replicaId(100) };
    const answers = answersTo(driver, 'machine-1', [
      registration('machine-1', 'b', 0, other),
      { kind: 'pd.heartbeat', ...about, replicas: [], removed: [] },
      { kind: 'pd.replicaFaults', ...about, faults: [] },
      { kind: 'pd.support', ...about, range: { oldest: 0, newest: 99 } },
      { kind: 'pd.watch', ...about, fromRevision: revision(0) },
      { kind: 'pd.moveReplica', ...where, target: workerId(0) },
      { kind: 'pd.transferLeader', ...where },
    ]);
    expect(answers.map((answer) => ('failure' in answer ? answer.failure?.message : ''))).toEqual(
      answers.map(() => 'this is cluster test, not other'),
    );
    expect(driver.agreedState()).toEqual(before);
  });
});

describe('a wiped disk', () => {
  const worker = (answer: Message | undefined) => answer as MessageOf<'pd.workerRegistered'>;

  it('is refused under the worker id of the store that was there, and gets one of its own', () => {
    const group = new PlacementGroup(72);
    const [first, stolen, fresh, again] = answersTo(group, 'machine-1', [
      registration('machine-1', 'a'),
      registration('machine-1', 'b', 1),
      registration('machine-1', 'b'),
      registration('machine-1', 'b', 2),
    ]).map(worker);
    expect([first?.worker, fresh?.worker, again?.worker]).toEqual([1, 2, 2]);
    expect(stolen?.failure).toMatchObject({ code: 'FAILED_PRECONDITION' });
    const { machine } = group.drivers.get(group.awaitLeader()) ?? {};
    expect([machine?.worker(workerId(1))?.state, machine?.worker(workerId(2))?.state]).toEqual(['draining', 'ready']);
  });

  it('is never given what the lost store had: its places go to new replica ids, also on the same machine', () => {
    const machine = PlacementMachine.fresh(cluster);
    const apply = (operation: Parameters<typeof placementCommandOf>[0]) => machine.apply(placementCommandOf(operation));
    for (const node of ['machine-1', 'machine-2', 'machine-3']) apply(register(node, { store: 'a' }));
    apply(creation('things', 3));
    const lost = machine.shards().flatMap(({ members }) => members.filter((member) => member.worker === 1));
    apply(register('machine-1', { store: 'b' }));
    for (const { id, members } of machine.shards()) {
      const gone = members.find((member) => member.worker === 1);
      apply({ kind: 'moveReplica', shard: id, replica: gone?.replica ?? replicaId(0), target: workerId(0), avoid: [] });
    }
    const fresh = machine.changesSince(revision(0), workerId(4)).shards.flatMap(({ members }) => members);
    const mine = fresh.filter((member) => member.worker === 4).map(({ replica }) => replica);
    expect(mine).toHaveLength(3);
    for (const { replica } of lost) expect(mine).not.toContain(replica);
  });
});

describe('an older epoch', () => {
  const before = { version: 1, confVersion: 1 };
  const write = { timeMs: 1, operation: upsert(pointOf('a', random)) };
  const stale: ShardCommand[] = [
    { kind: 'v1', epoch: before, ...write },
    { kind: 'v2', epoch: before, ...write, options: plainWrite },
    { kind: 'checksum', epoch: before },
    { kind: 'raise', epoch: before, level: 1 },
    { kind: 'schema', epoch: before, schema: { ...emptySchema, revision: 1 } },
    { kind: 'mortalSchema', epoch: before, schema: { ...emptySchema, revision: 1, ttlMs: 1 } },
    { kind: 'expire', epoch: before, timeMs: 1, ids: ['a'] },
  ];

  it('is tried with every kind of command there is', () => {
    expect(stale.map(({ kind }) => kind).sort()).toEqual(Object.keys(commandLevels).sort());
  });

  it.each(stale.map((command) => [command.kind, command] as const))(
    '%s: proposed under it and applied after it has no effect',
    (_, command) => {
      const machine = machineOf(new MemoryStore(), undefined, { epoch: { version: 2, confVersion: 1 } });
      const digest = machine.digest();
      machine.apply([entryOf(1, encode(shardCommandCodec, command))]);
      expect(machine.outcomeOf(logIndex(1))).toMatchObject({ ok: false, code: 'STALE_SHARD' });
      expect([machine.digest(), machine.level, machine.checksumNotes]).toEqual([digest, 0, []]);
    },
  );

  it('of members alone does not undo a write that they overtook, on any replica', () => {
    const change = encode(configurationChangeCodec, { kind: 'v1', configuration, context: new Uint8Array(0) });
    const data = encode(shardCommandCodec, { kind: 'v1', epoch: before, ...write });
    const entries = [entryOf(1, change, 'config'), entryOf(2, data)];
    const states = [1, 2].map((cut) => {
      const machine = machineOf(new MemoryStore());
      for (let from = 0; from < 2; from += cut) machine.apply(entries.slice(from, from + cut));
      return [machine.digest(), machine.points, machine.epoch];
    });
    expect(states[0]).toEqual(states[1]);
    expect(states[0]?.slice(1)).toEqual([1, { version: 1, confVersion: 2 }]);
  });

  it('in an order to change members is refused, and the members stay', () => {
    const group = new ReplicaGroup(73);
    const leader = group.awaitLeader();
    const order = { term: term(1), confVersion: 0, voters: [replicaId(11)], learners: [], members: [] };
    const state = group.ask(leader, 'members.state', ({ request, shard }) => ({
      kind: 'members.change',
      request,
      shard,
      ...order,
    }));
    expect(state.failure).toMatchObject({ code: 'FAILED_PRECONDITION', message: 'confVersion is 1, not 0' });
    expect(group.machine(leader).actor.machine?.configuration.voters).toHaveLength(3);
  });
});

describe('a removed replica', () => {
  it('that wakes up says nothing, answers nobody, and the others never hear of it', () => {
    const group = new ReplicaGroup(74);
    group.awaitLeader();
    const victim = group.follower();
    const { replica } = group.machine(victim).spec;
    group.nodes.host(victim).stop(`replica/${replica}`, 'removed');
    const log = at(victim, logActor);
    group.nodes.host(victim).deliver(log, at(victim, 'supervisor'), { kind: 'log.remove', replica }, lanes.completion);
    group.nodes.run(1_000);

    const said: Message[] = [];
    group.nodes.lose = (to, from, message) => {
      if (from.node === victim && to.node !== victim) said.push(message);
      return false;
    };
    const termBefore = group.machine(group.awaitLeader()).actor.member?.term;
    group.restartActor(victim);
    group.nodes.run(30_000);
    expect(said.filter(({ kind }) => kind.startsWith('peer.'))).toEqual([]);
    expect(group.machine(group.awaitLeader()).actor.member?.term).toBe(termBefore);
  });
});
