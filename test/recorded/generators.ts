import { clusterId, collectionId, nodeName, replicaId, shardId, workerId } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { PlacementOperation } from '../../src/placement/commands';
import { PlacementMachine } from '../../src/placement/machine';
import { encode } from '../../src/protocol/codec';
import { shardCommandCodec } from '../../src/protocol/commands';
import { flags } from '../../src/protocol/flags';
import { configurationChangeCodec, type Entry } from '../../src/protocol/raft-messages';
import { memberListCodec } from '../../src/protocol/records';
import { indexedTypes } from '../../src/protocol/schemas';
import { sessionKeyText } from '../../src/protocol/session-key';
import { anyOperation, commandOf as placementCommandOf, register } from '../placement/generate';
import { epoch } from '../shard/shard-helpers';

export type Made = readonly [Entry['type'], Uint8Array];
const none = new Uint8Array(0);

/** Of a revision that at times is passed. */
export function schemaCommand(random: Prng, n: number): Uint8Array {
  const all = indexedTypes.map((type) => ({ key: `key-of-${type}`, type }));
  const indexes = all.filter(() => random.chance(0.4)).sort((a, b) => (a.key < b.key ? -1 : 1));
  const schema = { revision: Math.max(1, n - random.pick([0, 0, 50])), indexes, ttlMs: 0 };
  return encode(shardCommandCodec, { kind: 'schema', epoch, schema });
}

/** The same, of a schema that says how long points live, mostly. */
export function mortalSchemaCommand(random: Prng, n: number): Uint8Array {
  const indexes = random.chance(0.3) ? [{ key: 'k', type: random.pick(indexedTypes) }] : [];
  const schema = { revision: Math.max(1, n - random.pick([0, 0, 50])), indexes, ttlMs: random.pick([0, 900, 9_000]) };
  return encode(shardCommandCodec, { kind: 'mortalSchema', epoch, schema });
}

/** A group that adds a learner, puts it in the place of a voter by a joint configuration, and leaves that again. */
export class ChangingMembers {
  private voters = [11, 12, 13];
  private next = 14;
  private step = 0;

  constructor(private readonly random: Prng) {}

  change(): Made {
    const incoming = this.next;
    const target = [...this.voters.slice(1), incoming];
    const joint = { voters: target, votersOutgoing: this.voters, learners: [] as number[] };
    const steps = [
      { voters: this.voters, votersOutgoing: [], learners: [incoming] },
      joint,
      { voters: target, votersOutgoing: [], learners: [] },
    ];
    const made = steps[this.step] ?? joint;
    this.step = (this.step + 1) % steps.length;
    if (this.step === 0) {
      this.voters = target;
      this.next++;
    }
    const ids = { voters: made.voters, votersOutgoing: made.votersOutgoing, learners: made.learners };
    const configuration = {
      voters: ids.voters.map(replicaId),
      votersOutgoing: ids.votersOutgoing.map(replicaId),
      learners: ids.learners.map(replicaId),
    };
    const context = this.random.chance(0.3) ? none : this.places([...new Set([...this.voters, incoming])]);
    return ['config', encode(configurationChangeCodec, { kind: 'v1', configuration, context })];
  }

  private places(ids: readonly number[]): Uint8Array {
    const members = ids.map((id) => ({
      replica: replicaId(id),
      worker: workerId(id - 10),
      node: nodeName(`machine-${id - 10}`),
    }));
    return encode(memberListCodec, members);
  }
}

/** Keys as a gateway draws them; numbers come again, as repetitions do. */
export function sessionKey(random: Prng, n: number): string {
  const number = Math.max(1, n - random.between(0, 12));
  return sessionKeyText({ session: `gateway-${n % 2}`, number, settled: Math.max(1, number - random.between(0, 9)) });
}

/** To every level in turn, now and then to one that is passed. */
export function raiseCommand(n: number, every: number): Uint8Array {
  const level = Math.min(flags.length, Math.floor(n / every));
  return encode(shardCommandCodec, { kind: 'raise', epoch, level });
}

const noteOf = (kind: 'driver' | 'worker', id: number, newest: number): PlacementOperation => ({
  kind: 'noteSupport',
  node: { kind, id },
  range: { oldest: 0, newest },
});

