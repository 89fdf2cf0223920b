import type { Mutation } from './mutation';
import { equalMutations } from './mutations-equal';
import { hostMutations } from './mutations-host';
import { onceMutations } from './mutations-once';
import { raftMutations } from './mutations-raft';
import { sleepMutations } from './mutations-sleep';

export const mutations: readonly Mutation[] = [
  ...raftMutations,
  ...hostMutations,
  ...onceMutations,
  ...equalMutations,
  ...sleepMutations,
];

export function mutationNamed(name: string): Mutation {
  const found = mutations.find((mutation) => mutation.name === name);
  if (found === undefined) throw new Error(`no mutation ${name}; there are ${mutations.map((m) => m.name).join(', ')}`);
  return found;
}
