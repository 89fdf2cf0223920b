import { type LogIndex, logIndex, type ReplicaId, replicaId } from '../../../src/base/ids';
import { Prng } from '../../../src/base/prng';
import type { Configuration, HardState, RaftMessage } from '../../../src/protocol/raft-messages';
import { OnTheWay } from '../../support/on-the-way';
import { Invariants, Violation } from './group-invariants';
import { type CoreTuning, type Snapshot, TestNode } from './group-node';

export interface FuzzReport {
  readonly committed: number;
  readonly leaders: number;
  readonly crashes: number;
  readonly snapshots: number;
  readonly conflicts: number;
  readonly readsServed: number;
  readonly transfers: number;
  /** Changes of members that were begun, and that all members have applied to their end. */
  readonly changes: number;
  /** Equal for equal seeds. */
  readonly trace: number;
}

/** What a planted bug of the host changes. */
export interface HostBug {
  readonly persistHardState?: (hardState: HardState) => HardState;
  readonly onSend?: (message: RaftMessage, fuzz: Fuzz) => RaftMessage;
}

type Flying =
  | { readonly kind: 'message'; readonly message: RaftMessage }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly kind: 'outcome'; readonly from: ReplicaId; readonly to: ReplicaId; readonly ok: boolean };

const nobody: Configuration = { voters: [], votersOutgoing: [], learners: [] };
const membersMax = 7;
const flyingMax = 400;
const convergeRoundsMax = 600;

const ids = (...values: number[]): ReplicaId[] => values.map(replicaId);

const configurations: readonly Configuration[] = [
  { voters: ids(1, 2, 3), votersOutgoing: [], learners: [] },
  { voters: ids(1, 2, 3), votersOutgoing: [], learners: [] },
  { voters: ids(1, 2, 3, 4, 5), votersOutgoing: [], learners: [] },
  { voters: ids(1, 2, 3), votersOutgoing: [], learners: ids(4, 5) },
  { voters: ids(1, 2, 3), votersOutgoing: ids(3, 4, 5), learners: [] },
  { voters: ids(1), votersOutgoing: [], learners: ids(2) },
];

/**
 * One group under one seed: messages are lost, repeated and reordered, members are cut off and crash, disks answer late,
 * logs are cut and snapshots sent. Afterwards all is healed and the group must converge.
 */
export class Fuzz {
  readonly nodes = new Map<ReplicaId, TestNode>();
  readonly invariants: Invariants;
  private readonly random: Prng;
  private readonly configuration: Configuration;
  private readonly tuning: Partial<CoreTuning>;
  private readonly onTheWay: OnTheWay;
  private flying: Flying[] = [];
  private cut = new Set<string>();
  /** Members whose clocks run at a fifth of the speed. */
  private readonly slow = new Set<ReplicaId>();
  private readonly acknowledged = new Map<number, LogIndex>();
  private acknowledgedIndex = logIndex(0);
  private nextRead = 1;
  private proposed = 0;
  private healed = false;
  private readonly lossShare: number;
  private readonly counts = { crashes: 0, snapshots: 0, conflicts: 0, readsServed: 0, transfers: 0, changes: 0 };
  private trace = 0;

  constructor(
    seed: number,
    private readonly bug: HostBug = {},
  ) {
    this.random = new Prng(seed);
    this.configuration = this.random.pick(configurations);
    this.lossShare = this.random.pick([0, 0.02, 0.1]);
    const { voters, votersOutgoing, learners } = this.configuration;
    this.invariants = new Invariants(() => this.nodes.values());
    this.tuning = this.drawTuning();
    this.onTheWay = new OnTheWay(this.tuning.inflightBytesMax ?? 0);
    for (const id of new Set([...voters, ...votersOutgoing, ...learners])) this.addNode(id, this.configuration);
  }

  private drawTuning(): Partial<CoreTuning> {
    const { random } = this;
    return {
      electionTicks: random.pick([5, 10]),
      appendBytesMax: random.pick([1, 200, 10_000]),
      inflightAppendsMax: random.pick([1, 2, 8]),
      inflightBytesMax: random.pick([1, 60, 300, 100_000]),
      uncommittedBytesMax: random.pick([300, 100_000]),
    };
  }

  private addNode(id: ReplicaId, configuration: Configuration): void {
    const { tuning } = this;
    const node = new TestNode({
      id,
      configuration,
      tuning,
      random: this.random.fork(),
      port: {
        send: (message) => {
          const { kind, from, to } = message;
          if (kind === 'timeoutNow') this.invariants.checkHandedOver(this.nodes.get(from), this.nodes.get(to));
          this.send(message);
        },
        snapshot: (snapshot) => this.flying.push({ kind: 'snapshot', snapshot }),
        read: (_node, context, index) => this.readAnswered(context, index),
      },
      ...(this.bug.persistHardState && { persistHardState: this.bug.persistHardState }),
    });
    node.start();
    this.nodes.set(id, node);
    if (this.random.chance(0.3)) this.slow.add(id);
  }

