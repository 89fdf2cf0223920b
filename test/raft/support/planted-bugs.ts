import { type LogIndex, logIndex, noReplica, type ReplicaId, replicaId } from '../../../src/base/ids';
import type { Configuration, Entry, RaftMessage } from '../../../src/protocol/raft-messages';
import { Configurations, isJoint } from '../../../src/raft/configurations';
import { Leadership } from '../../../src/raft/leadership';
import { RaftLog } from '../../../src/raft/log';
import { Members } from '../../../src/raft/members';
import { Output } from '../../../src/raft/output';
import { Progress } from '../../../src/raft/progress';
import { committedIndex as committedIndexOf, votersOf } from '../../../src/raft/quorum';
import { Raft } from '../../../src/raft/raft';
import type { MembersWanted, Ready } from '../../../src/raft/types';
import type { Fuzz, HostBug } from './group-fuzz';

/** A bug that the fuzz must find. Numbers are those of the checklist of bugs that real systems had. */
export interface PlantedBug {
  readonly name: string;
  /** Changes the core until the returned function is called. */
  readonly plant?: () => () => void;
  readonly host?: HostBug;
}

type Patch = Pick<PropertyDescriptor, 'value' | 'get'>;

const patched = (prototype: object, name: string, patch: Patch) => (): (() => void) => {
  const original = Object.getOwnPropertyDescriptor(prototype, name);
  if (original === undefined) throw new Error(`nothing to plant: ${name}`);
  Object.defineProperty(prototype, name, { ...patch, configurable: true });
  return () => Object.defineProperty(prototype, name, original);
};

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: '1: the vote is not persisted',
    host: { persistHardState: (hardState) => ({ ...hardState, vote: noReplica }) },
  },
  {
    name: '1: the term is not persisted',
    host: { persistHardState: (hardState) => ({ ...hardState, term: 1 as never }) },
  },
  {
    name: '1, 22: votes and acknowledgements leave before they are durable',
    plant: () => {
      const { take } = Output.prototype;
      return patched(Output.prototype, 'take', {
        value(this: Output): Ready {
          const ready = take.call(this);
          return { ...ready, messages: [...ready.messages, ...ready.afterAppend], afterAppend: [] };
        },
      })();
    },
  },
  {
    name: 'a candidate asks before its candidacy is durable',
    plant: () => {
      const { take } = Output.prototype;
      const isCandidacy = ({ kind }: RaftMessage): boolean => kind === 'voteRequest';
      return patched(Output.prototype, 'take', {
        value(this: Output): Ready {
          const ready = take.call(this);
          const messages = [...ready.messages, ...ready.afterAppend.filter(isCandidacy)];
          return { ...ready, messages, afterAppend: ready.afterAppend.filter((message) => !isCandidacy(message)) };
        },
      })();
    },
  },
  {
    name: '4: two votes in one term',
    plant: () => {
      const { step } = Raft.prototype;
      return patched(Raft.prototype, 'step', {
        value(this: Raft, message: RaftMessage) {
          if (message.kind === 'voteRequest' && message.term === this.term && this.role === 'follower') {
            this.vote = noReplica;
            this.leader = noReplica;
          }
          step.call(this, message);
        },
      })();
    },
  },
  {
    name: 'a vote for a log that is behind',
    plant: patched(RaftLog.prototype, 'isUpToDate', { value: () => true }),
  },
  {
    name: '18: acknowledgements of learners count',
    host: {
      onSend: (message, fuzz) =>
        message.kind === 'appendResponse' && isLearner(fuzz, message.from)
          ? { ...message, from: replicaId(2) }
          : message,
    },
  },
  {
    name: '20: entries of earlier terms are committed by counting (figure 8)',
    plant: patched(Leadership.prototype, 'mayCommit', { value: () => true }),
  },
  {
    name: '23: a late append cuts entries that match',
    plant: patched(Raft.prototype, 'adopt', {
      value(this: Raft, entries: Parameters<Raft['adopt']>[0]) {
        const first = entries.find(({ index }) => index > this.commitIndex);
        if (first === undefined) return;
        if (first.index <= this.lastIndex) {
          this.log.cutFrom(first.index);
          this.output.cutFrom(first.index);
        }
        for (const entry of entries) if (entry.index >= first.index) this.log.append(entry);
      },
    }),
  },
  {
    name: '25: a completion vouches for entries that were overwritten',
    plant: patched(Output.prototype, 'cutFrom', {
      value(this: { handedIndex: LogIndex }, index: LogIndex) {
        this.handedIndex = logIndex(Math.min(this.handedIndex, index - 1));
      },
    }),
  },
  {
    name: '26: a leader counts itself before its disk does',
    plant: () => {
      const { matchOf } = Leadership.prototype;
      return patched(Leadership.prototype, 'matchOf', {
        value(this: Leadership, member: Parameters<Leadership['matchOf']>[0]) {
          return member === this.raft.self ? this.raft.lastIndex : matchOf.call(this, member);
        },
      })();
    },
  },
  {
    name: '28, 33: a heartbeat that carries a commit index beyond the match',
    plant: patched(Leadership.prototype, 'heartbeatCommit', {
      value(this: Leadership) {
        return this.raft.commitIndex;
      },
    }),
  },
  {
    name: '35: a read before the leader has committed in its term',
    plant: patched(Leadership.prototype, 'hasCommittedInTerm', { value: () => true }),
  },
  {
    name: '37: a read that no quorum confirmed',
    plant: patched(Leadership.prototype, 'confirmReads', {
      value(this: Leadership, from: number, round: number) {
        return this.reads.acknowledge(replicaId(from), round, () => true);
      },
    }),
  },
  {
    name: '9: members are changed in one step, without a joint configuration',
    plant: patched(Leadership.prototype, 'changeMembers', {
      value(this: { enter: (configuration: Configuration, context: Uint8Array) => Entry }, wanted: MembersWanted) {
        const objection = Reflect.get(this, 'objection') as (wanted: MembersWanted) => string | null;
        if (objection.call(this, wanted) !== null) return { ok: false, reason: 'changing' };
        return { ok: true, ...this.enter({ ...wanted, votersOutgoing: [] }, new Uint8Array(0)) };
      },
    }),
  },
  {
    name: 'a majority of all voters together decides in a joint configuration',
    plant: () => {
      const { committedIndex } = Members.prototype;
      return patched(Members.prototype, 'committedIndex', {
        value(this: Members, matchOf: Parameters<typeof committedIndex>[0]) {
          const together = { ...this.configuration, voters: votersOf(this.configuration), votersOutgoing: [] };
          return committedIndexOf(together, matchOf);
        },
      })();
    },
  },
  {
    name: 'a joint configuration is left before it is committed',
    plant: patched(Leadership.prototype, 'finishChange', {
      value(this: { raft: Raft; enter: (configuration: Configuration, context: Uint8Array) => Entry }) {
        const { current } = this.raft.configurations;
        if (isJoint(current)) this.enter({ ...current, votersOutgoing: [] }, new Uint8Array(0));
      },
    }),
  },
  {
    name: 'a change begins while another one is under way',
    plant: patched(Raft.prototype, 'isChanging', { get: () => false }),
  },
  {
    name: 'a configuration is in force only once it is committed',
    plant: () => {
      const { commitTo } = Raft.prototype;
      const append = patched(Raft.prototype, 'append', {
        value(this: Raft, entry: Entry) {
          this.log.append(entry);
        },
      })();
      const commit = patched(Raft.prototype, 'commitTo', {
        value(this: Raft, index: LogIndex) {
          const from = logIndex(this.commitIndex + 1);
          commitTo.call(this, index);
          const committed = index < from ? [] : this.log.slice(from, index, Number.POSITIVE_INFINITY);
          for (const entry of committed) if (this.configurations.appended(entry)) this.membersChanged();
        },
      })();
      return () => {
        append();
        commit();
      };
    },
  },
  {
    name: 'a configuration that was cut from the log stays in force',
    plant: patched(Configurations.prototype, 'cutFrom', { value: () => false }),
  },
  {
    name: 'who left itself out does not see it through (thesis, 4.2.2)',
    plant: patched(Configurations.prototype, 'mayElect', {
      value(this: Configurations, member: ReplicaId) {
        return votersOf(this.current).includes(member);
      },
    }),
  },
  {
    name: 'members are promoted before they have caught up',
    plant: patched(Leadership.prototype, 'mayVote', { value: () => true }),
  },
  {
    name: 'leadership is handed over to a member that lags',
    plant: patched(Leadership.prototype, 'isLevel', { value: () => true }),
  },
  {
    name: '34: a snapshot that failed is never tried again',
    plant: patched(Progress.prototype, 'snapshotEnded', { value: () => undefined }),
  },
  {
    name: 'what entries on their way weigh is not counted',
    plant: () => {
      const { sent } = Progress.prototype;
      return patched(Progress.prototype, 'sent', {
        value(this: Progress, last: LogIndex, bytes: number) {
          sent.call(this, last, Math.min(bytes, 1));
        },
      })();
    },
  },
  {
    name: 'a sign of life makes room for more',
    plant: () => {
      const { ask } = Leadership.prototype;
      return patched(Leadership.prototype, 'ask', {
        value(this: Leadership, to: ReplicaId, progress: Progress) {
          if (progress.state === 'replicate' && progress.paused) {
            progress.probe(progress.next);
            progress.state = 'replicate';
          }
          ask.call(this, to, progress);
        },
      })();
    },
  },
  {
    name: 'what was lost on the way is never sent again',
    plant: patched(Leadership.prototype, 'ask', { value: () => undefined }),
  },
];

function isLearner(fuzz: Fuzz, id: number): boolean {
  for (const { core, up } of fuzz.nodes.values()) if (up) return core.configuration.learners.includes(replicaId(id));
  return false;
}
