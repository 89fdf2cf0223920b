import type { Mutation } from './mutation';
import { actorMutations } from './mutations-actors';
import { coreMutations } from './mutations-core';
import { equalMutations } from './mutations-equal';
import { hostMutations } from './mutations-host';
import { membersMutations } from './mutations-members';
import { onceMutations } from './mutations-once';
import { raftMutations } from './mutations-raft';

export const mutations: readonly Mutation[] = [
  ...raftMutations,
  ...coreMutations,
  ...hostMutations,
  ...actorMutations,
  ...onceMutations,
  ...equalMutations,
  ...membersMutations,
];

export function mutationNamed(name: string): Mutation {
  const found = mutations.find((mutation) => mutation.name === name);
  if (found === undefined) throw new Error(`no mutation ${name}; there are ${mutations.map((m) => m.name).join(', ')}`);
  return found;
}
