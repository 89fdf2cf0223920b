import { describe, expect, it } from '@jest/globals';
import { logIndex, replicaId, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { SnapshotMeta } from '../../src/protocol/raft-messages';
import { digestText } from '../../src/shard/record-digest';
import type { ShardMachine } from '../../src/shard/shard-machine';
import type { ShardSnapshotSource } from '../../src/shard/snapshot-source';
import { MemoryStore } from '../../src/storage/memory-store';
import { FlatEngine } from '../../src/vector/flat-index';
import {
  commandOf,
  configuration,
  entryOf,
  indexOf,
  machineOf,
  pointOf,
  remove,
  settleIndex,
  upsert,
} from './shard-helpers';

const metaOf = (source: ShardSnapshotSource): SnapshotMeta => ({
  index: source.index,
  term: source.term,
  configuration,
});

function filled(random: Prng, state: MemoryStore, chunkBytes: number, count = 300): ShardMachine {
  const machine = machineOf(state, undefined, { snapshotLimits: { chunkBytes, preImageBytes: 1_000_000 } });
  for (let n = 0; n < count; n++) {
    machine.apply([
      entryOf(machine.appliedIndex + 1, commandOf(upsert(pointOf(`p${n}`, random, random.between(0, 90))))),
    ]);
  }
  return machine;
}

function writeSome(machine: ShardMachine, random: Prng): void {
  for (let n = random.between(0, 6); n > 0; n--) {
    const id = `p${random.between(0, 400)}`;
    const operation = random.chance(0.3) ? remove(id) : upsert(pointOf(id, random, random.between(0, 90)));
    machine.apply([entryOf(machine.appliedIndex + 1, commandOf(operation))]);
  }
}

function chunksOf(source: ShardSnapshotSource, between: () => void = () => undefined): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let n = 0; ; n++) {
    const chunk = source.chunk(n);
    if (chunk === null) return chunks;
    expect(source.chunk(n)).toBe(chunk);
    chunks.push(chunk.slice());
    between();
  }
}

