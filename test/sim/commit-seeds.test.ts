import { commitHash, sampleOf, seedOf } from './commit-seeds';

const names = Array.from({ length: 60 }, (_, i) => `bug-${i}`);
const commits = Array.from({ length: 40 }, (_, i) => (i * 0x9e3779b97f).toString(16).padEnd(40, '7'));

test('a commit has its own seeds and its own sample, always the same', () => {
  expect(new Set(commits.map(seedOf)).size).toBe(commits.length);
  for (const commit of commits) {
    const sample = sampleOf(names, 20, commit);
    expect(new Set(sample).size).toBe(20);
    expect(sampleOf(names, 20, commit)).toEqual(sample);
  }
  expect(new Set(commits.flatMap((commit) => sampleOf(names, 20, commit))).size).toBe(names.length);
  expect(sampleOf(['a', 'b'], 20, commits[1] as string).sort()).toEqual(['a', 'b']);
});

test('the seeds of a commit are clear of those that are counted, and exact', () => {
  for (const commit of [...commits, commitHash()]) {
    expect(seedOf(commit)).toBeGreaterThanOrEqual(1_000_000);
    expect(Number.isSafeInteger(seedOf(commit))).toBe(true);
  }
});
