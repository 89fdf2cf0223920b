import { describe, expect, it } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { ReplicaGroup, smallWindow } from './replica-group';
import { expectEverywhere, isLevel, searchOf, writeMany } from './replica-writes';

describe('a replica that was away', () => {
  it.each([6, 7, 8, 9])('brings a replica that was away level by snapshot while writes go on, seed %i', (seed) => {
    const random = new Prng(seed);
    const group = new ReplicaGroup(seed, smallWindow(4_000));
    const acknowledged = writeMany(group, random, 10, 'before');
    const away = group.follower();
    group.crash(away);
    for (const id of writeMany(group, random, 80, 'p')) acknowledged.add(id);
    group.runUntil(() => true, 3_000);
    group.boot(away);
    for (const id of writeMany(group, random, 30, 'q')) acknowledged.add(id);
    expectEverywhere(group, acknowledged);
    expect(group.machine(away).actor.member?.raft?.baseIndex).toBeGreaterThan(60);
    const found = group.ask(away, 'data.found', (header) => ({
      ...searchOf(random, { level: 'eventual' }),
      ...header,
    }));
    expect([found.failure, found.stats.points]).toEqual([null, acknowledged.size]);
  });

  it('installs a snapshot although messages are lost and the receiver crashes in the middle', () => {
    const random = new Prng(10);
    const group = new ReplicaGroup(10, smallWindow(4_000));
    const away = group.follower();
    group.crash(away);
    const acknowledged = writeMany(group, random, 80, 'p');
    let chunks = 0;
    let interrupted = 0;
    group.nodes.lose = (to, _from, message) => {
      if (message.kind === 'peer.snapshotChunk' && to.node === away) chunks++;
      return message.kind.startsWith('peer.') && random.chance(0.15);
    };
    group.boot(away);
    for (let crashes = 0; crashes < 3; crashes++) {
      const seen = chunks;
      group.runUntil(() => chunks > seen + 3 || isLevel(group, away, 80), 120_000);
      if (!isLevel(group, away, 80)) interrupted++;
      group.crash(away);
      group.boot(away);
    }
    group.nodes.lose = () => false;
    expectEverywhere(group, acknowledged);
    expect(chunks).toBeGreaterThan(10);
    expect(interrupted).toBe(3);
  });

  it('takes a snapshot up again where a restart of the receiver, or a cut link, had left it', () => {
    const random = new Prng(13);
    const group = new ReplicaGroup(13, smallWindow(4_000));
    const away = group.follower();
    group.crash(away);
    const acknowledged = writeMany(group, random, 80, 'p');
    const seen: number[] = [];
    let isCut = false;
    group.nodes.lose = (to, _from, message) => {
      if (isCut) return message.kind.startsWith('peer.snapshot');
      if (message.kind === 'peer.snapshotChunk' && to.node === away) seen.push(message.chunk);
      return false;
    };
    group.boot(away);
    group.runUntil(() => seen.length > 5);
    isCut = true;
    group.nodes.run(3_000);
    isCut = false;
    group.runUntil(() => seen.length > 9);
    group.restartActor(away);
    group.runUntil(() => isLevel(group, away, 80));
    expect(group.machine(away).actor.member?.snapshotsResumed).toBe(1);
    expect(seen.filter((chunk) => chunk === 0)).toHaveLength(1);
    expectEverywhere(group, acknowledged);
  });
});
