import { assert } from '../../src/base/assert';
import { utf8 } from '../../src/base/bytes';
import type { Prng } from '../../src/base/prng';
import { encode } from '../../src/protocol/codec';
import { type Life, type Point, shardCommandCodec } from '../../src/protocol/commands';
import type { Selection } from '../../src/protocol/data-messages';
import type { Filter } from '../../src/protocol/filters';
import { flagRange } from '../../src/protocol/flags';
import type { Entry } from '../../src/protocol/raft-messages';
import type { Schema } from '../../src/protocol/schemas';
import type { Nearest, ReadSelection, Selected, Selecting } from '../../src/shard/selecting';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { MemoryStore } from '../../src/storage/memory-store';
import { matches, parsedPayload } from '../../src/vector/filter-match';
import { randomPayload } from '../vector/random-filter';
import { commandOf, entryOf, epoch, machineOf, remove, settleIndex, upsert, vectorOf } from './shard-helpers';

/** With all that this program can do switched on. */
const newest = (state: MemoryStore): ShardMachine => machineOf(state, undefined, { level: flagRange.newest });

/** A shard and, beside it, what it should hold: a map. */
export class Pair {
  readonly live = new Map<string, Point>();
  state = new MemoryStore();
  machine: ShardMachine = newest(this.state);
  private applied = 0;
  /** Of those that end. */
  private readonly ends = new Map<string, number>();
  private nowMs = 1_000_000;
  /** Of points whose write does not say; 0: none. */
  private ttlMs = 0;

  constructor(
    readonly random: Prng,
    private readonly idsMax = 1_500,
    /** Some points end, and time goes on with every write. */
    private readonly mortal = false,
  ) {}

  /** With an index that begins from nothing. */
  restart(): void {
    this.machine = newest(this.state);
  }

  /** The state of another replica that took a snapshot of this one. */
  replaceBySnapshot(): void {
    const source = this.machine.openSnapshot();
    const state = new MemoryStore();
    const other = newest(state);
    const meta = { index: source.index, term: source.term, configuration: other.configuration };
    const sink = other.openRestore(meta, 1);
    for (let n = 0, chunk = source.chunk(n); chunk !== null; chunk = source.chunk(++n)) sink.accept(chunk);
    sink.finish();
    source.close();
    this.state = state;
    this.machine = other;
  }

  setSchema(schema: Schema): void {
    const kind = schema.ttlMs > 0 ? 'mortalSchema' : 'schema';
    const data = encode(shardCommandCodec, { kind, epoch, schema });
    this.machine.apply([entryOf(++this.applied, data)]);
    assert(this.machine.schema.revision === schema.revision, 'pair: the schema was not taken');
    this.ttlMs = schema.ttlMs;
  }

  /** What upkeep does, with writes in between. */
  settle(): void {
    settleIndex(this.machine);
    for (let slices = 0; !this.machine.buildPayloadIndexes(); slices++) {
      assert(slices < 1_000, 'pair: work that never ends');
      this.write(5);
    }
  }

  write(count: number): void {
    const { random } = this;
    const ids = [...new Set(Array.from({ length: count }, () => `p${random.between(0, this.idsMax)}`))];
    const doomed = random.chance(0.3);
    const points = ids.map((id) => ({ id, vector: vectorOf(random), payload: this.payload() }));
    if (this.mortal && this.writeMortal(doomed, points)) return;
    this.machine.apply([
      entryOf(++this.applied, commandOf(doomed ? remove(...ids) : upsert(...points), { timeMs: this.nowMs })),
    ]);
    this.forget(this.machine.logTimeMs);
    for (const point of points) {
      if (doomed) this.live.delete(point.id);
      else this.live.set(point.id, point);
      this.ends.delete(point.id);
      if (!doomed) this.endByDefault(point.id);
    }
  }

  private endByDefault(id: string): void {
    if (this.ttlMs === 0) this.ends.delete(id);
    else this.ends.set(id, Math.ceil(this.machine.logTimeMs) + this.ttlMs);
  }

  /** True: these were written. Moves time, now and then backwards, and purges what is due or says it is. */
  private writeMortal(doomed: boolean, points: readonly Point[]): boolean {
    const { random, machine } = this;
    this.nowMs += random.chance(0.05) ? -random.between(0, 5_000) : random.between(0, 300);
    const lives = points.map(
      (): Life =>
        random.pick<Life>([
          ...([{ kind: 'default' }, { kind: 'kept' }] as const),
          ...([
            { kind: 'given', ttlMs: random.between(1, 3_000) },
            { kind: 'given', ttlMs: random.between(1, 20_000) },
          ] as const),
        ]),
    );
    const mortal = points.map((point, i) => ({ ...point, life: lives[i] as Life }));
    const isPut = !doomed && random.chance(0.7);
    const entries: Entry[] = [];
    const purge = { kind: 'expire', epoch, timeMs: this.nowMs, ids: machine.expiry.due(this.nowMs, 8) } as const;
    if (random.chance(0.2)) entries.push(entryOf(++this.applied, encode(shardCommandCodec, purge)));
    const put = commandOf({ kind: 'put', points: mortal }, { timeMs: this.nowMs });
    if (isPut) entries.push(entryOf(++this.applied, put));
    const timeBefore = machine.logTimeMs;
    machine.apply(entries);
    assert(machine.logTimeMs >= timeBefore, 'pair: log time went back');
    const timeMs = machine.logTimeMs;
    this.forget(timeMs);
    for (const { life, ...point } of isPut ? mortal : []) {
      const isNew = !this.live.has(point.id);
      this.live.set(point.id, point);
      if (life.kind === 'given') this.ends.set(point.id, Math.ceil(timeMs) + life.ttlMs);
      else if (life.kind === 'default' || isNew) this.endByDefault(point.id);
    }
    return isPut;
  }

  private forget(timeMs: number): void {
    for (const [id, endMs] of this.ends) {
      if (endMs > timeMs) continue;
      this.live.delete(id);
      this.ends.delete(id);
    }
  }

  payload(): Uint8Array {
    return this.random.chance(0.1) ? new Uint8Array(0) : utf8(JSON.stringify(randomPayload(this.random)));
  }

  /** Advances to the end, with writes between the slices. */
  finish(work: Selecting, writes: number): Selected {
    for (let slices = 0; !work.advance(); slices++) {
      assert(slices < 1_000, 'pair: work that never ends');
      this.write(this.random.between(1, writes));
    }
    const selected = work.result();
    work.close();
    return selected;
  }

  select(filter: Filter | null, selection: ReadSelection, writes = 60): Selected {
    return this.finish(this.machine.select(filter, selection, 'euclidean'), writes);
  }

  matching(filter: Filter | null): Point[] {
    const all = [...this.live.values()];
    return all.filter(({ id, payload }) => filter === null || matches(filter, id, parsedPayload(payload)));
  }
}

export const nearest = (vector: Uint8Array, k: number): Nearest => ({
  ...{ kind: 'nearest', vector, k },
  ...{ includeVector: false, includePayload: true },
});
export const page = (fields: Partial<Extract<Selection, { kind: 'page' }>> = {}): Selection => ({
  ...{ kind: 'page', afterId: '', countMax: 100, slice: 0, slices: 1 },
  ...fields,
});
