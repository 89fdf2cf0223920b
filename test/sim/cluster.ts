import type { RaftMember } from '../../src/actors/raft-member';
import { raftMemberTuning } from '../../src/actors/raft-member-options';
import { clusterId, type LogIndex, type NodeName, nodeName, type ReplicaId } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import type { AnswerOf, CallKind, CallOf, Outcome } from '../../src/gateway/calls';
import type { PlacementMachine as PlacementRecords } from '../../src/placement/machine';
import { type Address, logActor } from '../../src/protocol/envelope';
import type { KeyHash } from '../../src/protocol/key-hash';
import type { Message } from '../../src/protocol/messages';
import type { Member } from '../../src/protocol/records';
import type { CallHistory } from './call-history';
import { ClaimsChecker } from './claims-checker';
import { ConsensusChecker } from './consensus-checker';
import { Damage } from './damage';
import { DurableLog } from './durability';
import { GatewayProcess, gatewayNode } from './gateway';
import { PlacementMachine, placementNodes, WorkerMachine } from './machine';
import type { SimOptions } from './options';
import { PlacementChecker } from './placement-checker';
import type { SimContext } from './sim-machine';
import type { SimThread } from './sim-thread';
import { checkProgram, firstPrograms, lowLevel } from './versions';
import { Violation } from './violation';
import { type SimNode, SimWorld } from './world';

const notRunning = 'not running';
export const simCluster = clusterId('sim');

/** A run ends so long after its faults, at most. */
const foundWithinMs = 60_000;

/** A whole cluster on one thread: placement driver, workers, a gateway, and the checkers that watch them. */
export class SimCluster {
  readonly world: SimWorld;
  readonly workers: WorkerMachine[];
  readonly placement: PlacementMachine[];
  private readonly checkers = new Map<number, ConsensusChecker>();
  private readonly claims = new Map<number, ClaimsChecker>();
  private readonly placementChecker = new PlacementChecker();
  private readonly byName = new Map<NodeName, PlacementMachine | WorkerMachine>();
  private readonly disks = new Map<ReplicaId, DurableLog>();
  readonly gateway: GatewayProcess;
  readonly damage: Damage;
  /** Called once, with the machines of the next snapshot chunk that is not its stream's first. */
  onSnapshot: ((from: NodeName, to: NodeName) => void) | null = null;
  private readonly resumed = new WeakSet<RaftMember>();
  snapshotsResumed = 0;
  private readonly inflightBytesMax: number;
  /** Writes down what clients call, when somebody wants it judged. */
  history: CallHistory | null = null;

  constructor(options: SimOptions, keyHash: KeyHash, trace: ((line: string) => void) | null) {
    this.world = new SimWorld(
      options,
      {
        onSent: (to, from, message) => this.sent(to.node, from, message),
        onEvent: (node, thread) => this.afterEvent(node, thread),
        onThrown: (node, _thread, actor, error) => this.ended(node, actor, error),
      },
      trace,
    );
    this.inflightBytesMax = options.log.inflightBytesMax;
    const cluster = simCluster;
    const context: SimContext = {
      world: this.world,
      cluster,
      keyHash,
      disk: options.disk,
      starts: new Prng(options.seed),
      log: options.log,
      deadAfterMs: options.deadAfterMs,
      owners: new Map(),
      firstProgram: firstPrograms(options),
    };
    this.placement = placementNodes.map((name) => new PlacementMachine(context, name));
    const names = Array.from({ length: options.machines }, (_, i) => nodeName(`machine-${i + 1}`));
    this.workers = names.map((name) => new WorkerMachine(context, name));
    for (const machine of this.machines()) {
      this.byName.set(machine.name, machine);
      machine.boot();
    }
    this.damage = new Damage(this, options.disk.scrubRestMs < foundWithinMs);
    this.gateway = new GatewayProcess(this.world, cluster, keyHash);
  }

  machines(): (PlacementMachine | WorkerMachine)[] {
    return [...this.placement, ...this.workers];
  }

  allNodeNames() {
    return [...placementNodes, ...this.workers.map((worker) => worker.name), gatewayNode];
  }

  call<K extends CallKind>(call: CallOf<K>, timeoutMs: number, done: (outcome: Outcome<AnswerOf<K>>) => void): void {
    this.gateway.call(call, timeoutMs, this.history?.observe(call, done) ?? done);
  }

  /** The node of a member that takes itself for a leader; null: there is none. */
  someLeader(random: Prng): NodeName | null {
    const leading = this.machines().filter((machine) => machine.up && machine.leads);
    return leading.length === 0 ? null : random.pick(leading).name;
  }

