import { describe, expect, it } from '@jest/globals';
import { ByteWriter } from '../../src/base/bytes';
import { crc32c } from '../../src/base/crc32c';
import { logIndex, term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { decode, encode } from '../../src/protocol/codec';
import { type ShardOperation, shardCommandCodec } from '../../src/protocol/commands';
import { type FlagRange, flagNumber, flagRange, flags, isOn } from '../../src/protocol/flags';
import type { Entry } from '../../src/protocol/raft-messages';
import { sessionKeyText } from '../../src/protocol/session-key';
import { decodeDescriptor, encodeDescriptor, firstDescriptor, stateChecksum } from '../../src/shard/descriptor';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { snapshotHeaderCodec } from '../../src/shard/snapshot-source';
import { MemoryStore } from '../../src/storage/memory-store';
import { FlatEngine } from '../../src/vector/flat-index';
import { configuration, entryOf, epoch, indexOf, machineOf, pointOf, remove, upsert, writeOf } from './shard-helpers';

const now = 1_000_000_000_000;
const random = new Prng(3);
const a = pointOf('a', random);
const level = flagNumber('sessionKeys');
const old: FlagRange = { oldest: 0, newest: 0 };
const raise = (to: number, version = epoch.version): Uint8Array =>
  encode(shardCommandCodec, { kind: 'raise', epoch: { ...epoch, version }, level: to });

const keyOf = (number: number, settled: number): string => sessionKeyText({ session: 's', number, settled });
const keyed = (operation: ShardOperation, number: number, settled: number): Uint8Array =>
  writeOf(operation, { key: keyOf(number, settled), issuedMs: now, windowMs: 60_000 }, now);

const logOf = (...commands: Uint8Array[]): Entry[] => commands.map((data, at) => entryOf(at + 1, data));

function replay(entries: readonly Entry[], cut: number, machine = machineOf(new MemoryStore())): ShardMachine {
  for (let at = 0; at < entries.length; at += cut) machine.apply(entries.slice(at, at + cut));
  return machine;
}

const codeOf = (work: () => void): string => {
  try {
    work();
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
  return 'nothing was thrown';
};

function chunksOf(machine: ShardMachine) {
  const source = machine.openSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = source.chunk(0); chunk !== null; chunk = source.chunk(chunks.length)) chunks.push(chunk.slice());
  return { meta: { index: source.index, term: source.term, configuration }, chunks };
}

/** Tag, epoch of two bytes and a time of eight come before it. */
const operationAt = 11;

/** `at` below 0 counts from the end. */
function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at < 0 ? copy.length + at : at] = value;
  return copy;
}

/** As a later program would write it: a format of its own, and a checksum that holds. */
function laterFormat(): Uint8Array {
  const bytes = encodeDescriptor(firstDescriptor({ epoch, configuration, level }));
  const body = changed(bytes.subarray(4), 0, 3);
  const writer = new ByteWriter(bytes.length);
  writer.u32(crc32c(body));
  writer.raw(body);
  return writer.finish();
}

describe('the catalogue of flags', () => {
  it('numbers them from 1 in the order they are switched on, each with another name', () => {
    expect(flags.map(({ number }) => number)).toEqual(flags.map((_, at) => at + 1));
    expect(new Set(flags.map(({ name }) => name)).size).toBe(flags.length);
    expect(flagRange).toEqual({ oldest: 0, newest: flags.length });
    expect([isOn('sessionKeys', level - 1), isOn('sessionKeys', level)]).toEqual([false, true]);
  });
});

