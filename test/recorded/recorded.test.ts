import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { placementCommandCodec, placementLevels } from '../../src/placement/commands';
import { type Codec, decode } from '../../src/protocol/codec';
import { commandLevels, conditionLevels, operationLevels, shardCommandCodec } from '../../src/protocol/commands';
import { flags } from '../../src/protocol/flags';
import { codeOf, entriesOf, readRecorded, recordedNames, replayOf, statesAt, writeRecorded } from './recorded-log';

/** The kinds of all that the recordings hold and this program can read. */
function kindsSeen() {
  const seen = {
    entries: new Set<string>(),
    commands: new Set<string>(),
    operations: new Set<string>(),
    conditions: new Set<string>(),
    placement: new Set<string>(),
  };
  for (const log of recordedNames().map(readRecorded)) {
    for (const { type, data } of entriesOf(log)) {
      seen.entries.add(type);
      if (type !== 'command') continue;
      if (log.machine === 'placement') {
        const read = readable(placementCommandCodec, data);
        if (read !== null) seen.placement.add(read.operation.kind);
        continue;
      }
      const command = readable(shardCommandCodec, data);
      if (command === null) continue;
      seen.commands.add(command.kind);
      if ('operation' in command) seen.operations.add(command.operation.kind);
      if ('options' in command) for (const { kind } of command.options.conditions) seen.conditions.add(kind);
    }
  }
  return seen;
}

/** Null: malformed on purpose. */
function readable<T>(codec: Codec<T>, data: Uint8Array): T | null {
  try {
    return decode(codec, data);
  } catch (thrown) {
    if (codeOf(thrown) === 'CORRUPT') return null;
    throw thrown;
  }
}

describe('logs that earlier versions wrote', () => {
  it('are kept', () => {
    expect(recordedNames()).toEqual(
      expect.arrayContaining(
        [1, 2, 3, 4, 5].map((n) => `placement-${n}`).concat([1, 2, 3, 4, 5, 6].map((n) => `shard-${n}`)),
      ),
    );
  });

  it.each(recordedNames())('%s gives the state that it gave then', (name) => {
    const log = readRecorded(name);
    const entries = entriesOf(log);
    expect(log.states.length).toBeGreaterThan(5);
    expect(new Set(log.states.map(({ state }) => state)).size).toBe(log.states.length);
    const indices = log.states.map(({ index }) => index);
    expect(statesAt(log.machine, entries, indices)).toEqual(log.states);
  });

  it.each(recordedNames())('%s gives it however its entries are cut into batches', (name) => {
    const log = readRecorded(name);
    const entries = entriesOf(log);
    const random = new Prng(1);
    const replay = replayOf(log.machine);
    for (let at = 0; at < entries.length; ) {
      const count = random.between(1, 60);
      replay.apply(entries.slice(at, at + count));
      at += count;
    }
    expect(replay.state()).toBe(log.states[log.states.length - 1]?.state);
  });

  it('have every kind of entry, command, operation and condition that there is: another one needs another recording', () => {
    const seen = kindsSeen();
    expect(seen.entries).toEqual(new Set(['noop', 'command', 'config']));
    expect(seen.commands).toEqual(new Set(Object.keys(commandLevels)));
    expect(seen.operations).toEqual(new Set(Object.keys(operationLevels)));
    expect(seen.conditions).toEqual(new Set(Object.keys(conditionLevels)));
    expect(seen.placement).toEqual(new Set(Object.keys(placementLevels)));
  });

  it.each(['shard', 'placement'] as const)('of a %s switch every flag on, with entries before and after', (machine) => {
    const levels = new Set(
      recordedNames()
        .map(readRecorded)
        .filter((log) => log.machine === machine)
        .flatMap(({ states }) => states.map(({ state }) => Number(/ level (\d+)/.exec(state)?.[1] ?? 0))),
    );
    expect([levels.has(0), Math.max(...levels)]).toEqual([true, flags.length]);
  });

  it('show a change of a single command', () => {
    const log = readRecorded('shard-1');
    const entries = entriesOf(log)
      .filter((_, at) => at !== 7)
      .map((entry, at) => ({ ...entry, index: at + 1 }));
    const replay = replayOf(log.machine);
    replay.apply(entries as never);
    expect(replay.state()).not.toBe(log.states[log.states.length - 1]?.state);
  });

  it('are never overwritten', () => {
    const where = mkdtempSync(join(tmpdir(), 'recorded-'));
    try {
      const log = readRecorded('shard-1');
      writeRecorded('once', log, where);
      const before = readFileSync(join(where, 'once.recorded'), 'utf8');
      let code = 'none';
      try {
        writeRecorded('once', { ...log, about: 'another' }, where);
      } catch (thrown) {
        code = codeOf(thrown);
      }
      expect([code, readFileSync(join(where, 'once.recorded'), 'utf8')]).toEqual(['ALREADY_EXISTS', before]);
    } finally {
      rmSync(where, { recursive: true });
    }
  });
});
