import { type LogIndex, logIndex, type ReplicaId, replicaId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { Configuration } from '../../src/protocol/raft-messages';
import { committedIndex, isQuorum, voteResult, votersOf } from '../../src/raft/quorum';

const caseCount = 40_000;

/** The definitions, taken literally: an index is committed if some majority of each half has reached it. */
function committedSlowly({ voters, votersOutgoing }: Configuration, matchOf: (voter: ReplicaId) => number): number {
  for (let index = 20; index > 0; index--) {
    const reached = (half: readonly ReplicaId[]): number => half.filter((voter) => matchOf(voter) >= index).length;
    const isCommitted = [voters, votersOutgoing].every(
      (half, i) => (i === 1 && half.length === 0) || reached(half) * 2 > half.length,
    );
    if (isCommitted) return index;
  }
  return 0;
}

/** Won if won whatever the silent ones say against it; lost if lost whatever they say for it. */
function resultSlowly(configuration: Configuration, votes: ReadonlyMap<ReplicaId, boolean>): string {
  const wins = (silent: boolean): boolean =>
    [configuration.voters, configuration.votersOutgoing].every((half, i) => {
      const granted = half.filter((voter) => votes.get(voter) ?? silent).length;
      return (i === 1 && half.length === 0) || granted * 2 > half.length;
    });
  if (wins(false)) return 'won';
  return wins(true) ? 'pending' : 'lost';
}

function someOf(random: Prng, countMax: number): ReplicaId[] {
  const all = [1, 2, 3, 4, 5, 6, 7].map(replicaId);
  return all.filter(() => random.chance(0.6)).slice(0, countMax);
}

function drawConfiguration(random: Prng): Configuration {
  const voters = someOf(random, 7);
  const votersOutgoing = random.chance(0.5) ? someOf(random, 7) : [];
  const learners = [8, 9].map(replicaId);
  return { voters, votersOutgoing, learners };
}

describe('the arithmetic of majorities, against its definitions', () => {
  it(`agrees in ${caseCount} random configurations, joint ones and empty ones among them`, () => {
    const random = new Prng(21);
    const seen = new Set<string>();
    for (let i = 0; i < caseCount; i++) {
      const configuration = drawConfiguration(random);
      const match = new Map<ReplicaId, LogIndex>();
      const votes = new Map<ReplicaId, boolean>();
      for (let id = 1; id <= 9; id++) {
        match.set(replicaId(id), logIndex(random.between(0, 20)));
        if (random.chance(0.7)) votes.set(replicaId(id), random.chance(0.6));
      }
      const matchOf = (voter: ReplicaId): LogIndex => match.get(voter) ?? logIndex(0);
      const expected = [committedSlowly(configuration, matchOf), resultSlowly(configuration, votes)];
      const actual = [committedIndex(configuration, matchOf), voteResult(configuration, votes)];
      if (String(actual) !== String(expected)) expect({ configuration, actual }).toEqual({ configuration, expected });
      const granted = (voter: ReplicaId): boolean => votes.get(voter) === true;
      if (isQuorum(configuration, granted) !== (expected[1] === 'won')) expect(configuration).toBe('as a quorum');
      seen.add(`${expected[1]} ${configuration.votersOutgoing.length > 0} ${configuration.voters.length === 0}`);
    }
    // Won, lost and pending, each joint and plain, and no voters at all.
    expect(seen.size).toBeGreaterThanOrEqual(8);
  });

  it('18: learners count for nothing', () => {
    const configuration = { voters: [1, 2, 3].map(replicaId), votersOutgoing: [], learners: [4, 5].map(replicaId) };
    const isLearner = (id: ReplicaId): boolean => configuration.learners.includes(id) || id === 1;
    expect(isQuorum(configuration, isLearner)).toBe(false);
    expect(committedIndex(configuration, (id) => logIndex(isLearner(id) ? 9 : 2))).toBe(2);
    expect(votersOf(configuration)).toEqual([1, 2, 3]);
  });

  it('a group without voters decides nothing', () => {
    const none = { voters: [], votersOutgoing: [], learners: [replicaId(1)] };
    expect(committedIndex(none, () => logIndex(7))).toBe(0);
    expect(isQuorum(none, () => true)).toBe(false);
  });
});
