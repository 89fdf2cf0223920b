import type { ReplicaActor } from '../../src/actors/replica';
import type { NodeName, ShardId, Term } from '../../src/base/ids';
import { Prng } from '../../src/base/prng';
import { plainWrite } from '../../src/protocol/commands';
import type { SimCluster } from './cluster';
import { FaultSchedule } from './fault-schedule';
import type { SimReplica, WorkerMachine } from './machine';
import type { NemesisOptions } from './options';
import { apart, collection, latest, pointOf } from './sim-client';
import type { SimNode } from './world';

const kinds = ['crash', 'crash', 'longSync', 'frozen'] as const;

interface Deposed {
  readonly kind: (typeof kinds)[number];
  readonly machine: WorkerMachine;
  /** Of the life of the machine in which this began. */
  readonly node: SimNode;
  readonly actor: ReplicaActor;
  readonly shard: ShardId;
  readonly peers: readonly NodeName[];
  /** In which it led, and how far its log went then. */
  readonly term: Term;
  readonly index: number;
  /** Others must have led beyond this term before the links come back. */
  beyond: Term;
  changesLeft: number;
  readonly frozenUntilMs: number;
  readonly giveUpMs: number;
}

const stepMs = 10;
const giveUpAfterMs = 12_000;
const rejoinMs = 4_000;
const burstTimeoutMs = 600;
const burstMax = 40;

/**
 * A leader loses its peers and keeps its clients, who give it more than it can commit and ask it for what it no longer
 * knows. Once another leads, or two have, one after the other, the links come back, and the others' log takes the place of
 * its own. Meanwhile it stands still, or its sync takes very long, or it ends just when its entries have been replaced.
 */
export class Depositions {
  private readonly random: Prng;
  private readonly schedule: FaultSchedule;
  private isBusy = false;
  private serial = 0;

  constructor(
    private readonly cluster: SimCluster,
    seed: number,
    private readonly crash: (machine: WorkerMachine) => void,
  ) {
    this.random = new Prng(seed ^ 0xde905);
    this.schedule = new FaultSchedule(cluster.world, this.random);
  }

  start({ deposeEveryMs }: NemesisOptions): void {
    this.schedule.repeat(deposeEveryMs, 'depose', () => this.begin());
  }

  stop(): void {
    this.schedule.active = false;
  }

  private begin(): void {
    const { cluster, random } = this;
    const leaders = cluster.workers
      .filter(({ up, sick, dying }) => up && !sick && !dying)
      .flatMap((machine) => [...machine.replicas.values()].map((replica) => ({ machine, replica })))
      .filter(({ replica }) => replica.actor.member?.isLeader === true);
    if (this.isBusy || leaders.length === 0) return;
    const { machine, replica } = random.pick(leaders);
    const deposed = this.victim(machine, replica);
    if (deposed === null) return;
    const { kind, node, frozenUntilMs } = deposed;
    cluster.world.tally.add('deposed');
    cluster.world.note(`DEPOSE ${replica.spec.replica} on ${machine.name}, ${kind}`);
    this.isBusy = true;
    this.cutOff(deposed);
    for (let left = random.between(4, burstMax); left > 0; left--) this.write();
    if (kind === 'frozen') this.later(random.between(0, 200), () => node.pauseUntil(frozenUntilMs));
    if (kind === 'longSync') this.lengthenSync(deposed);
    this.await(deposed);
  }

  private victim(machine: WorkerMachine, { actor, spec }: SimReplica): Deposed | null {
    const { random, cluster } = this;
    const { now } = cluster.world;
    const raft = actor.member?.raft;
    if (raft == null) return null;
    const shard = spec.shard.id;
    const kind = random.pick(kinds);
    return {
      kind,
      machine,
      node: machine.node,
      actor,
      shard,
      peers: this.membersOf(shard).flatMap(({ name }) => (name === machine.name ? [] : name)),
      term: raft.term,
      index: raft.lastIndex,
      beyond: raft.term,
      changesLeft: kind === 'crash' && random.chance(0.5) ? 1 : 0,
      frozenUntilMs: kind === 'frozen' ? now + random.between(2_500, 5_000) : 0,
      giveUpMs: now + giveUpAfterMs,
    };
  }