describe('a snapshot', () => {
  it.each([1, 2, 3, 4, 5, 6])('holds exactly its index while writes go on, seed %i', (seed) => {
    const random = new Prng(seed);
    const sender = filled(random, new MemoryStore(), random.between(100, 3_000));
    writeSome(sender, random);
    const source = sender.openSnapshot();
    const { points, appliedIndex } = sender;
    const digest = sender.digest();
    const chunks = chunksOf(source, () => writeSome(sender, random));
    source.close();
    expect(sender.appliedIndex).toBeGreaterThan(appliedIndex);
    expect(sender.digest()).not.toBe(digest);

    const receiver = machineOf(new MemoryStore(), indexOf(new FlatEngine()), { replica: replicaId(12) });
    const sink = receiver.openRestore(metaOf(source), 1);
    for (const chunk of chunks) sink.accept(chunk);
    expect(receiver.appliedIndex).toBe(0);
    sink.finish();
    expect([receiver.appliedIndex, receiver.digest(), receiver.points]).toEqual([appliedIndex, digest, points]);
    expect(digestText(receiver.recount().digest)).toBe(digest);
  });

  it('brings a lagging replica level, index included, and its old space goes', () => {
    const random = new Prng(20);
    const log = Array.from({ length: 300 }, (_, n) => entryOf(n + 1, commandOf(upsert(pointOf(`p${n}`, random)))));
    const sender = machineOf(new MemoryStore());
    sender.apply(log);
    const state = new MemoryStore();
    const index = indexOf(new FlatEngine());
    const receiver = machineOf(state, index);
    receiver.apply(log.slice(0, 3));
    sender.apply([entryOf(sender.appliedIndex + 1, commandOf(remove('p7')))]);
    const source = sender.openSnapshot();
    const sink = receiver.openRestore(metaOf(source), 1);
    for (const chunk of chunksOf(source)) sink.accept(chunk);
    sink.finish();
    expect(receiver.indexReady).toBe(false);
    settleIndex(receiver);
    expect([index.versionOf('p1'), index.versionOf('p7'), index.appliedIndex]).toEqual([2, 301, 301]);
    while (!receiver.collectGarbage());
    expect(state.size).toBe(receiver.recount().records + 1);
    expect(machineOf(state, index).digest()).toBe(sender.digest());
  });

  it('leaves the old state, and no orphan, when the machine dies before the end', () => {
    const random = new Prng(21);
    const sender = filled(random, new MemoryStore(), 2_000);
    const state = new MemoryStore();
    const receiver = machineOf(state);
    receiver.apply([entryOf(1, commandOf(upsert(pointOf('old', random))))]);
    const source = sender.openSnapshot();
    const sink = receiver.openRestore(metaOf(source), 1);
    for (const chunk of chunksOf(source).slice(0, 3)) sink.accept(chunk);
    state.sync();
    const restarted = machineOf(state);
    expect([restarted.appliedIndex, restarted.points]).toEqual([1, 1]);
    restarted.dropRestore();
    while (!restarted.collectGarbage());
    // The descriptor, the point, and of the table of changes its head and one record.
    expect(state.size).toBe(4);
  });

  const survived: number[] = [];
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('goes on from what a power cut left of it, seed %i', (seed) => {
    const random = new Prng(seed);
    const sender = filled(random, new MemoryStore(), random.between(60, 900), 120);
    const source = sender.openSnapshot();
    const chunks = chunksOf(source);
    const state = new MemoryStore();
    let receiver = machineOf(state);
    let sink = receiver.openRestore(metaOf(source), 7);
    let crashes = 0;
    let repeated = 0;
    for (let n = 0; n < chunks.length; ) {
      sink.accept(chunks[n] as Uint8Array);
      n++;
      if (random.chance(0.1)) sink.sync();
      if (!random.chance(0.15)) continue;
      state.crash(random);
      receiver = machineOf(state);
      const rest = receiver.resumeRestore(metaOf(source), 7);
      crashes++;
      repeated += n - (rest?.chunks ?? 0);
      n = rest?.chunks ?? 0;
      sink = rest?.sink ?? receiver.openRestore(metaOf(source), 7);
    }
    sink.finish();
    expect(repeated).toBeLessThan((crashes || 1) * chunks.length);
    survived.push(crashes);
    expect([receiver.digest(), digestText(receiver.recount().digest)]).toEqual([sender.digest(), sender.digest()]);
    while (!receiver.collectGarbage());
    expect(state.size).toBe(receiver.recount().records + 1);
  });

  it('had something to go on from in those', () => {
    expect(survived.filter((crashes) => crashes > 0).length).toBeGreaterThan(4);
  });

  it('is taken up again only under its own name and for its own index', () => {
    const random = new Prng(26);
    const sender = filled(random, new MemoryStore(), 500, 60);
    const source = sender.openSnapshot();
    const meta = metaOf(source);
    const state = new MemoryStore();
    machineOf(state)
      .openRestore(meta, 7)
      .accept(source.chunk(0) as Uint8Array);
    const restarted = machineOf(state);
    expect(restarted.resumeRestore(meta, 8)).toBeNull();
    expect(restarted.resumeRestore({ ...meta, index: logIndex(meta.index + 1) }, 7)).toBeNull();
    expect(restarted.resumeRestore({ ...meta, term: term(meta.term + 1) }, 7)).toBeNull();
    expect(restarted.resumeRestore(meta, 7)?.chunks).toBe(1);
    restarted.openRestore(meta, 9);
    expect(restarted.resumeRestore(meta, 7)).toBeNull();
  });

  it('is durable once finished: a power cut right after cannot take it back', () => {
    const random = new Prng(22);
    const sender = filled(random, new MemoryStore(), 2_000, 50);
    for (let seed = 0; seed < 10; seed++) {
      const state = new MemoryStore();
      const receiver = machineOf(state);
      receiver.apply([entryOf(1, commandOf(upsert(pointOf('old', random))))]);
      const source = sender.openSnapshot();
      const sink = receiver.openRestore(metaOf(source), 1);
      for (const chunk of chunksOf(source)) sink.accept(chunk);
      sink.finish();
      state.crash(new Prng(seed));
      const restarted = machineOf(state);
      expect(restarted.digest()).toBe(sender.digest());
      expect(digestText(restarted.recount().digest)).toBe(sender.digest());
    }
  });

  it('is refused when it is damaged, cut short or too long, and the state stays', () => {
    const random = new Prng(23);
    const sender = filled(random, new MemoryStore(), 700, 40);
    const source = sender.openSnapshot();
    const chunks = chunksOf(source);
    const receive = (parts: readonly Uint8Array[]): unknown => {
      const receiver = machineOf(new MemoryStore());
      const sink = receiver.openRestore(metaOf(source), 1);
      try {
        for (const part of parts) sink.accept(part);
        sink.finish();
        return 'accepted';
      } catch (thrown) {
        sink.abort();
        while (!receiver.collectGarbage());
        expect([receiver.appliedIndex, receiver.recount().records]).toEqual([0, 0]);
        return (thrown as { code?: string }).code;
      }
    };
    expect(receive(chunks)).toBe('accepted');
    expect(receive(chunks.slice(0, -1))).toBe('CORRUPT');
    expect(receive([...chunks.slice(0, 1), ...chunks.slice(2)])).toBe('CORRUPT');
    expect(receive([...chunks, chunks[chunks.length - 1] as Uint8Array])).toBe('CORRUPT');
    for (let n = 0; n < 60; n++) {
      const which = random.between(0, chunks.length - 1);
      const damaged = chunks.map((chunk) => chunk.slice());
      const target = damaged[which] as Uint8Array;
      const at = random.between(0, target.length - 1);
      target[at] = (target[at] as number) ^ (1 << random.between(0, 7));
      // A header's epoch or time may change unnoticed here; the chunk's own checksum guards it on its way.
      if (which > 0 || at > 60) expect(receive(damaged)).toBe('CORRUPT');
    }
  });

  it('ends with an error when writers outrun its memory, and frees what it held', () => {
    const random = new Prng(24);
    const large = 1_000;
    const count = 10;
    const snapshotLimits = { chunkBytes: 100, preImageBytes: large * (count - 1) };
    const machine = machineOf(new MemoryStore(), undefined, { snapshotLimits });
    for (let n = 0; n < count; n++) {
      const point = { ...pointOf(`p${n}`, random, 0), payload: new Uint8Array(large) };
      machine.apply([entryOf(n + 1, commandOf(upsert(point)))]);
    }
    const source = machine.openSnapshot();
    for (let n = 0; n < count; n++) machine.apply([entryOf(count + n + 1, commandOf(remove(`p${n}`)))]);
    expect(() => source.chunk(0)).toThrow(expect.objectContaining({ code: 'RESOURCE_EXHAUSTED' }));
  });

  it('of an empty shard is a header alone', () => {
    const sender = machineOf(new MemoryStore());
    sender.apply([entryOf(1, new Uint8Array(0), 'noop', 3)]);
    const source = sender.openSnapshot();
    const receiver = machineOf(new MemoryStore());
    const sink = receiver.openRestore(metaOf(source), 1);
    for (const chunk of chunksOf(source)) sink.accept(chunk);
    sink.finish();
    expect([receiver.appliedIndex, receiver.appliedTerm, receiver.points]).toEqual([logIndex(1), term(3), 0]);
  });
});
