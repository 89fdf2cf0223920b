import { VectronError } from '../base/errors';
import type { ReplicaId, Revision, WorkerId } from '../base/ids';
import { checkLevel, type FlagRange } from '../protocol/flags';
import type { PlacementOperationOf } from './commands';
import type { PlacementOutcome, Plan } from './machine';
import type { RowStore } from './records';

/**
 * The part of the placement driver's machine that switches flags on (src/protocol/flags.ts). Owned by it, and under its
 * invariants.
 *
 *  1. The level never falls, and rises only while every node of the driver, and every worker with a member of a shard, has
 *     said that it supports it.
 *  2. A worker that does not support the level, or has not said so, gets no replicas.
 */
export class Levels {
  constructor(
    private readonly store: RowStore,
    private readonly nextRevision: () => Revision,
  ) {}

  driver(id: ReplicaId): FlagRange | null {
    return this.store.tables.driverSupport.get(id)?.range ?? null;
  }

  worker(id: WorkerId): FlagRange | null {
    return this.store.tables.workerSupport.get(id)?.range ?? null;
  }

  /** Whether a worker may be given replicas. */
  mayHost(id: WorkerId): boolean {
    const { level } = this.store;
    return level === 0 || covers(this.worker(id), level);
  }

  note({ node, range }: PlacementOperationOf<'noteSupport'>): PlacementOutcome {
    const table = node.kind === 'driver' ? this.store.tables.driverSupport : this.store.tables.workerSupport;
    const known = table.get(node.id)?.range;
    if (known?.oldest !== range.oldest || known.newest !== range.newest) {
      const revision = this.nextRevision();
      if (node.kind === 'driver') this.store.put({ kind: 'driverSupport', revision, id: node.id as ReplicaId, range });
      else this.store.put({ kind: 'workerSupport', revision, id: node.id as WorkerId, range });
    }
    return { kind: 'noted', revision: this.store.counters.revision };
  }

  /** Throws UNSUPPORTED_VERSION if `own` does not reach the level: the others go on without this node. */
  plan({ level, drivers }: PlacementOperationOf<'raiseLevel'>, own: FlagRange): Plan {
    const missing = this.missing(level, drivers);
    if (missing !== null) return new VectronError('FAILED_PRECONDITION', `${missing} does not support level ${level}`);
    checkLevel(level, { ...own, oldest: 0 }, 'the placement driver');
    return () => {
      if (level > this.store.level) this.store.put({ kind: 'level', revision: this.nextRevision(), id: 0, level });
      return { kind: 'noted', revision: this.store.counters.revision };
    };
  }

  /** A node that hosts a member and does not support the level; null: all do. */
  private missing(level: number, drivers: readonly ReplicaId[]): string | null {
    const driver = drivers.find((id) => !covers(this.driver(id), level));
    if (driver !== undefined || drivers.length === 0) return `node ${driver ?? 0} of the placement driver`;
    for (const { record } of this.store.tables.shard.values()) {
      const member = record.members.find(({ worker }) => !covers(this.worker(worker), level));
      if (member !== undefined) return `worker ${member.worker}`;
    }
    return null;
  }
}

const covers = (range: FlagRange | null, level: number): boolean =>
  range !== null && range.oldest <= level && level <= range.newest;
