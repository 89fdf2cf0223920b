import type { ReplicaId, ShardId, WorkerId } from '../base/ids';
import type { MonotonicMs } from '../base/time';
import type { PlacementMachine } from '../placement/machine';
import type { LeaderHint, ReplicaFault, ReplicaReport } from '../protocol/placement-messages';

/**
 * What the leading placement driver has heard and never writes down (DESIGN D8): which workers are alive, and who leads
 * each shard. Forgotten when leadership ends, rebuilt from heartbeats within seconds.
 *
 *  1. A report counts only if its version and confVersion are both at least the known ones, and when they are equal to
 *     the known hint's, its term too. A leader it names must be a member, as far as the members are known.
 *  2. A fault counts only from the worker whose replica it is, and for as long as it is repeated.
 *  3. Nobody is held for dead before having had `unhealthyAfterMs` to speak to this leader.
 */
export class SoftState {
  private readonly heard = new Map<WorkerId, MonotonicMs>();
  private readonly hints = new Map<ShardId, LeaderHint>();
  private readonly faulty = new Map<ReplicaId, { readonly fault: ReplicaFault; readonly heardAt: MonotonicMs }>();

  constructor(
    private readonly since: MonotonicMs,
    private readonly unhealthyAfterMs: number,
  ) {}

  /** Takes a worker's heartbeat; the hints that it changed. */
  heartbeat(
    worker: WorkerId,
    reports: readonly ReplicaReport[],
    machine: PlacementMachine,
    now: MonotonicMs,
  ): LeaderHint[] {
    this.heard.set(worker, now);
    return reports.filter((report) => this.take(report, machine)).map(hintOf);
  }

  faulted(worker: WorkerId, faults: readonly ReplicaFault[], machine: PlacementMachine, now: MonotonicMs): void {
    for (const fault of faults) {
      const member = machine.shard(fault.shard)?.members.find((one) => one.replica === fault.replica);
      if (member?.worker === worker) this.faulty.set(fault.replica, { fault, heardAt: now });
    }
  }

  /** Members of shards that said lately that something is wrong with them, in the order of ids. */
  faults(machine: PlacementMachine, now: MonotonicMs): ReplicaFault[] {
    for (const [replica, { fault, heardAt }] of this.faulty) {
      const isMember = machine.shard(fault.shard)?.members.some((one) => one.replica === replica) === true;
      if (!isMember || now - heardAt > this.unhealthyAfterMs) this.faulty.delete(replica);
    }
    return [...this.faulty.values()].map(({ fault }) => fault).sort((a, b) => a.replica - b.replica);
  }

  /** Workers that have been silent for too long. */
  unhealthy(machine: PlacementMachine, now: MonotonicMs, afterMs = this.unhealthyAfterMs): WorkerId[] {
    const isSilent = (id: WorkerId): boolean => now - (this.heard.get(id) ?? this.since) > afterMs;
    return machine.workerIds().filter(isSilent);
  }

  leaderOf(shard: ShardId): ReplicaId | null {
    return this.hints.get(shard)?.leader ?? null;
  }

  /** Leaders of the shards that exist, in the order of shards. */
  leaders(machine: PlacementMachine): LeaderHint[] {
    for (const id of [...this.hints.keys()]) if (machine.shard(id) === null) this.hints.delete(id);
    return [...this.hints.values()].sort((a, b) => a.shard - b.shard);
  }

  /** Whether the report named a leader, term or epoch that is news. */
  private take(report: ReplicaReport, machine: PlacementMachine): boolean {
    const shard = machine.shard(report.shard);
    if (shard === null || report.leader === 0 || !isAtLeast(report, shard.epoch)) return false;
    const isSameMembers = report.epoch.confVersion === shard.epoch.confVersion;
    if (isSameMembers && !shard.members.some((member) => member.replica === report.leader)) return false;
    const known = this.hints.get(report.shard);
    if (known !== undefined && !isNews(report, known)) return false;
    this.hints.set(report.shard, hintOf(report));
    return true;
  }
}

const isAtLeast = ({ epoch }: ReplicaReport, known: LeaderHint['epoch']): boolean =>
  epoch.version >= known.version && epoch.confVersion >= known.confVersion;

function isNews(report: ReplicaReport, known: LeaderHint): boolean {
  if (!isAtLeast(report, known.epoch)) return false;
  const isNewer = report.epoch.version > known.epoch.version || report.epoch.confVersion > known.epoch.confVersion;
  return isNewer || report.term > known.term;
}

const hintOf = ({ shard, epoch, term, leader }: ReplicaReport): LeaderHint => ({ shard, epoch, term, leader });