/** Commands of the placement driver, most of them possible: it keeps a driver of its own to know what there is. */
export class PlacementHistory {
  private readonly machine = PlacementMachine.fresh(clusterId('recorded'));

  constructor(private readonly random: Prng) {}

  next(n: number): Uint8Array {
    const command = placementCommandOf(this.operation(n));
    this.machine.apply(command);
    return command;
  }

  private operation(n: number): PlacementOperation {
    const { random } = this;
    if (n === 0) return { kind: 'found', incarnation: 78 };
    if (n < 7) return register(`machine-${n}`);
    if (random.chance(0.3)) return this.stored(anyOperation(random));
    return random.pick([
      () => this.move(),
      () => this.settle(),
      () => this.settle(),
      () => this.support(),
      () => this.raise(),
      () => this.schema(),
    ])();
  }

  /** Half of the collections say how they are stored, whether that may be said yet or not. */
  private stored(operation: PlacementOperation): PlacementOperation {
    const { random } = this;
    if (operation.kind !== 'createCollection' || random.chance(0.5)) return operation;
    const storage = {
      quantisation: random.pick(['int8', 'none'] as const),
      originals: random.pick(['memory', 'disk'] as const),
    } as const;
    if (random.chance(0.5)) return { ...operation, kind: 'createStored', storage };
    return { ...operation, kind: 'createMortal', storage, ttlMs: random.pick([0, 700, 80_000]) };
  }

  private anyShard() {
    const shards = this.machine.shards();
    return shards.length === 0 ? null : this.random.pick(shards);
  }

  private move(): PlacementOperation {
    const shard = this.anyShard();
    const replica = shard === null ? replicaId(100) : this.random.pick(shard.members).replica;
    const target = workerId(this.random.pick([0, 0, 0, 3]));
    return { kind: 'moveReplica', shard: shard?.id ?? shardId(1), replica, target, avoid: [] };
  }

  /** What the move was for, or, at times, something else. */
  private settle(): PlacementOperation {
    const moving = this.machine.shards().filter(({ id }) => this.machine.move(id) !== null);
    const shard = moving.length === 0 ? this.anyShard() : this.random.pick(moving);
    if (shard === null) return { kind: 'settleMembers', shard: shardId(9), confVersion: 1, voters: [] };
    const voters = this.machine.move(shard.id)?.target ?? [];
    const confVersion = shard.epoch.confVersion + this.random.pick([4, 4, 4, 0]);
    return { kind: 'settleMembers', shard: shard.id, confVersion, voters: this.random.chance(0.1) ? [] : voters };
  }

  /** Mostly of a node that has not spoken; at times of one that takes it back. */
  private support(): PlacementOperation {
    const { random, machine } = this;
    const { levels } = machine;
    if (random.chance(0.1)) return noteOf('worker', random.between(1, 10), random.between(0, flags.length));
    const driver = [1, 2, 3].find((id) => levels.driver(replicaId(id)) === null);
    if (driver !== undefined) return noteOf('driver', driver, flags.length);
    const hosts = machine.shards().flatMap((shard) => shard.members.map(({ worker }) => worker));
    const silent = [...hosts, ...machine.workerIds()].find((id) => (levels.worker(id)?.newest ?? 0) < flags.length);
    return noteOf('worker', silent ?? 1, flags.length);
  }

  private schema(): PlacementOperation {
    const { random } = this;
    const type = random.chance(0.3) ? null : random.pick(indexedTypes);
    if (random.chance(0.3)) {
      return { kind: 'changeTtl', name: `c${random.between(1, 8)}`, ttlMs: random.pick([0, 500, 60_000]) };
    }
    if (random.chance(0.6)) return { kind: 'changeSchema', name: `c${random.between(1, 8)}`, key: 'k', type };
    const collection = collectionId(random.between(1, 20));
    return { kind: 'settleSchema', collection, revision: this.machine.revision };
  }

  private raise(): PlacementOperation {
    const level = Math.min(flags.length, this.machine.level + this.random.between(0, 1));
    return { kind: 'raiseLevel', level, drivers: [1, 2, 3].map(replicaId) };
  }
}
