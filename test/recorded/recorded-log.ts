import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asVectronError, VectronError } from '../../src/base/errors';
import { clusterId } from '../../src/base/ids';
import { PlacementMachine } from '../../src/placement/machine';
import type { Entry } from '../../src/protocol/raft-messages';
import type { ShardMachine } from '../../src/shard/shard-machine';
import { MemoryStore } from '../../src/storage/memory-store';
import { root } from '../repo/support/files';
import { entryOf, machineOf } from '../shard/shard-helpers';

/** A log as some version of this program wrote it, and what its state was on the way: kept for ever, never rewritten. */
export interface RecordedLog {
  readonly machine: 'shard' | 'placement';
  readonly about: string;
  /** Data in base64; entry n has index n + 1. */
  readonly entries: readonly { readonly type: Entry['type']; readonly data: string }[];
  /** What the state was when exactly the entries up to `index` were applied. */
  readonly states: readonly { readonly index: number; readonly state: string }[];
}

const folder = join(root, 'test', 'recorded', 'logs');

export const recordedNames = (): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.recorded'))
    .map((name) => name.slice(0, -'.recorded'.length))
    .sort();

export const readRecorded = (name: string): RecordedLog =>
  JSON.parse(readFileSync(join(folder, `${name}.recorded`), 'utf8')) as RecordedLog;

/** Throws ALREADY_EXISTS rather than touch a log that is there. */
export function writeRecorded(name: string, log: RecordedLog, where = folder): void {
  const file = join(where, `${name}.recorded`);
  if (existsSync(file))
    throw new VectronError('ALREADY_EXISTS', `${name} is recorded: give another version a new name`);
  mkdirSync(where, { recursive: true });
  writeFileSync(file, `${JSON.stringify(log, null, 1)}\n`, { flag: 'wx' });
}

/** Applies entries given in any cuts; says what the state is. */
interface Replay {
  apply(entries: readonly Entry[]): void;
  state(): string;
}

export function entriesOf({ entries }: RecordedLog): Entry[] {
  return entries.map(({ type, data }, at) => entryOf(at + 1, new Uint8Array(Buffer.from(data, 'base64')), type));
}

export const replayOf = (kind: RecordedLog['machine']): Replay =>
  kind === 'shard' ? shardReplay() : placementReplay();

function shardReplay(): Replay {
  const machine = machineOf(new MemoryStore());
  return {
    apply: (entries) => machine.apply(entries),
    state: () => {
      const { epoch, points, logTimeMs, level } = machine;
      const later = `${level > 0 ? ` level ${level}` : ''}${membersText(machine)}${schemaText(machine)}`;
      const { records } = machine.recount();
      return `${machine.digest()} points ${points} records ${records} time ${logTimeMs} epoch ${epoch.version}.${epoch.confVersion}${later}`;
    },
  };
}

/** Empty without one: what older recordings do not have. */
function schemaText({ schema: { revision, indexes, ttlMs } }: ShardMachine): string {
  const ttl = ttlMs === 0 ? '' : ` ttl ${ttlMs}`;
  return revision === 0 ? '' : ` schema ${revision} ${indexes.map(({ key, type }) => `${key}/${type}`)}${ttl}`;
}

/** Empty before the first change: what older recordings do not have. */
function membersText({ epoch, configuration, members }: ShardMachine): string {
  if (epoch.confVersion === 1) return '';
  const { voters, votersOutgoing, learners } = configuration;
  const places = members.map(({ replica, worker, node }) => `${replica}@${worker}/${node}`);
  return ` voters ${voters} outgoing ${votersOutgoing} learners ${learners} members ${places}`;
}

function placementReplay(): Replay {
  const machine = PlacementMachine.fresh(clusterId('recorded'));
  return {
    apply: (entries) => {
      for (const { type, data } of entries) if (type === 'command') machine.apply(data);
    },
    state: () => {
      const level = machine.level > 0 ? ` level ${machine.level}` : '';
      return `${machine.digest()} revision ${machine.revision} incarnation ${machine.incarnation}${level}`;
    },
  };
}

/** The states of a replay that stops at each of `indices`. */
export function statesAt(
  kind: RecordedLog['machine'],
  entries: readonly Entry[],
  indices: readonly number[],
): RecordedLog['states'] {
  const replay = replayOf(kind);
  let from = 0;
  return indices.map((index) => {
    replay.apply(entries.slice(from, index));
    from = index;
    return { index, state: replay.state() };
  });
}

export const codeOf = (thrown: unknown): string => asVectronError(thrown).code;
