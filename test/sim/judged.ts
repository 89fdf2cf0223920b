import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyHash } from '../../src/protocol/key-hash';
import { callsFileOf } from '../history/history-writer';
import { type Judgement, judge } from '../history/judge';
import type { Mutation } from './mutation';
import { runSeed, type SimReport } from './run';

/** A run with what the judge says of its history, whatever the simulator itself has found. A history that is not legal stays. */
export interface JudgedRun {
  readonly report: SimReport;
  readonly judgement: Judgement;
  /** Its history, which is gone if it was legal. */
  readonly file: string;
}

export function judgeSeed(seed: number, keyHash: KeyHash, program: string, mutation: Mutation | null): JudgedRun {
  const file = join('out', 'histories', `seed-${seed}${mutation === null ? '' : `-${mutation.name}`}.jsonl`);
  const report = runSeed(seed, keyHash, null, mutation, file);
  const judgement = judge(program, [file]);
  if (judgement.verdict === 'legal') for (const each of [file, callsFileOf(file)]) rmSync(each);
  return { report, judgement, file };
}

export function runJudged(seed: number, keyHash: KeyHash, program: string): SimReport {
  const { report, judgement } = judgeSeed(seed, keyHash, program, null);
  if (judgement.verdict === 'legal') return report;
  return { ...report, violation: report.violation ?? judgement.output.trim() };
}
