import { expect, test } from '@jest/globals';
import { FirstElection } from '../../src/actors/raft-member-first';
import { raftMemberTuning } from '../../src/actors/raft-member-options';
import { logIndex, shardId, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { configuration, ScriptedCore, self, zero } from './raft-member-doubles';

function coreOf(): ScriptedCore {
  const appliedIndex = logIndex(0);
  const random = new Prng(1);
  return new ScriptedCore({
    ...raftMemberTuning,
    ...{ self, hardState: null, ...zero, entries: [], configuration, appliedIndex, random },
  });
}

const campaigns = ({ told }: ScriptedCore): number => told.filter((what) => what === 'campaign').length;

test('the first election of a group is asked for at once and repeated, but not with every tick', () => {
  const core = coreOf();
  const first = new FirstElection(shardId(6));
  first.tick(core);
  expect(campaigns(core)).toBe(1);
  for (let ticks = 0; ticks < 20; ticks++) first.tick(core);
  expect(campaigns(core)).toBe(5);
  core.term = term(1);
  for (let ticks = 0; ticks < 20; ticks++) first.tick(core);
  expect(campaigns(core)).toBe(5);
});

test('one member of a shard asks, another one in each shard', () => {
  const asked = [6, 7, 8].map((shard) => {
    const core = coreOf();
    new FirstElection(shardId(shard)).tick(core);
    return campaigns(core);
  });
  expect(asked).toEqual([1, 0, 0]);
});
