import { logIndex, term } from '../../../src/base/ids';
import type { RaftMessage } from '../../../src/protocol/raft-messages';
import { Group, id, text, votersUpTo } from './group';

export const three = (): Group => new Group(votersUpTo(3)).start();
export const header = (from: number, to: number, now: number) => ({ from: id(from), to: id(to), term: term(now) });
export const append = (
  from: number,
  to: number,
  now: number,
  prev: readonly [number, number],
  terms: readonly number[],
  commit = 0,
) =>
  ({
    kind: 'appendRequest',
    ...header(from, to, now),
    prevIndex: logIndex(prev[0]),
    prevTerm: term(prev[1]),
    commit: logIndex(commit),
    entries: terms.map((of, i) => ({
      term: term(of),
      index: logIndex(prev[0] + i + 1),
      type: 'command',
      data: text('x'),
    })),
  }) satisfies RaftMessage;
export const voteRequest = (from: number, to: number, now: number, last: readonly [number, number]) =>
  ({
    kind: 'voteRequest',
    ...header(from, to, now),
    lastIndex: logIndex(last[0]),
    lastTerm: term(last[1]),
    transfer: false,
  }) satisfies RaftMessage;

export function ack(from: number, to: number, now: number, index: number) {
  const hint = { hintIndex: logIndex(0), hintTerm: term(0) };
  return {
    kind: 'appendResponse',
    ...header(from, to, now),
    rejected: false,
    index: logIndex(index),
    ...hint,
  } as const;
}
