import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Prng } from '../../src/base/prng';
import { codeOf, entriesOf, readRecorded, recordedNames, replayOf, statesAt, writeRecorded } from './recorded-log';

describe('logs that earlier versions wrote', () => {
  it('are kept', () => {
    expect(recordedNames()).toEqual(expect.arrayContaining(['placement-1', 'shard-1', 'shard-2']));
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
