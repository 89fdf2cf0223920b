import { Prng } from '../../src/base/prng';
import { KeyChoice } from '../chaos/key-choice';
import { clientsPerKeyMax, opsPerKeyMax, parseOptions } from '../chaos/options';
import { type Figures, figuresLine, shortfalls } from '../chaos/report';

describe('keys are chosen so that the judge can decide', () => {
  it.each([
    { ops: 20_000, clients: 40, keys: 60 },
    { ops: 8_000, clients: 16, keys: 5 },
    { ops: 1_000, clients: 3, keys: 8 },
  ])('$ops operations of $clients clients on $keys keys', ({ ops, clients, keys }) => {
    const choice = new KeyChoice({ ops, clients, keys }, new Prng(3));
    const clientsOf = new Map(choice.all().map((key) => [key, new Set<number>()]));
    const count = new Map<string, number>();
    for (let begun = 0; begun < ops; begun++) {
      const client = begun % clients;
      const key = choice.choose(client, begun);
      clientsOf.get(key)?.add(client);
      count.set(key, (count.get(key) ?? 0) + 1);
    }
    expect([...count.keys()].sort()).toEqual([...choice.all()].sort());
    expect(Math.max(...count.values())).toBeLessThan(opsPerKeyMax);
    const sharing = [...clientsOf.values()].map((set) => set.size);
    expect(Math.max(...sharing)).toBeLessThanOrEqual(clientsPerKeyMax);
    expect(Math.min(...sharing)).toBeGreaterThan(1);
  });

  it('or the run is refused', () => {
    expect(() => parseOptions(['--ops', '300000', '--keys', '10'])).toThrow('need at least 120 keys');
    expect(() => parseOptions(['--ops', '4000', '--clients', '64', '--keys', '2'])).toThrow('need more keys');
    expect(() => parseOptions(['--profile', 'calm'])).toThrow('usage');
    expect(() => parseOptions(['--kills', 'many'])).toThrow('whole number');
  });
});

describe('a run is red', () => {
  const options = parseOptions(['--ops', '1000', '--clients', '4', '--kills', '2']);
  const window = { victim: 'thread', acked: 20, t: 0, end: 1e9 };
  const good: Figures = {
    options,
    commit: 'none',
    verdict: 'legal',
    counts: { ok: 990, fail: 5, info: 5 },
    windows: [window, window],
    unknown: new Map([['key-1', 5]]),
    loadMs: 1_000,
    replicaCount: 9,
    wrong: [],
  };

  it('for none of the reasons below when it is as asked', () => {
    expect(shortfalls(good)).toEqual([]);
    expect(figuresLine(good)).toContain('legal, 1000 ops (990 acked, 5 info of which 5 writes, 5 fail)');
  });

  it.each<[string, Partial<Figures>, RegExp]>([
    ['illegal', { verdict: 'illegal' }, /history is illegal/],
    ['undecided', { verdict: 'unknown' }, /history is unknown/],
    ['malformed', { verdict: 'malformed' }, /history is malformed/],
    ['too few kills', { windows: [window] }, /1 kills, 2/],
    ['too little acknowledged', { counts: { ok: 899, fail: 101, info: 0 } }, /899 operations acknowledged/],
    [
      'too little during faults',
      {
        windows: [
          { ...window, acked: 3 },
          { ...window, acked: 3 },
        ],
      },
      /6 acknowledged inside/,
    ],
    ['a window in which nothing ran', { windows: [window, { ...window, acked: 0 }] }, /without one/],
    ['too much unknown', { unknown: new Map([['key-1', 11]]) }, /1\.10 % unknown/],
    ['a replica that differs', { wrong: ['key-1 is on 2 replicas, not on 3'] }, /on 2 replicas/],
  ])('when there is %s', (_what, change, reason) => {
    expect(shortfalls({ ...good, ...change })).toEqual([expect.stringMatching(reason)]);
  });
});