describe('a flag of a shard', () => {
  const writes = [keyed(upsert(a), 1, 1), keyed(upsert(a), 2, 2), keyed(upsert(a), 3, 3)];

  it('changes what apply does from its entry on, and not before', () => {
    const off = replay(logOf(...writes), 1);
    const on = replay(logOf(raise(level), ...writes.slice(1)), 1);
    const late = replay(logOf(...writes.slice(0, 2), raise(level)), 1);
    expect([off.level, on.level, late.level]).toEqual([0, level, level]);
    expect(off.digest()).not.toBe(on.digest());
    expect(late.digest()).toBe(replay(logOf(...writes.slice(0, 2)), 1).digest());
  });

  it('switches at the same entry however entries are cut into batches', () => {
    const entries = logOf(...writes, raise(level), keyed(upsert(a), 4, 3), keyed(remove('a'), 5, 5));
    const states = [1, 2, 3, 4, 6].map((cut) => replay(entries, cut).digest());
    expect(new Set(states).size).toBe(1);
  });

  it('never goes back, and a raise to a level that is passed does nothing', () => {
    const machine = replay(logOf(raise(level), raise(0), raise(level)), 3);
    expect(machine.level).toBe(level);
    expect(machine.outcomeOf(logIndex(2))).toMatchObject({ ok: true });
  });

  it('is not switched on by a command of another epoch', () => {
    const machine = replay(logOf(raise(level, 2)), 1);
    expect(machine.level).toBe(0);
    expect(machine.outcomeOf(logIndex(1))).toMatchObject({ ok: false, code: 'STALE_SHARD' });
  });

  it('leaves a write that came before it with one effect when it is repeated after it', () => {
    const machine = replay(logOf(keyed(upsert(a), 1, 1), raise(level), keyed(upsert(a), 1, 1)), 3);
    expect(machine.outcomeOf(logIndex(3))).toMatchObject({ ok: true, replayed: true, versions: [1] });
    expect(machine.get(['a'])[0]?.version).toBe(1);
  });

  it('survives restarts and travels in snapshots', () => {
    const store = new MemoryStore();
    replay(logOf(raise(level), ...writes), 2, machineOf(store));
    expect(machineOf(store).level).toBe(level);
    const { meta, chunks } = chunksOf(machineOf(store));
    const receiver = machineOf(new MemoryStore(), indexOf(new FlatEngine()));
    const sink = receiver.openRestore(meta, 1);
    for (const chunk of chunks) sink.accept(chunk);
    sink.finish();
    expect([receiver.level, receiver.digest()]).toEqual([level, machineOf(store).digest()]);
  });

  it('is part of what replicas compare, and costs no byte while it is off', () => {
    const first = firstDescriptor({ epoch, configuration, level: 0 });
    const raised = { ...first, level };
    expect(stateChecksum(first)).not.toBe(stateChecksum(raised));
    expect(encodeDescriptor(first).length).toBeLessThan(encodeDescriptor(raised).length);
    expect(decodeDescriptor(encodeDescriptor(raised))).toEqual({ ...raised, format: 2 });
    expect(decode(snapshotHeaderCodec, encode(snapshotHeaderCodec, raised)).level).toBe(level);
    expect(encode(snapshotHeaderCodec, first)[0]).toBe(1);
  });
});

describe('what this program does not know', () => {
  const unknown: readonly (readonly [string, Uint8Array])[] = [
    ['a level', raise(flagRange.newest + 1)],
    ['a command', Uint8Array.of(120, 1, 1)],
    ['an operation', changed(writeOf(remove('a'), {}), operationAt, 77)],
    ['a condition', changed(writeOf(remove('a'), { conditions: [{ kind: 'absent' }] }), -2, 99)],
  ];

  it.each(unknown)('%s: stops apply before it, loudly', (_, data) => {
    const store = new MemoryStore();
    const machine = machineOf(store);
    machine.apply(logOf(writeOf(upsert(a), {})));
    const digest = machine.digest();
    expect(codeOf(() => machine.apply([entryOf(2, writeOf(remove('a'), {})), entryOf(3, data)]))).toBe(
      'UNSUPPORTED_VERSION',
    );
    expect([machine.appliedIndex, machine.digest()]).toEqual([1, digest]);
    expect([machineOf(store).appliedIndex, machineOf(store).digest()]).toEqual([1, digest]);
  });

  it('a first byte that no version will ever give out is only malformed', () => {
    const machine = replay(logOf(Uint8Array.of(250, 1, 2)), 1);
    expect(machine.outcomeOf(logIndex(1))).toMatchObject({ ok: false, code: 'INVALID_ARGUMENT' });
  });

  it('is gone on with by a program that does know it', () => {
    const store = new MemoryStore();
    const entries = logOf(writeOf(upsert(a), {}), raise(level), keyed(upsert(a), 1, 1));
    const outdated = machineOf(store, undefined, { flags: old });
    expect(codeOf(() => outdated.apply(entries))).toBe('UNSUPPORTED_VERSION');
    expect(outdated.appliedIndex).toBe(0);
    expect(replay(entries, 3, machineOf(store)).digest()).toBe(replay(entries, 3).digest());
    expect(codeOf(() => machineOf(store, undefined, { flags: old }))).toBe('UNSUPPORTED_VERSION');
  });

  it('a snapshot at a higher level is not taken', () => {
    const { meta, chunks } = chunksOf(replay(logOf(raise(level), writeOf(upsert(a), {})), 2));
    const receiver = machineOf(new MemoryStore(), undefined, { flags: old });
    const sink = receiver.openRestore(meta, 1);
    expect(codeOf(() => sink.accept(chunks[0] ?? new Uint8Array(0)))).toBe('UNSUPPORTED_VERSION');
    expect([receiver.appliedIndex, receiver.level, receiver.appliedTerm]).toEqual([0, 0, term(0)]);
  });

  it('a descriptor of a later format is not taken for a corrupt one', () => {
    expect(codeOf(() => decodeDescriptor(laterFormat()))).toBe('UNSUPPORTED_VERSION');
  });
});
