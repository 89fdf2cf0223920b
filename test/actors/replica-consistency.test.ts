import { describe, expect, it } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { plainWrite } from '../../src/protocol/commands';
import type { MessageOf } from '../../src/protocol/messages';
import { pointOf, upsert } from '../shard/shard-helpers';
import { ReplicaGroup } from './replica-group';

describe('how fresh a read is', () => {
  it('a token is waited for by a replica that is behind, and refused at the deadline if it does not come', () => {
    const random = new Prng(31);
    const group = new ReplicaGroup(31);
    const leader = group.awaitLeader();
    const away = group.follower();
    group.write(leader, upsert(pointOf('old', random)));
    group.awaitAgreement();
    group.nodes.lose = (to, from) => (to.node === away) !== (from.node === away) && from.node !== 'client';
    const { index } = group.write(leader, upsert(pointOf('new', random)));
    const session = { ids: ['new'], level: 'session' as const, minIndex: index, stalenessMs: 0 };
    const waiting = group.send(away, (header) => ({ kind: 'data.get', ...header, ...session, timeoutMs: 60_000 }));
    const late = group.send(away, (header) => ({ kind: 'data.get', ...header, ...session, timeoutMs: 100 }));
    group.runUntil(() => group.machine(away).actor.machine?.get(['new']).length === 0, 1_000);
    expect(group.machine(away).actor.machine?.get(['new'])).toEqual([]);
    group.nodes.lose = () => false;
    group.runUntil(() => group.answersTo(waiting).length > 0 && group.answersTo(late).length > 0);
    const [answer] = group.answersTo(waiting) as MessageOf<'data.got'>[];
    expect([answer?.failure, answer?.points.map(({ id }) => id)]).toEqual([null, ['new']]);
    expect(answer?.appliedIndex).toBeGreaterThanOrEqual(index);
    expect(group.get(away, ['new'], 'session', { minIndex: index }).points).toHaveLength(1);
  });

  it('a replica serves within its bound from what it has proven, and not beyond', () => {
    const random = new Prng(32);
    const group = new ReplicaGroup(32);
    const leader = group.awaitLeader();
    const away = group.follower();
    group.write(leader, upsert(pointOf('old', random)));
    const first = group.get(away, ['old', 'new'], 'bounded', { stalenessMs: 5_000 });
    expect([first.failure, first.points.length]).toEqual([null, 1]);
    expect(first.ageMs).toBeLessThan(1_000);
    group.nodes.lose = (to, from) =>
      (to.node === away) !== (from.node === away) && from.node !== 'client' && to.node !== 'client';
    group.write(leader, upsert(pointOf('new', random)));
    const stale = group.get(away, ['old', 'new'], 'bounded', { stalenessMs: 30_000 });
    expect([stale.failure, stale.points.map(({ id }) => id)]).toEqual([null, ['old']]);
    const strict = group.get(away, ['old', 'new'], 'bounded', { stalenessMs: 1 });
    expect(strict.failure?.code).toMatch(/NOT_LEADER|DEADLINE_EXCEEDED/);
    group.nodes.lose = () => false;
    group.runUntil(() => group.machine(away).actor.machine?.get(['new']).length === 1);
    const fresh = group.get(away, ['old', 'new'], 'bounded', { stalenessMs: 1 });
    expect([fresh.failure, fresh.points.length]).toEqual([null, 2]);
  });
});

describe('an idempotency key', () => {
  it('is known to every leader that follows, and after all machines have restarted', () => {
    const random = new Prng(33);
    const group = new ReplicaGroup(33);
    const leader = group.awaitLeader();
    const point = pointOf('a', random);
    const options = { ...plainWrite, key: 'k', issuedMs: group.nodes.nowMs, windowMs: 600_000 };
    const first = group.write(leader, upsert(point), { options });
    group.write(leader, upsert(pointOf('a', random)));
    group.awaitAgreement();
    for (const node of group.machines.keys()) group.crash(node);
    for (const node of group.machines.keys()) group.boot(node);
    const again = group.write(group.awaitLeader(), upsert(point), { options });
    expect(again).toMatchObject({ failure: null, replayed: true, index: first.index, versions: first.versions });
    const none = group.write(group.awaitLeader(), upsert(point), {
      options: { ...options, key: 'other', conditions: [{ kind: 'absent' }] },
    });
    expect(none).toMatchObject({ failure: { code: 'FAILED_PRECONDITION' }, conflict: { position: 0 } });
  });
});
