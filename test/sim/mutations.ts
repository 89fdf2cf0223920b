import type { Mutation } from './mutation';
import { actorMutations } from './mutations-actors';
import { coreMutations } from './mutations-core';
import { diskMutations } from './mutations-disk';
import { equalMutations } from './mutations-equal';
import { flagMutations } from './mutations-flags';
import { hostMutations } from './mutations-host';
import { membersMutations } from './mutations-members';
import { onceMutations } from './mutations-once';
import { raftMutations } from './mutations-raft';

const all: readonly Mutation[] = [
  ...raftMutations,
  ...coreMutations,
  ...hostMutations,
  ...actorMutations,
  ...onceMutations,
  ...equalMutations,
  ...membersMutations,
  ...flagMutations,
  ...diskMutations,
];

/** Those that no seed has found yet: what the simulator cannot see so far. One that is found belongs to the others. */
const notFoundYet: ReadonlySet<string> = new Set<string>();

/** Those that a run of `--mutations all` must find. */
export const mutations: readonly Mutation[] = all.filter(({ name }) => !notFoundYet.has(name));
export const openMutations: readonly Mutation[] = all.filter(({ name }) => notFoundYet.has(name));

export function mutationNamed(name: string): Mutation {
  const found = all.find((mutation) => mutation.name === name);
  if (found === undefined) throw new Error(`no mutation ${name}; there are ${all.map((m) => m.name).join(', ')}`);
  return found;
}
