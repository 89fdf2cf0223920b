import type { ReplicaActor } from '../../src/actors/replica';
import { logIndex, type ReplicaId, type Space } from '../../src/base/ids';
import type { Prng } from '../../src/base/prng';
import type { ReplicaSpec } from '../../src/protocol/records';
import type { Descriptor } from '../../src/shard/descriptor';
import { deletion, encodeRecord } from '../../src/shard/point-record';
import { digestWith, recordHash } from '../../src/shard/record-digest';
import { entriesFrom, logRecordKey, pointKey, pointRange, replicaStateKey } from '../../src/storage/keys';
import { readRecord } from '../../src/storage/log-records';
import type { KeyValueStore } from '../../src/storage/ports';
import type { SimCluster } from './cluster';
import type { WorkerMachine } from './machine';
import { must } from './violation';

interface Victim {
  readonly spec: ReplicaSpec;
  readonly machine: WorkerMachine;
  readonly kind: 'record' | 'misdirected' | 'log' | 'apply';
  /** Of records: where it is, and the damaged bytes. */
  readonly key: Uint8Array | null;
  readonly bytes: Uint8Array | null;
}

const kindsFoundByUse = ['log', 'apply'] as const;
const allKinds = ['record', 'misdirected', ...kindsFoundByUse] as const;
const countMax = Number.MAX_SAFE_INTEGER;
const noBytes = new Uint8Array(0);
/** The newest are those that only the log has. */
const newestCount = 4;
/** Never shown to anybody: a deletion of what never was, which only replicas that compare themselves can notice. */
const ghost = 'a point that no client wrote';

/**
 * Damage to what replicas keep: a flipped bit in a record, a record in another's place, a flipped bit in the middle of a log, a state that an apply has made
 * another than its peers'. At most one replica of a shard for ever, so that two whole ones are left, and:
 *
 *  1. One whose quarantine is on disk never sends a word to its group again.
 *  2. In the end no replica that serves holds damage, and those that serve agree.
 *  3. Nobody else takes itself for damaged.
 */
export class Damage {
  private readonly victims = new Map<ReplicaId, Victim>();
  private readonly quarantined = new Set<ReplicaId>();
  /** Those whose next apply goes wrong. */
  private readonly differing = new Set<number>();

  constructor(
    private readonly cluster: SimCluster,
    /** Records are read again so often that damage in one is found before the end of the run. */
    private readonly recordsAreRead: boolean,
  ) {}

  get count(): number {
    return this.victims.size;
  }
  get quarantineCount(): number {
    return this.quarantined.size;
  }

  isVictim(replica: ReplicaId): boolean {
    return this.victims.has(replica);
  }

  isQuarantined(replica: ReplicaId): boolean {
    return this.quarantined.has(replica);
  }

  /** Whether a replica of the shard was made to differ, which a snapshot may have carried to others. */
  mayDiffer(shard: number): boolean {
    return this.differing.has(shard);
  }

  /** Gives the machine of a damaged log, which is only read at a start. */
  inflict(random: Prng): WorkerMachine | null {
    const machine = random.pick(this.cluster.workers);
    const replicas = [...machine.replicas.values()].filter(({ spec }) => !this.isHurt(spec.shard.id));
    if (!machine.up || machine.dying || machine.sick || replicas.length === 0 || !this.cluster.isSound) return null;
    const { actor, spec } = random.pick(replicas);
    const kind = random.pick(this.recordsAreRead ? allKinds : kindsFoundByUse);
    if (kind === 'apply') this.corruptApply(machine, actor, spec);
    else this.flip(machine, actor, spec, kind, random);
    return kind === 'log' && this.victims.has(spec.replica) ? machine : null;
  }

  /** After every event of a machine. */
  observe(machine: WorkerMachine, actor: ReplicaActor, { replica, shard }: ReplicaSpec): void {
    if (actor.failure === null || this.quarantined.has(replica)) return;
    if (!this.victims.has(replica)) return this.checkUnhurt(machine, actor.failure, replica, shard.id);
    const mark = machine.disk.state.getDurable(replicaStateKey(replica, 'quarantine'));
    if (mark === undefined) return;
    this.cluster.world.note(`QUARANTINE ${replica}: ${actor.failure}`);
    this.quarantined.add(replica);
  }

  private checkUnhurt(machine: WorkerMachine, reason: string, replica: ReplicaId, shard: number): void {
    const { disk, name, destroyed } = machine;
    if (this.mayDiffer(shard) || destroyed.has(replica)) return;
    const mark = disk.state.getDurable(replicaStateKey(replica, 'quarantine'));
    must(mark === undefined, () => `replica ${replica} on ${name} was whole and is in quarantine: ${reason}`);
  }