  private membersOf(shard: ShardId): { readonly name: NodeName; readonly replica: SimReplica }[] {
    return this.cluster.workers.flatMap(({ up, name, replicas }) =>
      up
        ? [...replicas.values()].filter(({ spec }) => spec.shard.id === shard).map((replica) => ({ name, replica }))
        : [],
    );
  }

  private later(delayMs: number, run: () => void): void {
    this.cluster.world.schedule(delayMs, 'deposed', null, () => {
      if (this.schedule.active) run();
    });
  }

  private cutOff({ machine, peers }: Deposed): void {
    const { network } = this.cluster.world;
    for (const peer of peers) {
      network.cut(machine.name, peer);
      network.cut(peer, machine.name);
    }
  }

  /** Nobody looks at the outcome: some are lost, and some are repeated elsewhere. */
  private write(): void {
    const point = pointOf(`${apart}deposed-${++this.serial % burstMax}`, this.serial);
    const options = { ...plainWrite, conditions: [{ kind: 'none' as const }] };
    this.cluster.call({ kind: 'upsert', collection, points: [point], options }, burstTimeoutMs, () => undefined);
  }

  /** What it is served is for the checkers to judge. */
  private read(): void {
    const ids = [`${apart}deposed-${this.random.between(0, burstMax - 1)}`];
    this.cluster.call({ kind: 'get', collection, ids, ...latest }, burstTimeoutMs, () => undefined);
  }

  /** As soon as it has taken entries that it cannot commit. */
  private lengthenSync(deposed: Deposed): void {
    const { world } = this.cluster;
    if (world.now > deposed.giveUpMs || !this.isStill(deposed)) return;
    if ((deposed.actor.member?.raft?.lastIndex ?? 0) < deposed.index + 2)
      return this.later(1, () => this.lengthenSync(deposed));
    world.tally.add('longSync');
    deposed.node.threads.get('log')?.syncUntil(world.now + this.random.between(1_200, 5_000));
  }

  private isStill({ machine, node, actor }: Deposed): boolean {
    return machine.node === node && machine.up && !machine.dying && actor.failure === null;
  }

  private await(deposed: Deposed): void {
    const { now } = this.cluster.world;
    if (now > deposed.giveUpMs || !this.isStill(deposed)) return this.mend(deposed);
    this.cutOff(deposed);
    if (this.random.chance(0.1)) this.read();
    const rival = this.membersOf(deposed.shard).find(
      ({ replica }) => replica.actor.member?.isLeader === true && replica.actor.member.term > deposed.beyond,
    );
    if (rival === undefined || now < deposed.frozenUntilMs) return this.later(stepMs, () => this.await(deposed));
    if (deposed.changesLeft === 0) {
      const stayMs = deposed.kind === 'frozen' ? 1_500 : 400;
      return this.later(this.random.float() * stayMs, () => this.mend(deposed));
    }
    deposed.changesLeft--;
    deposed.beyond = rival.replica.actor.member?.term ?? deposed.beyond;
    this.cluster.world.tally.add('actorKill');
    rival.replica.thread.host.stop(rival.replica.name, 'killed');
    this.later(stepMs, () => this.await(deposed));
  }

  private mend(deposed: Deposed): void {
    const { network, now } = this.cluster.world;
    const { machine, peers, kind } = deposed;
    for (const peer of peers) {
      network.mend(machine.name, peer);
      network.mend(peer, machine.name);
    }
    this.isBusy = false;
    if (kind === 'crash') this.crashOnceReplaced(deposed, now + rejoinMs);
  }

  /** When its log ends in a later leader's term, what stood there before has been replaced. */
  private crashOnceReplaced(deposed: Deposed, untilMs: number): void {
    const raft = deposed.actor.member?.raft;
    if (raft == null || this.cluster.world.now > untilMs || !this.isStill(deposed)) return;
    const lastTerm = raft.termAt(raft.lastIndex) ?? deposed.term;
    if (lastTerm <= deposed.term) return this.later(2, () => this.crashOnceReplaced(deposed, untilMs));
    this.later(this.random.float() * 40, () => {
      if (this.isStill(deposed)) this.crash(deposed.machine);
    });
  }
}
