import { noReplica, type Term } from '../../src/base/ids';
import type { Entry, HardState, RaftMessage } from '../../src/protocol/raft-messages';
import { table } from '../../src/raft/dispatch';
import { Leadership } from '../../src/raft/leadership';
import { RaftLog } from '../../src/raft/log';
import { Output } from '../../src/raft/output';
import { Progress } from '../../src/raft/progress';
import { Raft } from '../../src/raft/raft';
import { LeaderReads } from '../../src/raft/reads';
import { type Mutation, patch } from './mutation';

/** What an older term has said, taken for something said in this one. */
const renewed = (name: string, kind: RaftMessage['kind'], role: Raft['role'], what: string): Mutation => ({
  name,
  what,
  patches: [
    patch<Raft, [RaftMessage]>(Raft.prototype, 'step', (raft, original, [message]) => {
      const isStale = message.kind === kind && message.term < raft.term && raft.role === role;
      return original(isStale ? { ...message, term: raft.term } : message);
    }),
  ],
});

/** More bugs in the consensus core: votes, acknowledgements, commits and reads as other systems got them wrong. */
export const coreMutations: readonly Mutation[] = [
  renewed('old-votes-counted', 'voteResponse', 'candidate', 'votes that were given in an older term count'),
  {
    name: 'refusals-counted',
    what: 'what a follower refuses counts as acknowledged',
    patches: [
      patch<unknown, [Raft, RaftMessage]>(table.leader, 'appendResponse', (_table, original, [raft, message]) => {
        const isRefusal = message.kind === 'appendResponse' && message.rejected && message.index <= raft.lastIndex;
        return original(raft, isRefusal ? { ...message, rejected: false } : message);
      }),
    ],
  },
  {
    name: 'own-vote-forgotten',
    what: 'a candidate does not note that it has voted for itself',
    patches: [
      patch<Raft, readonly unknown[]>(Raft.prototype, 'becomeCandidate', (raft, original, args) => {
        original(...args);
        raft.vote = noReplica;
      }),
    ],
  },
  {
    name: 'vote-from-refusal',
    what: 'a member takes over the vote that a refusal tells it of',
    patches: [
      patch<unknown, [Raft, RaftMessage]>(table.candidate, 'voteResponse', (_table, original, [raft, message]) => {
        if (message.kind === 'voteResponse' && !message.granted) raft.vote = message.from;
        return original(raft, message);
      }),
    ],
  },
  {
    name: 'previous-term-unchecked',
    what: 'a follower looks whether it has the entry before, and not whether it is the same one',
    patches: [
      patch<unknown, [Raft, RaftMessage]>(table.follower, 'appendRequest', (_table, original, [raft, message]) => {
        const held = message.kind === 'appendRequest' ? raft.termAt(message.prevIndex) : null;
        return original(raft, held === null ? message : { ...message, prevTerm: held });
      }),
    ],
  },
  {
    name: 'late-append-cuts',
    what: 'an append that comes late cuts off entries that match',
    patches: [
      patch<Raft, [readonly Entry[]]>(Raft.prototype, 'adopt', (raft, _original, [entries]) => {
        const first = entries.find(({ index }) => index > raft.commitIndex);
        if (first === undefined) return;
        if (first.index <= raft.lastIndex) {
          raft.log.cutFrom(first.index);
          raft.output.cutFrom(first.index);
        }
        for (const entry of entries) if (entry.index >= first.index) raft.log.append(entry);
      }),
    ],
  },
  {
    name: 'completion-of-the-replaced',
    what: 'the completion of a write vouches for entries that have replaced those it wrote',
    patches: [
      patch<{ handedIndex: number }, [number]>(Output.prototype, 'cutFrom', (output, _original, [index]) => {
        output.handedIndex = Math.min(output.handedIndex, index - 1);
      }),
    ],
  },
  {
    name: 'commit-ahead-of-log',
    what: 'the commit index on disk is the end of the log',
    patches: [
      patch<{ handedIndex: number }, []>(Output.prototype, 'hardState', (output, original) => ({
        ...(original() as HardState),
        commit: output.handedIndex,
      })),
    ],
  },
  {
    name: 'term-not-stored',
    what: 'the term is not in the hard state that is written, the vote is',
    patches: [
      patch<{ state: Raft }, []>(Output.prototype, 'hardState', ({ state }, original) => ({
        ...(original() as HardState),
        term: state.log.lastTerm === 0 ? (1 as Term) : state.log.lastTerm,
      })),
    ],
  },
  {
    name: 'apply-before-commit',
    what: 'a follower applies what is on its disk without waiting for the commit index',
    patches: [
      patch<unknown, [Raft, RaftMessage]>(table.follower, 'appendRequest', (_table, original, [raft, message]) => {
        if (message.kind !== 'appendRequest') return original(raft, message);
        const last = message.prevIndex + message.entries.length;
        return original(raft, { ...message, commit: Math.max(message.commit, last) } as RaftMessage);
      }),
    ],
  },
  {
    name: 'reads-before-own-term',
    what: 'a new leader serves reads before it has committed an entry of its own term',
    patches: [patch(Leadership.prototype, 'hasCommittedInTerm', () => true)],
  },
  {
    name: 'any-heartbeat-confirms',
    what: 'an answer to any heartbeat confirms reads that came in after it was sent',
    patches: [
      patch<LeaderReads, [number, number, unknown]>(
        LeaderReads.prototype,
        'acknowledge',
        (_reads, original, [from, , isQuorum]) => original(from, Number.POSITIVE_INFINITY, isQuorum),
      ),
      patch<unknown, [Raft, RaftMessage]>(table.leader, 'heartbeatResponse', (_table, original, [raft, message]) =>
        original(raft, { ...message, readContext: 1 } as RaftMessage),
      ),
    ],
  },
  {
    name: 'one-confirms-reads',
    what: 'a leader takes its own word for a quorum’s when it serves reads',
    patches: [
      patch<LeaderReads, [number, number, unknown]>(
        LeaderReads.prototype,
        'acknowledge',
        (_reads, original, [from, round]) => original(from, round, () => true),
      ),
    ],
  },
  {
    name: 'snapshot-never-sent',
    what: 'who lacks the head of the log waits for a snapshot that nobody sends',
    patches: [
      patch<Leadership, [unknown, Progress]>(
        Leadership.prototype,
        'askSnapshot',
        (_leadership, _original, [, progress]) => progress.awaitSnapshot(),
      ),
    ],
  },
  {
    name: 'inflight-bytes-uncounted',
    what: 'a leader counts the appends on their way to a follower, and not what they weigh',
    patches: [
      patch<Progress, [number, number]>(Progress.prototype, 'sent', (_progress, original, [last, bytes]) =>
        original(last, Math.min(bytes, 1)),
      ),
    ],
  },
  {
    name: 'room-by-signs-of-life',
    what: 'an answered heartbeat makes room for more appends, although nothing is acknowledged',
    patches: [
      patch<Leadership, [unknown, Progress]>(Leadership.prototype, 'ask', (_leadership, original, [to, progress]) => {
        if (progress.state === 'replicate' && progress.paused) {
          progress.probe(progress.next);
          progress.state = 'replicate';
        }
        return original(to, progress);
      }),
    ],
  },
  {
    name: 'uncommitted-bytes-leak',
    what: 'what was proposed is never taken off the bytes in flight when it is committed',
    patches: [patch(RaftLog.prototype, 'bytesOf', () => 0)],
  },
];
