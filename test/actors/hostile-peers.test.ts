import { describe, expect, it } from '@jest/globals';
import { ReplicaBook } from '../../src/actors/replica-members';
import { present } from '../../src/base/assert';
import type { NodeName } from '../../src/base/ids';
import { logIndex, nodeName, replicaId, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { at, lanes, replicaActor } from '../../src/protocol/envelope';
import { epoch, replicaSpecs } from '../shard/shard-helpers';
import { HostileMessages, type Truth } from './hostile-messages';
import { ReplicaGroup } from './replica-group';
import { expectEverywhere, writeMany } from './replica-writes';

const messagesPerRound = 1_000;

/** Things in maps, sets and lists, and bytes, that can be reached from `root` but not through `outside`. */
function weightOf(root: object, outside: readonly unknown[]): number {
  const seen = new Set<unknown>(outside);
  const waiting: unknown[] = [root];
  let weight = 0;
  while (waiting.length > 0) {
    const one = waiting.pop();
    if (typeof one !== 'object' || one === null || seen.has(one)) continue;
    seen.add(one);
    if (ArrayBuffer.isView(one)) weight += one.byteLength / 1_000;
    else if (one instanceof Map || one instanceof Set) {
      weight += one.size;
      for (const inner of one.values()) waiting.push(inner);
    } else {
      if (Array.isArray(one)) weight += one.length;
      waiting.push(...Object.values(one));
    }
  }
  return weight;
}

function truthOf(group: ReplicaGroup, node: NodeName): Truth {
  const { actor, spec } = group.machine(node);
  const raft = present(actor.member?.raft, 'the core of a running member');
  const header = { cluster: spec.cluster, shard: spec.shard.id, epoch, from: spec.replica, to: spec.replica };
  const { term, leader, lastIndex, commitIndex } = raft;
  return { header, group: spec.shard.members.map(({ replica }) => replica), leader, term, lastIndex, commitIndex };
}

/** Sends one member after another what no peer should, and lets time pass between. */
function attack(group: ReplicaGroup, random: Prng): void {
  const nodes = [...group.machines.keys()];
  for (let n = 0; n < messagesPerRound; n++) {
    const victim = random.pick(nodes);
    const { actor, spec } = group.machine(victim);
    if (actor.member?.state !== 'running') {
      group.runUntil(() => actor.member?.state === 'running');
    }
    const hostile = new HostileMessages(random, () => truthOf(group, victim));
    for (const message of random.chance(0.01) ? hostile.burst(1_000) : [hostile.next()]) {
      const sender = spec.shard.members.find(({ replica }) => replica === message.from)?.node ?? nodeName('nowhere');
      const from = at(sender, replicaActor(message.from));
      group.nodes.host(victim).deliver(at(victim, replicaActor(spec.replica)), from, message, lanes.consensus);
    }
    if (random.chance(0.02)) group.nodes.run(random.between(1, 400));
  }
}

describe('a member among hostile peers', () => {
  it.each([1, 2, 3, 4])(
    'never throws, stays bounded, and follows its true leader again, seed %i',
    (seed) => {
      const random = new Prng(seed);
      const group = new ReplicaGroup(seed, { auditMs: 200 });
      const acknowledged = writeMany(group, random, 10, 'before');
      group.awaitAgreement();
      const outside = [...group.machines.values()].flatMap(({ disk, engine }) => [disk, engine, group.nodes]);
      const heaviest = (): number => Math.max(...group.running.map(({ actor }) => weightOf(actor, outside)));
      const before = heaviest();
      let after = 0;
      for (let round = 0; round < 3; round++) {
        attack(group, random);
        group.nodes.run(1);
        for (const { actor } of group.running) expect(actor.failure).toBeNull();
        after = Math.max(after, heaviest());
        for (const id of writeMany(group, random, 3, `round${round}-`)) acknowledged.add(id);
      }
      expect(acknowledged.size).toBe(19);
      expectEverywhere(group, acknowledged);
      const leader = group.machine(group.awaitLeader()).spec.replica;
      group.runUntil(() => group.running.every(({ actor }) => actor.member?.leader === leader));
      expect(after).toBeLessThan(before + 700);
      for (const { actor } of group.running) expect(actor.member?.term).toBeLessThan(2 ** 46);
    },
    60_000,
  );
});

describe('whoever writes under the name of a replica', () => {
  const spec = present(replicaSpecs([11, 12, 13])[0], 'a replica');
  const sleep = { kind: 'peer.sleep', step: 'wake', term: term(1), index: logIndex(1), life: 1 } as const;
  const hear = (book: ReplicaBook, from: number): void => {
    const header = { cluster: spec.cluster, shard: spec.shard.id, epoch, from: replicaId(from), to: spec.replica };
    book.learnSender({ ...sleep, ...header }, at(nodeName('elsewhere'), replicaActor(replicaId(from))));
  };

  it('takes no known place, and is forgotten when there are many', () => {
    const book = new ReplicaBook(spec);
    const known = book.nodeOf(replicaId(12));
    for (let from = 12; from < 1_000; from++) hear(book, from);
    expect(book.nodeOf(replicaId(12))).toBe(known);
    expect(book.nodeOf(replicaId(20))).toBeNull();
    expect(book.nodeOf(replicaId(999))).toBe('elsewhere');
  });
});
