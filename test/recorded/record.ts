import { bytesOfFloats } from '../../src/base/bytes';
import { VectronError } from '../../src/base/errors';
import { Prng } from '../../src/base/prng';
import { encode } from '../../src/protocol/codec';
import { type Condition, type Life, type ShardOperation, shardCommandCodec } from '../../src/protocol/commands';
import { flags } from '../../src/protocol/flags';
import { anyOperation, commandOf as placementCommandOf, register } from '../placement/generate';
import { commandOf, dimension, entryOf, epoch, pointOf, remove, upsert, writeOf } from '../shard/shard-helpers';
import {
  ChangingMembers,
  type Made,
  mortalSchemaCommand,
  PlacementHistory,
  raiseCommand,
  schemaCommand,
  sessionKey,
} from './generators';
import { type RecordedLog, statesAt, writeRecorded } from './recorded-log';

/**
 * Records logs of this version: `node <compiled>/test/recorded/record.js NAME GENERATOR`. A log that exists is never
 * overwritten: what an old version wrote cannot be written again.
 */
type Generator = (random: Prng, n: number) => Made;

const entryCount = 400;
const stateEvery = 40;
const firstTimeMs = 1_700_000_000_000;
const none = new Uint8Array(0);
/** A quarter of a log is below the first flag, and there is something at each level. */
const raiseEvery = 400 / (flags.length + 1);

const timeOf = (random: Prng, n: number): number => firstTimeMs + n * 900 + random.between(-2_000, 2_000);

function anyWrite(random: Prng): ShardOperation {
  const ids = Array.from({ length: random.between(1, 4) }, () => `point-${random.between(1, 60)}`);
  if (random.chance(0.3)) return remove(...ids);
  return upsert(...ids.map((id) => pointOf(id, random, random.between(0, 40))));
}

/** What apply must refuse in the same way for ever. */
function anyBadCommand(random: Prng, n: number): Uint8Array {
  const timeMs = timeOf(random, n);
  const wrong = { id: 'short', vector: bytesOfFloats(new Float32Array(dimension + 1)), payload: none };
  const bad = [
    Uint8Array.of(250, 1, 2, 3),
    commandOf(anyWrite(random), { timeMs, epoch: { version: 9, confVersion: 1 } }),
    commandOf(upsert(wrong), { timeMs }),
  ];
  return random.pick(bad);
}

const anyCondition = (random: Prng): Condition =>
  random.pick([
    { kind: 'none' },
    { kind: 'absent' },
    { kind: 'present' },
    { kind: 'version', version: random.between(1, 400) },
  ] as const);

function conditionalWrite(random: Prng, n: number): Uint8Array {
  const operation = anyWrite(random);
  const count = operation.kind === 'delete' ? operation.ids.length : operation.points.length;
  const timeMs = timeOf(random, n);
  const key = random.chance(0.6) ? `key-${random.between(1, 80)}` : '';
  const conditions = random.chance(0.5) ? Array.from({ length: count }, () => anyCondition(random)) : [];
  const times = { issuedMs: timeMs - random.between(0, 9_000), windowMs: random.pick([1_000, 60_000]) };
  return writeOf(operation, { key, conditions, ...times, returnPrevious: random.chance(0.2) }, timeMs);
}

/** Each run of the program records one log: what these keep from entry to entry begins with it. */
const members = new ChangingMembers(new Prng(1));
const history = new PlacementHistory(new Prng(2));

function levelledWrite(random: Prng, n: number): Uint8Array {
  const timeMs = timeOf(random, n);
  const times = { issuedMs: timeMs - random.between(0, 9_000), windowMs: random.pick([1_000, 60_000]) };
  const operation = anyWrite(random);
  const count = operation.kind === 'delete' ? operation.ids.length : operation.points.length;
  const conditions = random.chance(0.2) ? Array.from({ length: count }, () => anyCondition(random)) : [];
  return writeOf(operation, { key: sessionKey(random, n), conditions, ...times }, timeMs);
}

/** Three hours pass every now and then in which nobody writes. */
const quietHoursMs = 3 * 3_600_000;
const quietEvery = 40;

function timedCommand(random: Prng, n: number): Uint8Array {
  const timeMs = timeOf(random, n) + Math.floor(n / quietEvery) * quietHoursMs;
  const ids = Array.from({ length: random.between(1, 3) }, () => `point-${random.between(1, 60)}`);
  if (random.chance(0.15)) return encode(shardCommandCodec, { kind: 'expire', epoch, timeMs, ids });
  const lives: readonly Life[] = [
    { kind: 'default' },
    { kind: 'kept' },
    { kind: 'given', ttlMs: random.between(1, 20_000) },
  ];
  const points = ids.map((id) => ({ ...pointOf(id, random), life: random.pick(lives) }));
  const operation = random.chance(0.6) ? ({ kind: 'put', points } as const) : anyWrite(random);
  const times = { issuedMs: timeMs - random.between(0, 900), windowMs: 60_000 };
  return writeOf(operation, { key: random.chance(0.7) ? `key-${n}` : '', ...times }, timeMs);
}

