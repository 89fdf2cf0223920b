import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyHash } from '../../src/protocol/key-hash';
import { callsFileOf } from '../history/history-writer';
import { judge } from '../history/judge';
import { runSeed, type SimReport } from './run';

/** Runs a seed and has its history judged. A history that is not legal stays, for a person to look at. */
export function runJudged(seed: number, keyHash: KeyHash, program: string): SimReport {
  const file = join('out', 'histories', `seed-${seed}.jsonl`);
  const report = runSeed(seed, keyHash, null, null, file);
  const { verdict, output } = judge(program, [file]);
  if (verdict === 'legal') {
    for (const each of [file, callsFileOf(file)]) rmSync(each);
    return report;
  }
  return { ...report, violation: report.violation ?? output.trim() };
}