  run(steps: number): FuzzReport {
    for (let i = 0; i < steps; i++) this.step();
    this.heal();
    this.converge();
    const { committed, leaderCount: leaders } = this.invariants;
    return { committed: committed.length, leaders, ...this.counts, trace: this.trace };
  }

  private send(original: RaftMessage): void {
    const message = this.bug.onSend?.(original, this) ?? original;
    this.invariants.sent(message);
    const excess = this.onTheWay.sent(message);
    if (excess !== null) throw new Violation(excess);
    this.trace = (Math.imul(this.trace, 31) + message.term * 7 + message.to * 3 + message.kind.length) >>> 0;
    if (this.isCut(message.from, message.to) || (!this.healed && this.random.chance(this.lossShare))) return;
    this.flying.push({ kind: 'message', message });
    if (this.flying.length > flyingMax) this.flying.splice(this.random.between(0, this.flying.length - 1), 1);
  }

  private isCut(from: ReplicaId, to: ReplicaId): boolean {
    return this.cut.has(`${from}>${to}`);
  }

  // One step of the fault phase

  private step(): void {
    const { random } = this;
    const node = random.pick([...this.nodes.values()]);
    const dice = random.float();
    if (dice < 0.5) this.deliver(random.between(1, 6));
    else if (!node.up) this.restart(node, dice);
    else if (dice < 0.66) this.tick(node);
    else if (dice < 0.84) this.sync(node);
    else if (dice < 0.9) this.propose(node);
    else if (dice < 0.95) this.apply(node);
    else if (dice < 0.965) this.read(node);
    else if (dice < 0.973) this.crash(node);
    else if (dice < 0.979) this.repartition();
    else if (dice < 0.988) this.truncate(node);
    else if (dice < 0.991) this.transfer(node);
    else if (dice < 0.998) this.change(this.nodes.get(this.someLeader()) ?? node);
    else this.on(node, () => node.core.campaign());
  }

  private tick(node: TestNode): void {
    if (!this.slow.has(node.id) || this.random.chance(0.2)) this.on(node, () => node.core.tick());
  }

  /** Hosts flush after every handler; the core must not rely on it. */
  private on(node: TestNode, act: () => void): void {
    const cutBefore = node.core.lastIndex;
    act();
    if (node.up && node.core.lastIndex < cutBefore) this.counts.conflicts++;
    if (this.healed || this.random.chance(0.8)) node.flush();
    this.invariants.check(node);
  }

  private deliver(count: number): void {
    for (let i = 0; i < count && this.flying.length > 0; i++) {
      const at = this.healed ? 0 : this.random.between(0, this.flying.length - 1);
      const flying = this.flying[at] as Flying;
      if (this.healed || !this.random.chance(0.05)) this.flying.splice(at, 1);
      this.arrive(flying);
    }
  }

  private arrive(flying: Flying): void {
    if (flying.kind === 'snapshot') return this.install(flying.snapshot);
    const node = this.nodes.get(flying.kind === 'message' ? flying.message.to : flying.to);
    if (node?.up !== true) return;
    if (flying.kind === 'message') this.on(node, () => node.core.step(flying.message));
    else this.on(node, () => node.core.snapshotFinished(flying.from, flying.ok));
  }

  private install(snapshot: Snapshot): void {
    const { from, to } = snapshot;
    const node = this.nodes.get(to);
    const ok = node?.up === true && node.needs(snapshot.meta) && !this.isCut(from, to);
    if (ok) {
      this.counts.snapshots++;
      this.on(node, () => node.install(snapshot));
      this.invariants.checkApplied(node, 1);
    }
    this.flying.push({ kind: 'outcome', from: to, to: from, ok });
  }

  private sync(node: TestNode): void {
    this.on(node, () => node.sync());
    this.invariants.checkDisk(node);
  }

  private apply(node: TestNode): void {
    const from = node.applied.length + 1;
    const entries = node.apply(this.healed ? Number.POSITIVE_INFINITY : this.random.between(1, 20));
    if (entries.length === 0) return;
    this.invariants.checkApplied(node, from);
    this.on(node, () => undefined);
    for (const entry of entries) {
      // Acknowledged by whoever proposed it: reads asked for from now on must see it.
      const isOwn = node.core.role === 'leader' && entry.term === node.core.term;
      if (isOwn && entry.index > this.acknowledgedIndex) this.acknowledgedIndex = entry.index;
    }
  }

  private propose(node: TestNode): void {
    if (node.core.role !== 'leader') return;
    const count = this.random.between(1, 4);
    this.on(node, () => {
      for (let i = 0; i < count; i++) node.core.propose(Buffer.from(String(++this.proposed).padStart(8, '0')));
    });
  }

  private read(node: TestNode): void {
    const context = this.nextRead++;
    this.acknowledged.set(context, this.acknowledgedIndex);
    this.on(node, () => node.core.readIndex(context));
  }

  private readAnswered(context: number, index: LogIndex | null): void {
    const atLeast = this.acknowledged.get(context);
    if (atLeast === undefined) throw new Violation(`read ${context} answered twice`);
    this.acknowledged.delete(context);
    if (index === null) return;
    this.counts.readsServed++;
    if (index < atLeast) throw new Violation(`stale read: index ${index}, ${atLeast} was acknowledged before`);
  }