const generators: Readonly<Record<string, { machine: RecordedLog['machine']; about: string; next: Generator }>> = {
  'shard-levels': {
    machine: 'shard',
    about: 'members change, flags come on one after the other, payload indexes come and go, keys are those of sessions',
    next: (random, n) => {
      if (random.chance(0.08)) return members.change();
      if (random.chance(0.04)) return ['command', raiseCommand(n, raiseEvery)];
      if (random.chance(0.04)) return ['command', encode(shardCommandCodec, { kind: 'checksum', epoch })];
      if (random.chance(0.02)) return ['noop', none];
      if (random.chance(0.02)) return ['command', schemaCommand(random, n)];
      return ['command', random.chance(0.1) ? conditionalWrite(random, n) : levelledWrite(random, n)];
    },
  },
  'shard-times': {
    machine: 'shard',
    about:
      'points that end and are purged, and hours in which nobody writes, before and after the flags that change both',
    next: (random, n) => {
      if (random.chance(0.04)) return ['command', raiseCommand(n, raiseEvery)];
      return random.chance(0.02) ? ['noop', none] : ['command', timedCommand(random, n)];
    },
  },
  'shard-lives': {
    machine: 'shard',
    about:
      'points that end as their writes say, or as the schema of their shard does, which changes; from below the first flag',
    next: (random, n) => {
      if (random.chance(0.05)) return ['command', raiseCommand(n, raiseEvery)];
      if (random.chance(0.1)) return ['command', mortalSchemaCommand(random, n)];
      if (random.chance(0.03)) return ['command', schemaCommand(random, n)];
      return random.chance(0.02) ? ['noop', none] : ['command', timedCommand(random, n)];
    },
  },
  'placement-moves': {
    machine: 'placement',
    about: 'commands v1 of the placement driver: moves and what came of them, support of nodes, levels, and all others',
    next: (random, n) => (random.chance(0.03) && n > 7 ? ['noop', none] : ['command', history.next(n)]),
  },
  'shard-plain': {
    machine: 'shard',
    about: 'commands v1: upserts and deletes, stale, malformed and misfit ones among them',
    next: (random, n) => {
      if (random.chance(0.05)) return ['noop', none];
      const isBad = random.chance(0.1);
      return ['command', isBad ? anyBadCommand(random, n) : commandOf(anyWrite(random), { timeMs: timeOf(random, n) })];
    },
  },
  'shard-conditional': {
    machine: 'shard',
    about: 'commands v2: keys, windows and conditions; v1 and checksums between them',
    next: (random, n) => {
      if (random.chance(0.05)) return ['command', encode(shardCommandCodec, { kind: 'checksum', epoch })];
      if (random.chance(0.1)) return ['command', commandOf(anyWrite(random), { timeMs: timeOf(random, n) })];
      return ['command', conditionalWrite(random, n)];
    },
  },
  placement: {
    machine: 'placement',
    about: 'commands v1 of the placement driver: workers, collections, removals',
    next: (random, n) => {
      if (n === 0) return ['command', placementCommandOf({ kind: 'found', incarnation: 77 })];
      if (n < 6) return ['command', placementCommandOf(register(`machine-${n}`))];
      return random.chance(0.03) ? ['noop', none] : ['command', placementCommandOf(anyOperation(random))];
    },
  },
};

function record(name: string, generator: string): void {
  const chosen = generators[generator];
  if (chosen === undefined) {
    throw new VectronError('INVALID_ARGUMENT', `generators are ${Object.keys(generators).join(', ')}`);
  }
  const random = new Prng(20_261_121);
  const made = Array.from({ length: entryCount }, (_, n) => chosen.next(random, n));
  const entries = made.map(([type, data], at) => entryOf(at + 1, data, type));
  const indices = Array.from({ length: entryCount / stateEvery }, (_, at) => (at + 1) * stateEvery);
  const states = statesAt(chosen.machine, entries, indices);
  const stored = made.map(([type, data]) => ({ type, data: Buffer.from(data).toString('base64') }));
  writeRecorded(name, { machine: chosen.machine, about: chosen.about, entries: stored, states });
}

const [name, generator] = process.argv.slice(2);
if (name === undefined || generator === undefined) {
  process.stderr.write(`usage: record NAME ${Object.keys(generators).join('|')}\n`);
  process.exitCode = 2;
} else record(name, generator);
