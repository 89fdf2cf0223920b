import { describe, expect, it } from '@jest/globals';
import { type NodeName, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { at, lanes, replicaActor } from '../../src/protocol/envelope';
import { type FlagRange, flagRange, flags } from '../../src/protocol/flags';
import { quarantineReason } from '../../src/shard/quarantine';
import { pointOf, upsert } from '../shard/shard-helpers';
import { ReplicaGroup, smallWindow } from './replica-group';

const newest = flags.length;
const old: FlagRange = { oldest: 0, newest: 0 };
const random = new Prng(60);

/** As the placement driver orders it. */
function raise(group: ReplicaGroup, node: NodeName, level: number, driverTerm = 1): void {
  const { spec } = group.machine(node);
  const order = { request: 7, shard: spec.shard.id, term: term(driverTerm), level };
  const from = at(node, 'pd');
  const to = at(node, replicaActor(spec.replica));
  group.nodes.host(node).deliver(to, from, { kind: 'level.raise', ...order }, lanes.completion);
}

const levelOf = (group: ReplicaGroup, node: NodeName): number | undefined => group.machine(node).actor.machine?.level;

describe('a shard that is told to raise its level', () => {
  it('does so on all replicas by an entry of its log, and only if its leader is told', () => {
    const group = new ReplicaGroup(60);
    const leader = group.awaitLeader();
    raise(group, group.follower(), newest);
    group.nodes.run(2_000);
    expect(levelOf(group, leader)).toBe(0);
    raise(group, leader, newest);
    group.awaitAgreement();
    group.runUntil(() => [...group.machines.keys()].every((node) => levelOf(group, node) === newest));
    const applied = group.machine(leader).actor.machine?.appliedIndex;
    raise(group, leader, newest);
    group.nodes.run(2_000);
    expect(group.machine(leader).actor.machine?.appliedIndex).toBe(applied);
  });

  it('does not obey a former driver', () => {
    const group = new ReplicaGroup(61);
    const leader = group.awaitLeader();
    raise(group, leader, 0, 5);
    raise(group, leader, newest, 4);
    group.nodes.run(2_000);
    expect(levelOf(group, leader)).toBe(0);
  });
});

describe('a replica whose program does not know the level of its shard', () => {
  it.each([
    ['its log', {}],
    ['a snapshot', smallWindow(500)],
  ])('stops when it hears of it by %s, loudly and without a mark, and goes on under a later program', (_, options) => {
    const group = new ReplicaGroup(62, options, (node) => (node === 'machine-3' ? old : flagRange));
    group.awaitLeader();
    const victim = 'machine-3' as NodeName;
    group.crash(victim);
    const leader = group.awaitLeader();
    raise(group, leader, newest);
    for (let n = 0; n < 30; n++) group.write(leader, upsert(pointOf(`p${n}`, random, 60)));
    group.boot(victim);
    group.runUntil(() => group.machine(victim).actor.failure !== null);
    expect(group.machine(victim).actor.failure).toMatch(/this program supports 0 to 0/);
    expect(group.get(victim, ['p1'], 'eventual').failure?.code).toBe('UNSUPPORTED_VERSION');
    expect(group.faultsOf(victim)).toEqual(
      expect.arrayContaining([expect.objectContaining({ fault: expect.objectContaining({ state: 'outdated' }) })]),
    );
    expect(quarantineReason(group.machine(victim).disk.state, group.machine(victim).spec.replica)).toBeNull();
    group.write(leader, upsert(pointOf('meanwhile', random)));

    group.rangeOf = () => flagRange;
    group.restartActor(victim);
    group.awaitAgreement();
    expect(levelOf(group, victim)).toBe(newest);
  });

  it('does not open what a later program has left', () => {
    const group = new ReplicaGroup(63);
    raise(group, group.awaitLeader(), newest);
    group.runUntil(() => [...group.machines.keys()].every((node) => levelOf(group, node) === newest));
    group.nodes.run(2_000);
    const victim = group.follower();
    group.rangeOf = () => old;
    group.restartActor(victim);
    group.nodes.run(1_000);
    expect(group.machine(victim).actor.failure).toMatch(/at level \d+; this program supports 0 to 0/);
    expect(group.get(victim, ['a'], 'eventual').failure?.code).toBe('UNSUPPORTED_VERSION');
  });
});
