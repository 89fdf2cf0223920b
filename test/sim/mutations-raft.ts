import { noReplica, type ReplicaId } from '../../src/base/ids';
import type { Entry, RaftMessage } from '../../src/protocol/raft-messages';
import { table } from '../../src/raft/dispatch';
import { Leadership } from '../../src/raft/leadership';
import { RaftLog } from '../../src/raft/log';
import { Raft } from '../../src/raft/raft';
import type { Ready } from '../../src/raft/types';
import { type Mutation, patch } from './mutation';
import { sleepMutations } from './mutations-sleep';

/** Bugs in the consensus core, and in what keeps many groups asleep. */
export const raftMutations: readonly Mutation[] = [
  {
    name: 'promise-before-durable',
    what: 'what must wait for the write leaves at once',
    patches: [
      patch<Raft, []>(Raft.prototype, 'ready', (_raft, original) => {
        const ready = original() as Ready;
        return { ...ready, messages: [...ready.messages, ...ready.afterAppend], afterAppend: [] };
      }),
    ],
  },
  {
    name: 'leader-counts-itself-early',
    what: 'a leader counts its own entries towards the majority before they are on its disk',
    patches: [
      patch<Leadership, [ReplicaId]>(Leadership.prototype, 'matchOf', ({ raft }, original, [member]) =>
        member === raft.self ? raft.lastIndex : original(member),
      ),
    ],
  },
  {
    name: 'commit-old-term',
    what: 'a leader commits entries of earlier terms by counting (Raft, figure 8)',
    patches: [patch(Leadership.prototype, 'mayCommit', () => true)],
  },
  {
    name: 'commit-alone',
    what: 'a leader commits what only its own disk has',
    patches: [patch<Leadership, []>(Leadership.prototype, 'matchOf', ({ raft }) => raft.log.durableIndex)],
  },
  {
    name: 'vote-twice',
    what: 'a follower forgets in the same term whom it voted for',
    patches: [
      patch<unknown, [Raft, RaftMessage]>(table.follower, 'voteRequest', (_table, original, [raft, message]) => {
        raft.vote = noReplica;
        return original(raft, message);
      }),
    ],
  },
  {
    name: 'vote-for-anyone',
    what: 'a vote is given to candidates whose log is behind (Raft, 5.4.1)',
    patches: [patch<RaftLog, []>(RaftLog.prototype, 'isUpToDate', () => true)],
  },
  {
    name: 'keep-conflicts',
    what: 'a follower keeps entries that conflict with its leader’s (Raft, 5.3)',
    patches: [
      patch<Raft, [readonly Entry[]]>(Raft.prototype, 'adopt', (raft, original, [entries]) =>
        original(entries.filter(({ index }) => raft.termAt(index) === null)),
      ),
    ],
  },
  {
    name: 'heartbeat-commits-too-far',
    what: 'a heartbeat lets a follower commit entries that were never compared with the leader’s',
    patches: [patch<Leadership, []>(Leadership.prototype, 'heartbeatCommit', ({ raft }) => raft.commitIndex)],
  },
  ...sleepMutations,
];