  sent(from: ReplicaId): void {
    must(!this.quarantined.has(from), () => `replica ${from} spoke to its group from quarantine`);
  }

  /** A replica that still serves with damage in its records, or null. */
  undetected(): string | null {
    for (const [replica, { spec, machine, key, bytes }] of this.victims) {
      if (key === null || this.quarantined.has(replica) || !machine.replicas.has(replica)) continue;
      const stored = machine.disk.state.get(key);
      if (stored === undefined || bytes === null || !equal(stored, bytes)) continue;
      return `shard ${spec.shard.id} on ${machine.name} has a damaged record and serves`;
    }
    return null;
  }

  private isHurt(shard: number): boolean {
    return [...this.victims.values()].some(({ spec }) => spec.shard.id === shard);
  }

  private flip(
    machine: WorkerMachine,
    actor: ReplicaActor,
    spec: ReplicaSpec,
    kind: 'record' | 'misdirected' | 'log',
    random: Prng,
  ): void {
    const isLog = kind === 'log';
    const store = isLog ? machine.disk.log : machine.disk.state;
    const keys = isLog ? entryKeys(machine, spec.replica) : recordKeys(machine, actor);
    if (keys.length === 0) return;
    const key = random.pick(random.chance(0.5) ? keys.slice(-newestCount) : keys);
    const other = random.pick(keys);
    if (kind !== 'misdirected') store.flipBit(key, random);
    else if (other === key) return;
    else store.overwrite(key, store.get(other) ?? noBytes);
    this.cluster.world.note(`DAMAGE ${kind} of ${spec.replica}`);
    const bytes = store.get(key) ?? null;
    this.victims.set(spec.replica, { spec, machine, kind, key: isLog ? null : key, bytes });
  }

  /** As if the next apply had not done what the others' did: one record more, everything else consistent. */
  private corruptApply(machine: WorkerMachine, actor: ReplicaActor, spec: ReplicaSpec): void {
    const { machine: shard } = actor;
    if (shard === null || actor.failure !== null || shard.appliedIndex === 0) return;
    const value = encodeRecord(ghost, deletion(shard.appliedIndex, shard.logTimeMs));
    const key = pointKey(spaceOf(actor), machine.context.keyHash(ghost), new TextEncoder().encode(ghost));
    const write = (descriptor: Descriptor, ...rest: readonly unknown[]): void => {
      Reflect.deleteProperty(shard, 'write');
      if (this.isHurt(spec.shard.id) || !this.cluster.isSound)
        return Reflect.get(shard, 'write').call(shard, descriptor, ...rest);
      this.cluster.world.note(`DAMAGE apply of ${spec.replica}`);
      this.victims.set(spec.replica, { spec, machine, kind: 'apply', key: null, bytes: null });
      this.differing.add(spec.shard.id);
      addToNextWrite(Reflect.get(shard, 'options').state, key, value);
      const digest = digestWith(descriptor.digest, recordHash(ghost, value));
      return Reflect.get(shard, 'write').call(
        shard,
        { ...descriptor, records: descriptor.records + 1, digest },
        ...rest,
      );
    };
    Reflect.set(shard, 'write', write);
  }
}

/** In the batch of the apply: no fault may strike the one and not the other. */
function addToNextWrite(state: KeyValueStore, key: Uint8Array, value: Uint8Array): void {
  const original = state.write;
  state.write = (batch, options) => {
    state.write = original;
    original.call(state, batch.put(key, value), options);
  };
}

const spaceOf = (actor: ReplicaActor): Space => Reflect.get(actor.machine as object, 'space');

function recordKeys(machine: WorkerMachine, actor: ReplicaActor): Uint8Array[] {
  if (actor.machine === null) return [];
  return machine.disk.state.range({ ...pointRange(spaceOf(actor)), countMax }).map(({ key }) => key);
}

/** Of the middle of the log: all entries but the last. */
function entryKeys(machine: WorkerMachine, replica: ReplicaId): Uint8Array[] {
  const key = logRecordKey(replica);
  const value = machine.disk.log.get(key);
  if (value === undefined) return [];
  const { baseIndex, removed } = readRecord({ key, value });
  if (removed) return [];
  const range = entriesFrom(replica, logIndex(baseIndex + 1));
  return machine.disk.log
    .range({ ...range, countMax })
    .map((entry) => entry.key)
    .slice(0, -1);
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, at) => byte === b[at]);