  get openCount(): number {
    return this.gateway.openCount;
  }

  get leaderChanges(): number {
    let count = 0;
    for (const checker of this.checkers.values()) count += checker.leaderChanges;
    return count;
  }

  get snapshotsInstalled(): number {
    let count = 0;
    for (const checker of this.checkers.values()) count += checker.snapshotsInstalled;
    return count;
  }

  /** Whether every group's members have applied the same index and hold equal state, with nothing left to do. */
  agrees(): boolean {
    return this.isLevel() && this.disagreement() === null;
  }

  /** The part of it that costs little, as it is asked after every event. */
  private isLevel(): boolean {
    const applied = new Map<number, LogIndex>();
    const isLevel = (shard: number, member: RaftMember | null | undefined): boolean => {
      if (member?.raft == null) return false;
      const { appliedIndex } = member.raft;
      const known = applied.get(shard);
      applied.set(shard, appliedIndex);
      return known === undefined || known === appliedIndex;
    };
    for (const { actor } of this.placement) if (!isLevel(0, actor?.member)) return false;
    for (const { replicas } of this.workers) {
      for (const { actor, spec } of replicas.values()) if (!isLevel(spec.shard.id, actor.member)) return false;
    }
    return true;
  }

  disagreement(): string | null {
    const groups = new Map<string, Map<string, string>>();
    const add = (group: string, member: RaftMember | null, failure: string | null, where: string): void => {
      const states = groups.get(group) ?? new Map<string, string>();
      groups.set(group, states);
      const raft = member?.raft;
      states.set(
        where,
        raft == null
          ? `${notRunning}: ${failure ?? member?.state}`
          : `applied ${raft.appliedIndex} digest ${member?.machine.digest()}`,
      );
    };
    for (const pd of this.placement) {
      add('placement', pd.actor?.member ?? null, pd.actor?.failedReason ?? null, pd.name);
    }
    for (const worker of this.workers) {
      for (const { actor, spec } of worker.replicas.values()) {
        add(`shard ${spec.shard.id}`, actor.member, actor.failure, `${spec.replica} on ${worker.name}`);
      }
    }
    const sizes = new Map((this.records()?.shards() ?? []).map(({ id, members }) => [`shard ${id}`, members.length]));
    for (const [group, states] of groups) {
      const distinct = new Set(states.values());
      if (
        states.size !== (sizes.get(group) ?? this.placement.length) ||
        distinct.size !== 1 ||
        [...distinct].some((state) => state.startsWith(notRunning))
      ) {
        return `${group}: ${[...states].map(([where, state]) => `${where} ${state}`).join('; ')}`;
      }
    }
    if (this.records()?.moveCount !== 0) return 'replicas are being moved';
    const low = lowLevel(this);
    if (low !== null) return low;
    return groups.size > 1 ? this.damage.undetected() : 'no shard runs';
  }

  /** Of any driver's records, ever. */
  private furthestRevision = 0;

  /** The placement driver's records as the furthest of its nodes has applied them; null: none runs. */
  records(): PlacementRecords | null {
    const running = this.placement.filter(({ up }) => up).flatMap(({ actor }) => actor?.machine ?? []);
    return running.reduce<PlacementRecords | null>((a, b) => (a !== null && a.revision >= b.revision ? a : b), null);
  }

  /** Whether every member of every shard is where the records say, on the disk it was made on, undamaged and at rest. */
  get isSound(): boolean {
    const records = this.records();
    // Drivers that have just started know less than has been decided: perhaps not even that there are shards.
    if (records === null || records.revision < this.furthestRevision || records.moveCount > 0) return false;
    const isHere = ({ worker, replica }: Member): boolean => {
      const { node, storeIncarnation } = records.worker(worker) ?? {};
      const machine = this.workers.find(({ name }) => name === node);
      return machine?.storeName === storeIncarnation && !this.damage.isVictim(replica);
    };
    return records.shards().every(({ members }) => members.every(isHere));
  }

  /**
   * A machine that is down loses all it has. What its replicas had promised before was true: a leader may still count it,
   * so the lost disks are remembered as they were.
   */
  wipe(machine: WorkerMachine): void {
    machine.wipe();
  }

  private diskOf(replica: ReplicaId): DurableLog | null {
    const known = this.disks.get(replica);
    if (known !== undefined) return known;
    const home =
      replica <= placementNodes.length
        ? this.placement[replica - 1]
        : this.workers.find((worker) => worker.replicas.has(replica));
    if (home === undefined) return null;
    const log = new DurableLog(home.disk, replica);
    this.disks.set(replica, log);
    return log;
  }