  private crash(node: TestNode): void {
    this.counts.crashes++;
    node.persistAndCrash(this.random.between(0, node.pending.length));
    this.invariants.stopped(node);
    this.invariants.checkDisk(node);
  }

  private restart(node: TestNode, dice: number): void {
    if (!this.healed && dice < 0.7) return;
    node.start(this.random.between(0, node.applied.length));
    this.invariants.check(node);
    node.flush();
  }

  /** Whole, one member alone (mostly a leader), or links cut one way at a time. */
  private repartition(): void {
    const { random } = this;
    this.cut.clear();
    const kind = random.float();
    if (kind < 0.4) return;
    const alone = kind < 0.8 ? this.someLeader() : null;
    for (const from of this.nodes.keys()) {
      for (const to of this.nodes.keys()) {
        const isCut = alone === null ? random.chance(0.25) : from === alone || to === alone;
        if (isCut) this.cut.add(`${from}>${to}`);
      }
    }
  }

  private someLeader(): ReplicaId {
    const leaders = [...this.nodes.values()].filter((node) => node.up && node.core.role === 'leader');
    return this.random.pick(leaders.length > 0 ? leaders : [...this.nodes.values()]).id;
  }

  private truncate(node: TestNode): void {
    const { core } = node;
    if (core.appliedIndex <= core.baseIndex) return;
    const index = logIndex(this.random.between(core.baseIndex + 1, core.appliedIndex));
    this.on(node, () => node.truncate(index));
  }

  /** Whoever leads is asked for other members: some of those there are, and now and then one that is new. */
  private change(node: TestNode): void {
    if (!node.up || node.core.role !== 'leader') return;
    const { core } = node;
    const { voters, learners } = core.configuration;
    const pool = [...new Set([...voters, ...learners, ...(this.random.chance(0.7) ? [this.someMember()] : [])])];
    const chosen = pool.filter(() => this.random.chance(0.75));
    const learn = (id: ReplicaId): boolean =>
      !voters.includes(id) && !(learners.includes(id) && this.random.chance(0.8));
    const wanted = { voters: chosen.filter((id) => !learn(id)), learners: chosen.filter(learn) };
    this.on(node, () => {
      const before = core.configuration;
      if (!core.changeMembers(wanted, new Uint8Array(0)).ok) return;
      this.counts.changes++;
      this.onTheWay.forget();
      this.invariants.checkPromoted(node, before, this.tuning.appendBytesMax ?? 0);
    });
  }

  private someMember(): ReplicaId {
    const id = replicaId(this.random.between(1, membersMax));
    if (!this.nodes.has(id)) this.addNode(id, nobody);
    return id;
  }

  private transfer(node: TestNode): void {
    const { core } = node;
    if (core.role !== 'leader') return;
    this.counts.transfers++;
    const to = this.random.pick([...this.nodes.keys()]);
    if (this.random.chance(0.5)) return this.on(node, () => void core.transferLeadership(to));
    if (to !== node.id) this.send({ kind: 'timeoutNow', from: node.id, to, term: core.term });
  }

  // The end

  private heal(): void {
    this.healed = true;
    this.cut.clear();
    for (const node of this.nodes.values()) if (!node.up) this.restart(node, 1);
  }

  private converge(): void {
    for (let round = 0; round < convergeRoundsMax; round++) {
      for (const node of this.nodes.values()) this.on(node, () => node.core.tick());
      for (let i = 0; i < 12; i++) {
        this.deliver(this.flying.length);
        for (const node of this.nodes.values()) while (node.pending.length > 0) this.sync(node);
        for (const node of this.nodes.values()) this.apply(node);
      }
      if (this.isConverged()) return this.checkQuiescent();
    }
    throw new Violation(`no convergence: ${this.describe()}`);
  }

  private isConverged(): boolean {
    const nodes = [...this.nodes.values()];
    const leader = nodes.find(({ core }) => core.role === 'leader');
    if (leader === undefined || !leader.core.leaderIsConfirmed) return false;
    const { configuration } = leader.core;
    if (leader.core.isChanging) return false;
    const members = nodes.filter(({ id }) => [...configuration.voters, ...configuration.learners].includes(id));
    return members.every(
      ({ core, applied }) =>
        core.leader === leader.id && core.commitIndex === leader.core.lastIndex && applied.length === core.commitIndex,
    );
  }

  /** Nothing waits any more, so nothing may be counted as waiting: a proposal as large as the limit is taken. */
  private checkQuiescent(): void {
    for (const node of this.nodes.values()) {
      const { core } = node;
      if (core.role !== 'leader') continue;
      if (!core.propose(Buffer.alloc(100_000)).ok) throw new Violation('a quiet leader is busy');
    }
  }

  private describe(): string {
    const lines = [...this.nodes.values()].map(
      ({ id, core, applied }) =>
        `${id} ${core.role} term ${core.term} leader ${core.leader} base ${core.baseIndex} applied ${applied.length} commit ${core.commitIndex} last ${core.lastIndex} ${JSON.stringify(core.configuration)}`,
    );
    return lines.join('; ');
  }
}
