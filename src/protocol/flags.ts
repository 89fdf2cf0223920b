import { assert } from '../base/assert';
import { VectronError } from '../base/errors';
import { struct, type TypeOf, varint } from './codec';

/**
 * The catalogue of feature flags: every change of what applying a log entry does, in the order they are switched on.
 *
 *  1. A flag's number is its place here, from 1. Numbers, names and meanings are for ever; a new flag goes to the end.
 *  2. Each group has a level: the number of its last flag that is on. All up to it are on, all beyond it are off. Groups
 *     begin at level 0, and a level never falls.
 *  3. A shard's level rises by an entry of its own log (`raise`), so that all its replicas switch at the same index, and
 *     travels in its snapshots. That of the placement driver rises by a command of its log.
 *  4. Apply asks isOn() with the level of the state it applies to, and nothing else: never what this program could do.
 *  5. A level, a command or a condition that this program does not know stops the replica (UNSUPPORTED_VERSION).
 *
 * Code that no group needs any more goes only together with `flagRange.oldest`.
 */
export const flags = [
  {
    number: 1,
    name: 'sessionKeys',
    /** Of the program that first knew it. */
    since: '0.1.0',
    changes:
      'A shard takes an idempotency key of the form ~session/number/settled for one of a session (decision 0015), and a point ' +
      'forgets what the session has settled. Before, it is a key like any other.',
  },
  {
    number: 2,
    name: 'payloadIndexes',
    since: '0.1.0',
    changes:
      'A shard takes schemas, which say what is indexed of its payloads, keeps the latest and sends it with its snapshots. The ' +
      'placement driver takes changes of schemas. Before, both are refused.',
  },
  {
    number: 3,
    name: 'storage',
    since: '0.1.0',
    changes:
      'The placement driver takes collections that say whether their vectors are quantised and where the originals are. Before, it ' +
      'refuses them: every collection is quantised, with its originals in memory.',
  },
  {
    number: 4,
    name: 'expiry',
    since: '0.1.0',
    changes:
      'Points may end at a log time (decision 0020): a shard takes writes that say how long their points live, and commands that ' +
      'purge what has ended. Before, both are refused.',
  },
  {
    number: 5,
    name: 'issueTimes',
    since: '0.1.0',
    changes:
      'A shard holds the time at which a key was drawn against its leader’s clock, if that is ahead of log time. Before, it held ' +
      'it against log time alone, which after some quiet hours is hours behind, and refused the first writes.',
  },
  {
    number: 6,
    name: 'collectionTtl',
    since: '0.1.0',
    changes:
      'A collection may say how long its points live (decision 0025): a shard takes schemas that say so, and gives that end to ' +
      'the points of writes that name none. The placement driver takes such collections, and changes of it. Before, all are refused.',
  },
] as const satisfies readonly Flag[];

export interface Flag {
  readonly number: number;
  readonly name: string;
  readonly since: string;
  /** What apply does with it, and what without. */
  readonly changes: string;
}
export type FlagName = (typeof flags)[number]['name'];

/** The levels at which a program can run a group. What nodes tell the placement driver of themselves. */
export const flagRangeCodec = struct({ oldest: varint, newest: varint });
export type FlagRange = TypeOf<typeof flagRangeCodec>;

/** Of this program. */
export const flagRange: FlagRange = { oldest: 0, newest: flags.length };

const numbers: ReadonlyMap<string, number> = new Map(flags.map(({ name, number }) => [name, number]));
assert(
  flags.every(({ number }, at) => number === at + 1),
  'the numbers of flags are their places',
);

export function flagNumber(name: FlagName): number {
  const number = numbers.get(name);
  assert(number !== undefined, () => `no flag ${name}`);
  return number;
}

export const isOn = (name: FlagName, level: number): boolean => level >= flagNumber(name);

/** Throws UNSUPPORTED_VERSION if a program of this range cannot run a group at `level`. */
export function checkLevel(level: number, { oldest, newest }: FlagRange, where: string): void {
  if (level >= oldest && level <= newest) return;
  const why = `${where} is at level ${level}; this program supports ${oldest} to ${newest}`;
  throw new VectronError('UNSUPPORTED_VERSION', why);
}
