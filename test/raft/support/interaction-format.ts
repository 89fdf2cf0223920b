import type { Configuration, Entry, RaftMessage } from '../../../src/protocol/raft-messages';
import { changeIn } from '../../../src/raft/configurations';
import type { RaftCore, Ready } from '../../../src/raft/types';

/** How golden files spell things: one line each, nothing that does not matter, entries as index@term. */

export const entryText = (entry: Entry): string => `${entry.index}@${entry.term} ${contentText(entry)}`;

function contentText(entry: Entry): string {
  if (entry.type === 'command') return Buffer.from(entry.data).toString('utf8');
  return entry.type === 'config' ? configurationText(changeIn(entry).configuration) : entry.type;
}

export function configurationText({ voters, votersOutgoing, learners }: Configuration): string {
  const halves = votersOutgoing.length === 0 ? `(${voters})` : `(${voters})&(${votersOutgoing})`;
  return `config ${halves}${learners.length === 0 ? '' : ` learners ${learners}`}`;
}

const entriesText = (entries: readonly Entry[]): string => `[${entries.map(entryText).join(', ')}]`;

export function messageText(message: RaftMessage): string {
  return `${message.from}>${message.to} ${message.kind} term ${message.term}${detail(message)}`;
}

function detail(message: RaftMessage): string {
  switch (message.kind) {
    case 'preVoteRequest':
      return ` last ${message.lastIndex}@${message.lastTerm}`;
    case 'voteRequest':
      return ` last ${message.lastIndex}@${message.lastTerm}${message.transfer ? ' transfer' : ''}`;
    case 'preVoteResponse':
    case 'voteResponse':
      return message.granted ? ' granted' : ' refused';
    case 'appendRequest':
      return ` after ${message.prevIndex}@${message.prevTerm} commit ${message.commit} ${entriesText(message.entries)}`;
    case 'appendResponse':
      return message.rejected
        ? ` rejects ${message.index} hint ${message.hintIndex}@${message.hintTerm}`
        : ` accepts ${message.index}`;
    case 'heartbeatRequest':
      return ` commit ${message.commit}${message.readContext > 0 ? ` round ${message.readContext}` : ''}`;
    case 'heartbeatResponse':
      return message.readContext > 0 ? ` round ${message.readContext}` : '';
    case 'readIndexRequest':
      return ` read ${message.readContext}`;
    case 'readIndexResponse':
      return ` read ${message.readContext} ${message.index === null ? 'refused' : `at ${message.index}`}`;
    case 'snapshotInstalled':
      return ` index ${message.index}`;
    case 'timeoutNow':
      return '';
  }
}

export function writeText({ write, hardState, entries, afterAppend }: Ready): string {
  const state = hardState === null ? '' : ` term ${hardState.term} vote ${hardState.vote} commit ${hardState.commit}`;
  const promises = afterAppend.length === 0 ? '' : `, then ${afterAppend.map(messageText).join('; ')}`;
  return `writes #${write}${state}${entries.length === 0 ? '' : ` ${entriesText(entries)}`}${promises}`;
}

export const stateText = ({ role, term, leader, commitIndex }: RaftCore): string =>
  `${role} term ${term} leader ${leader} commit ${commitIndex}`;