  private checkerOf(shard: number): ConsensusChecker {
    const known = this.checkers.get(shard);
    if (known !== undefined) return known;
    const created = new ConsensusChecker(groupName(shard), (replica) => this.diskOf(replica));
    this.checkers.set(shard, created);
    return created;
  }

  private claimsOf(shard: number): ClaimsChecker {
    const known = this.claims.get(shard);
    if (known !== undefined) return known;
    const inflightBytesMax = shard === 0 ? raftMemberTuning.inflightBytesMax : this.inflightBytesMax;
    const created = new ClaimsChecker(groupName(shard), inflightBytesMax, (replica) => this.diskOf(replica));
    this.claims.set(shard, created);
    return created;
  }

  /** Called from within handlers, whose host would take what is thrown for the handler's own. */
  private sent(to: NodeName, from: Address, message: Message): void {
    if (message.kind === 'peer.snapshotChunk' && message.chunk > 0) {
      this.onSnapshot?.(from.node, to);
      this.onSnapshot = null;
    }
    if (message.kind !== 'peer.raft') return;
    try {
      // What a member promised before, its log thread says once it is durable, whatever became of the member.
      if (from.actor !== logActor) this.damage.sent(message.message.from);
      this.checkerOf(message.shard).sent(message.message);
      this.claimsOf(message.shard).sent(message.message);
    } catch (thrown) {
      this.world.fail(thrown as Error);
    }
  }

  /** A turn can change the members of its own thread only, so it is enough to look at those. */
  private afterEvent(node: SimNode, thread: SimThread | null): void {
    const machine = this.machineOf(node);
    if (machine === null) return;
    if (machine.dying) {
      machine.crash();
      return;
    }
    if (!machine.up) return;
    if (machine instanceof PlacementMachine) this.observePlacement(machine);
    else this.observeReplicas(machine, thread);
  }

  private observePlacement({ actor }: PlacementMachine): void {
    if (actor === null) return;
    checkProgram(actor.failedReason, 'a placement driver');
    this.observe(0, actor.member);
    this.placementChecker.observe(actor.machine);
    this.furthestRevision = Math.max(this.furthestRevision, actor.machine.revision);
  }

  private observeReplicas(machine: WorkerMachine, thread: SimThread | null): void {
    for (const replica of machine.replicas.values()) {
      const { actor, spec } = replica;
      checkProgram(actor.failure, `shard ${spec.shard.id} on ${machine.name}`);
      if (actor.failure !== null) this.damage.observe(machine, actor, spec);
      if (thread !== null && replica.thread !== thread) continue;
      this.observe(spec.shard.id, actor.member);
    }
  }

  private observe(shard: number, member: RaftMember | null): void {
    if (member === null) return;
    this.claimsOf(shard).observe(member);
    if (member.raft === null) return;
    if (member.snapshotsResumed > 0 && !this.resumed.has(member)) {
      this.resumed.add(member);
      this.snapshotsResumed++;
    }
    const { raft, machine } = member;
    // One that a disk error ended within an apply has a state of no index at all, which nobody sees any more.
    const isWhole = machine.appliedIndex === raft.appliedIndex;
    this.checkerOf(shard).observe(raft, this.damage.mayDiffer(shard) || !isWhole ? null : machine);
  }

  machineNamed(name: NodeName): PlacementMachine | WorkerMachine | null {
    return this.byName.get(name) ?? null;
  }

  /** Null: a process that no longer runs, or the gateway's. */
  private machineOf(node: SimNode): PlacementMachine | WorkerMachine | null {
    const machine = this.byName.get(node.name);
    return machine?.node === node ? machine : null;
  }

  private ended(node: SimNode, actor: string, error: unknown): void {
    const machine = this.machineOf(node);
    if (machine?.dying === true) return;
    const isExpected = error instanceof Violation ? false : machine?.faults.isExpected(error) === true;
    if (error !== null && !isExpected) this.world.fail(threw(`${node.name}/${actor}`, error));
    machine?.ended(actor, 'a handler threw');
  }
}

const groupName = (shard: number): string => (shard === 0 ? 'placement' : `shard ${shard}`);

/** A handler's own error is a bug, unless it is a checker's verdict that passed through the handler. */
function threw(where: string, error: unknown): Violation {
  if (error instanceof Violation) return error;
  return new Violation(`${where}: a handler threw ${error instanceof Error ? error.stack : String(error)}`);
}
