import { expect } from '@jest/globals';
import type { NodeName } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { MessageOf } from '../../src/protocol/messages';
import { digestText } from '../../src/shard/record-digest';
import { pointOf, upsert, vectorOf } from '../shard/shard-helpers';
import { anyAge, type ReplicaGroup } from './replica-group';

/** Every id acknowledged, and the client's whole memory. */
export function writeMany(group: ReplicaGroup, random: Prng, count: number, prefix: string): Set<string> {
  const acknowledged = new Set<string>();
  for (let n = 0; n < count; n++) {
    const id = `${prefix}${n}`;
    const { failure } = group.write(group.awaitLeader(), upsert(pointOf(id, random, 40)));
    if (failure === null) acknowledged.add(id);
  }
  return acknowledged;
}

export function expectEverywhere(group: ReplicaGroup, ids: ReadonlySet<string>): void {
  group.awaitAgreement();
  for (const { actor } of group.running) {
    const { machine } = actor;
    const found = machine?.get([...ids]).map((point) => point.id) ?? [];
    expect(new Set(found)).toEqual(ids);
    expect(digestText(machine?.recount().digest ?? 0n)).toBe(machine?.digest());
  }
}

export const isLevel = (group: ReplicaGroup, node: NodeName, index: number): boolean =>
  (group.machine(node).actor.machine?.appliedIndex ?? 0) >= index;

export const searchOf = (random: Prng, overrides: Partial<MessageOf<'data.search'>> = {}) => ({
  kind: 'data.search' as const,
  vector: vectorOf(random),
  k: 3,
  ef: 0,
  exact: false,
  level: 'leader' as const,
  includeVector: false,
  includePayload: true,
  ...anyAge,
  ...overrides,
});
