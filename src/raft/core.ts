import { Raft } from './raft';
import type { RaftCore, RaftOptions } from './types';

export function createRaft(options: RaftOptions): RaftCore {
  return new Raft(options);
}
