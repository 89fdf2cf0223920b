import { Prng } from '../../src/base/prng';
import { restBeats, StreamBeats } from '../../src/runtime/stream-beats';

const beatMs = 1_000;

interface End {
  readonly beats: StreamBeats;
  nextMs: number;
  /** When it sent anything last. */
  wroteMs: number;
  words: number;
  deadMs: number | null;
}

/** Both ends of one stream, each with heartbeats of its own that are up to a quarter of one late, and a wire that takes up to 100 ms. */
class Wire {
  nowMs = 0;
  cut = false;
  readonly ends: readonly [End, End];
  private flying: { readonly toMs: number; readonly to: End; readonly isData: boolean }[] = [];

  constructor(
    private readonly random: Prng,
    peerRests: number | null = restBeats,
  ) {
    const end = (): End => {
      const nextMs = random.between(1, beatMs);
      return { beats: new StreamBeats(peerRests), nextMs, wroteMs: 0, words: 0, deadMs: null };
    };
    this.ends = [end(), end()];
  }

  carry(from: 0 | 1): void {
    this.ends[from].beats.sent();
    this.write(from, true);
  }

  run(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (; this.nowMs < untilMs; this.nowMs += 10) {
      for (const { to, isData } of this.flying.filter(({ toMs }) => toMs <= this.nowMs)) to.beats.heard(isData);
      this.flying = this.flying.filter(({ toMs }) => toMs > this.nowMs);
      for (const side of [0, 1] as const) if (this.ends[side].nextMs <= this.nowMs) this.beat(side);
    }
  }

  private beat(side: 0 | 1): void {
    const end = this.ends[side];
    end.nextMs += beatMs + this.random.between(0, beatMs / 4) - beatMs / 8;
    const next = end.beats.beat();
    if (next === 'dead') end.deadMs ??= this.nowMs;
    else if (next === 'speak' && this.nowMs - end.wroteMs > beatMs / 2) {
      end.words++;
      this.write(side, false);
    }
  }

  private write(side: 0 | 1, isData: boolean): void {
    this.ends[side].wroteMs = this.nowMs;
    const to = this.ends[side === 0 ? 1 : 0];
    if (!this.cut) this.flying.push({ toMs: this.nowMs + this.random.between(1, 100), to, isData });
  }
}

const seeds = Array.from({ length: 50 }, (_, seed) => seed);

test.each(seeds)('a stream in use, then at rest, then in use again lives (seed %d)', (seed) => {
  const random = new Prng(seed);
  const wire = new Wire(random);
  for (let i = 0; i < 40; i++) {
    wire.carry(random.between(0, 1) as 0 | 1);
    wire.run(random.between(10, random.between(0, 1) === 0 ? 3_000 : 60_000));
  }
  expect(wire.ends.map(({ deadMs }) => deadMs)).toEqual([null, null]);
});

test.each(seeds)(
  'at rest it says little, in use each end speaks or is spoken to at every heartbeat (seed %d)',
  (seed) => {
    const wire = new Wire(new Prng(seed));
    wire.carry(0);
    wire.run(20 * beatMs);
    const before = wire.ends.map(({ words }) => words);
    wire.run(100 * beatMs);
    for (const [side, { words }] of wire.ends.entries()) {
      const said = words - (before[side] ?? 0);
      expect(said).toBeGreaterThanOrEqual(15);
      expect(said).toBeLessThanOrEqual(25);
    }
    // One way: the end that only listens speaks at every heartbeat.
    const heard = wire.ends[1].words;
    for (let i = 0; i < 400; i++) {
      wire.carry(0);
      wire.run(beatMs / 4);
    }
    expect(wire.ends[1].words - heard).toBeGreaterThanOrEqual(85);
  },
);

test.each(seeds)('a wire that is cut is noticed: in use within 5 heartbeats, at rest within 20 (seed %d)', (seed) => {
  const random = new Prng(seed);
  const wire = new Wire(random);
  wire.carry(0);
  wire.run(random.between(0, 60) * beatMs);
  wire.cut = true;
  const cutMs = wire.nowMs;
  wire.run(random.between(0, 6) * beatMs);
  wire.carry(0);
  const usedMs = wire.nowMs;
  wire.run(40 * beatMs);
  const [user, listener] = wire.ends;
  expect((user.deadMs ?? Number.POSITIVE_INFINITY) - usedMs).toBeLessThanOrEqual(5 * beatMs);
  expect((listener.deadMs ?? Number.POSITIVE_INFINITY) - cutMs).toBeLessThanOrEqual(20 * beatMs);
});

test.each(seeds)('where one end knows no rest neither rests, nor waits for longer (seed %d)', (seed) => {
  const wire = new Wire(new Prng(seed), null);
  wire.carry(0);
  wire.run(100 * beatMs);
  for (const { words, deadMs } of wire.ends) {
    expect(words).toBeGreaterThanOrEqual(85);
    expect(deadMs).toBeNull();
  }
  wire.cut = true;
  wire.run(5 * beatMs);
  expect(wire.ends.every(({ deadMs }) => deadMs !== null)).toBe(true);
});
