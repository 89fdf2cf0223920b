import { describe, expect, it } from '@jest/globals';
import { utf8 } from '../../src/base/bytes';
import { Prng } from '../../src/base/prng';
import { pointOf, upsert, vectorOf } from '../shard/shard-helpers';
import { anyAge, ReplicaGroup } from './replica-group';

const payloadOf = (value: object): Uint8Array => utf8(JSON.stringify(value));

describe('a shard of three replicas', () => {
  it('answers selections in slices: to every level, not from a replica that has stopped leading, once at the deadline', () => {
    const random = new Prng(31);
    const group = new ReplicaGroup(31);
    const leader = group.awaitLeader();
    const points = Array.from({ length: 700 }, (_, n) => ({ ...pointOf(`p${n}`, random), payload: payloadOf({ n }) }));
    expect(group.write(leader, upsert(...points))).toMatchObject({ failure: null });
    const filter = { kind: 'range', key: 'n', bounds: { gt: null, gte: 650, lt: null, lte: null } } as const;
    const count = { kind: 'data.select', filter, selection: { kind: 'count' }, ...anyAge } as const;
    const level = 'linearizable' as const;
    for (const node of group.machines.keys()) {
      const selected = group.ask(node, 'data.selected', (header) => ({ ...count, ...header, level }));
      expect(selected).toMatchObject({ failure: null, count: 50, visited: 700, stored: 700 });
    }
    const nearest = {
      kind: 'nearest',
      vector: vectorOf(random),
      k: 80,
      includeVector: false,
      includePayload: true,
    } as const;
    const found = group.ask(leader, 'data.selected', (header) => ({
      ...{ ...count, ...header, level: 'leader' as const, selection: nearest },
    }));
    expect(found.hits.length).toBe(50);
    const refused = group.ask(group.follower(), 'data.selected', (header) => ({
      ...{ ...count, ...header, level: 'leader' as const },
    }));
    expect(refused.failure?.code).toBe('NOT_LEADER');
    const bad = { kind: 'page', afterId: '', countMax: 5_000, slice: 0, slices: 1 } as const;
    const invalid = group.ask(leader, 'data.selected', (header) => ({ ...count, ...header, level, selection: bad }));
    expect(invalid.failure).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'limit' });
    const late = group.send(leader, (header) => ({ ...count, ...header, level, timeoutMs: 0 }));
    group.runUntil(() => group.answersTo(late).length > 0);
    expect(group.answersTo(late)).toMatchObject([{ failure: { code: 'DEADLINE_EXCEEDED' } }]);
    group.runUntil(() => group.running.every(({ actor }) => actor.openCount === 0));
  });
});
