import type { ReplicaId, ShardId, Term, WorkerId } from '../base/ids';
import type { PlacementOperation, SupportNode } from '../placement/commands';
import type { PlacementMachine } from '../placement/machine';
import { at, lanes, placementActor, replicaActor } from '../protocol/envelope';
import { checkLevel, type FlagRange } from '../protocol/flags';
import type { MessageOf } from '../protocol/messages';
import type { ShardRecord } from '../protocol/records';
import type { ActorContext } from '../runtime/actor';
import type { PlacementMember } from './placement-driver';
import type { SoftState } from './placement-driver-soft';

export interface FlagsPort {
  readonly self: ReplicaId;
  readonly members: readonly PlacementMember[];
  readonly cluster: MessageOf<'pd.driverSupport'>['cluster'];
  /** What this program supports. */
  readonly range: FlagRange;
  readonly machine: () => PlacementMachine;
  readonly term: () => Term;
  readonly leader: () => ReplicaId;
  propose(operation: PlacementOperation, context: ActorContext): unknown;
}

/** Shards asked in one sweep. */
const asksMax = 64;

/**
 * Switches flags on (src/protocol/flags.ts): has every node's support written down, raises the level once all have it, then
 * has the leader of each shard raise its own. Owned by the placement driver; all it knows of shards is soft.
 *
 *  1. Nothing that earlier programs do not know is proposed before every node of the driver has spoken: one that runs an
 *     earlier program never does.
 *  2. The level is raised only to what every node of the driver, every worker with members, and every ready worker that is
 *     alive supports. The machine checks the first two again when it is applied.
 *  3. A shard is asked until its leader has applied the level.
 */
export class FlagDriver {
  private readonly heard = new Map<ReplicaId, FlagRange>();
  private readonly workers = new Map<WorkerId, FlagRange>();
  private readonly levels = new Map<ShardId, number>();
  private turn = 0;
  private requests = 0;

  constructor(private readonly port: FlagsPort) {}

  /** Throws UNSUPPORTED_VERSION if this program cannot run the driver's group. */
  check(): void {
    checkLevel(this.port.machine().level, this.port.range, 'the placement driver');
  }

  /** Leadership has changed: what was heard may be old. */
  forget(): void {
    this.heard.clear();
    this.workers.clear();
    this.levels.clear();
  }

  driverSpoke({ replica, range }: MessageOf<'pd.driverSupport'>): void {
    this.heard.set(replica, range);
  }

  workerSpoke(worker: WorkerId, range: FlagRange): void {
    this.workers.set(worker, range);
  }

  /** What the leading driver knows of a shard; null: nothing yet. */
  levelOf(shard: ShardId): number | null {
    return this.levels.get(shard) ?? null;
  }

  answered({ failure, shard, level }: MessageOf<'level.state'>): void {
    if (failure === null) this.levels.set(shard, level);
  }

  /** On every node, now and then. */
  sweep(soft: SoftState | null, context: ActorContext): void {
    if (soft === null) return this.speak(context);
    this.heard.set(this.port.self, this.port.range);
    if (!this.allSpoke) return;
    this.writeDown(context);
    const target = this.target(soft, context);
    const drivers = this.port.members.map(({ replica }) => replica);
    if (target > this.port.machine().level) this.port.propose({ kind: 'raiseLevel', level: target, drivers }, context);
    this.askShards(soft, context);
  }

  /** A follower tells the leader, until the records say the same. */
  private speak(context: ActorContext): void {
    const { self, range, cluster, members, machine, leader } = this.port;
    if (sameRange(machine().levels.driver(self), range)) return;
    const node = members.find(({ replica }) => replica === leader())?.node;
    if (node === undefined) return;
    const message = { kind: 'pd.driverSupport', cluster, replica: self, range } as const;
    context.send(at(node, placementActor), message, lanes.completion);
  }

  private get allSpoke(): boolean {
    const { members, machine } = this.port;
    return members.every(({ replica }) => this.heard.has(replica) || machine().levels.driver(replica) !== null);
  }

  private writeDown(context: ActorContext): void {
    const { levels } = this.port.machine();
    const note = (kind: SupportNode['kind'], id: number, known: FlagRange | null, range: FlagRange): void => {
      if (sameRange(known, range)) return;
      this.port.propose({ kind: 'noteSupport', node: { kind, id }, range }, context);
    };
    for (const [replica, range] of this.heard) note('driver', replica, levels.driver(replica), range);
    for (const [worker, range] of this.workers) note('worker', worker, levels.worker(worker), range);
  }

  /** The highest level that all support; 0 in a cluster without workers. */
  private target(soft: SoftState, { now }: ActorContext): number {
    const machine = this.port.machine();
    const silent = soft.unhealthy(machine, now);
    const ready = machine.workerIds().filter((id) => machine.worker(id)?.state === 'ready');
    const hosting = machine.shards().flatMap(({ members }) => members.map(({ worker }) => worker));
    const workers = new Set([...hosting, ...ready.filter((id) => !silent.includes(id))]);
    if (workers.size === 0) return 0;
    const ranges = [
      ...this.port.members.map(({ replica }) => machine.levels.driver(replica)),
      ...[...workers].map((id) => machine.levels.worker(id)),
    ];
    return Math.min(...ranges.map((range) => range?.newest ?? 0));
  }

  private askShards(soft: SoftState, context: ActorContext): void {
    const machine = this.port.machine();
    if (machine.level === 0) return;
    this.turn++;
    let asked = 0;
    for (const shard of machine.shards()) {
      if ((this.levels.get(shard.id) ?? 0) >= machine.level) continue;
      if (asked++ >= asksMax) return;
      this.ask(shard, machine.level, soft.leaderOf(shard.id), context);
    }
  }

  /** Its leader as last heard or, every other time, as that may be old, each of the members in turn. */
  private ask({ id, members }: ShardRecord, level: number, leader: ReplicaId | null, context: ActorContext): void {
    const hinted = this.turn % 2 === 1 ? members.find(({ replica }) => replica === leader) : undefined;
    const member = hinted ?? members[(this.turn >> 1) % members.length];
    if (member === undefined) return;
    const order = { request: ++this.requests, shard: id, term: this.port.term(), level };
    context.send(at(member.node, replicaActor(member.replica)), { kind: 'level.raise', ...order }, lanes.completion);
  }
}

const sameRange = (a: FlagRange | null, b: FlagRange): boolean =>
  a !== null && a.oldest === b.oldest && a.newest === b.newest;
