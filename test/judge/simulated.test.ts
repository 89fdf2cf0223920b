import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { KeyHash } from '../../src/protocol/key-hash';
import { loadKeyHash } from '../../src/protocol/node/xxh3';
import { callsFileOf } from '../history/history-writer';
import { buildJudge, judge } from '../history/judge';
import { judgeSeed } from '../sim/judged';
import { mutationNamed } from '../sim/mutations';
import { runSeed } from '../sim/run';

/** Each with the first of twelve seeds of which at least one shows the bug to clients. */
const planted = [
  ['a stale read', 'read-without-quorum', 262],
  ['a lost write', 'acknowledge-before-quorum', 1],
  ['two winners of one condition', 'condition-at-propose', 2],
] as const;

const seedCount = 12;

describe('of simulated clusters, the judge alone', () => {
  let keyHash: KeyHash;
  let program = '';
  beforeAll(async () => {
    keyHash = await loadKeyHash();
    program = buildJudge();
  }, 120_000);

  test('has conditional writes before it, and finds nothing wrong', () => {
    const file = join(tmpdir(), `vectron-simulated-${process.pid}.jsonl`);
    expect(runSeed(3, keyHash, null, null, file).violation).toBeNull();
    const lines = readFileSync(file, 'utf8').trim().split('\n').slice(1);
    const functions = lines.map((line) => JSON.parse(line) as { f: string; st: string; o: { ok?: boolean } | null });
    expect(functions.some(({ f, o }) => f === 'cas' && o?.ok === true)).toBe(true);
    expect(functions.some(({ f, o }) => f === 'cas' && o?.ok === false)).toBe(true);
    expect(functions.some(({ f, o }) => f === 'cad' && o?.ok === true)).toBe(true);
    expect(judge(program, [file]).verdict).toBe('legal');
    for (const each of [file, callsFileOf(file)]) rmSync(each);
  }, 60_000);

  test.each(planted)(
    'finds %s',
    (_what, name, first) => {
      const verdicts: string[] = [];
      for (let seed = first; seed < first + seedCount && !verdicts.includes('illegal'); seed++) {
        const { judgement, file } = judgeSeed(seed, keyHash, program, mutationNamed(name));
        verdicts.push(judgement.verdict);
        for (const each of [file, callsFileOf(file)]) rmSync(each, { force: true });
      }
      expect(verdicts).toContain('illegal');
      expect(verdicts).not.toContain('malformed');
    },
    120_000,
  );
});
