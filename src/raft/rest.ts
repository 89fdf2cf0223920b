import type { LogIndex } from '../base/ids';
import type { RaftLog } from './log';

interface Settling {
  readonly log: RaftLog;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
}

/** Everything up to `index` is durable, committed and applied, and there is nothing beyond it. */
export function isSettledAt({ log, commitIndex, appliedIndex }: Settling, index: LogIndex): boolean {
  return log.lastIndex === index && log.durableIndex === index && commitIndex === index && appliedIndex === index;
}
