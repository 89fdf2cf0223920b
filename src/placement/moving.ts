import { VectronError } from '../base/errors';
import { type ReplicaId, type Revision, replicaId, type WorkerId } from '../base/ids';
import type { Member, ShardRecord } from '../protocol/records';
import { type Candidate, chooseWorkers } from './choose';
import type { PlacementOperationOf } from './commands';
import type { PlacementOutcome, Plan } from './machine';
import { sameIds } from './moves';
import type { MoveRecord, RowStore } from './records';

/** Moves under way at once, and replicas that a shard may have meanwhile. */
const moveCountMax = 32;
const moveMembersMax = 12;
const retryAfterMs = 1_000;

export interface MovingPort {
  candidates(avoid: readonly WorkerId[]): Candidate[];
  nextRevision(allocated: { readonly replica?: number }): Revision;
  orderRemoval(shard: ShardRecord, member: Member, at: Revision): void;
}

/**
 * The part of the placement driver's machine that moves replicas (DESIGN D11). Owned by it, and under its invariants.
 *
 *  1. A shard has at most one move under way, of one outgoing member.
 *  2. While it lasts the shard's record lists whoever may be a member of the group; nobody leaves it before the group has
 *     committed a configuration without it.
 */
export class Moving {
  constructor(
    private readonly store: RowStore,
    private readonly port: MovingPort,
  ) {}

  plan(wanted: PlacementOperationOf<'moveReplica'>): Plan {
    const shard = this.shardOf(wanted.shard);
    if (shard === null) return new VectronError('NOT_FOUND', `no shard ${wanted.shard}`, { field: 'shard' });
    const before = this.moveOf(shard.id);
    const outgoing = before !== null && wanted.replica === before.incoming ? before.outgoing : wanted.replica;
    if (before !== null && before.outgoing !== outgoing) return busy(`replica ${before.outgoing} is being moved`);
    if (!shard.members.some(({ replica }) => replica === outgoing)) return notMember(wanted);
    if (before !== null && wanted.replica !== before.incoming && this.isUsable(shard, before, wanted.avoid)) {
      return () => ({ kind: 'replicaMoving', replica: before.incoming, revision: this.store.counters.revision });
    }
    if (before === null && this.store.tables.move.size >= moveCountMax)
      return busy(`${moveCountMax} replicas are being moved`);
    if (shard.members.length >= moveMembersMax) return busy(`shard ${shard.id} has ${shard.members.length} replicas`);
    const chosen = this.destination(shard, outgoing, wanted);
    return chosen === null
      ? busy('no ready worker without a replica of the shard')
      : this.begin(shard, outgoing, chosen);
  }

  private begin(shard: ShardRecord, outgoing: ReplicaId, { worker, node }: Candidate): () => PlacementOutcome {
    return () => {
      const { counters } = this.store;
      const incoming = replicaId(counters.replica);
      const at = this.port.nextRevision({ replica: counters.replica + 1 });
      const before = this.moveOf(shard.id);
      const target = (before?.target ?? shard.members.map(({ replica }) => replica))
        .filter((replica) => replica !== outgoing && replica !== before?.incoming)
        .concat(incoming);
      const record = { ...shard, members: [...shard.members, { replica: incoming, worker, node }] };
      this.store.put({ kind: 'shard', revision: at, record });
      this.store.put({ kind: 'move', revision: at, record: { id: shard.id, outgoing, incoming, target } });
      return { kind: 'replicaMoving', replica: incoming, revision: at };
    };
  }

  /** Whether the new replica of a move can still become one. */
  private isUsable(shard: ShardRecord, { incoming }: MoveRecord, avoid: readonly WorkerId[]): boolean {
    const worker = shard.members.find(({ replica }) => replica === incoming)?.worker;
    return (
      worker !== undefined && !avoid.includes(worker) && this.store.tables.worker.get(worker)?.record.state === 'ready'
    );
  }

  /** Elsewhere if there is a place; else where the outgoing replica is. */
  private destination(
    shard: ShardRecord,
    outgoing: ReplicaId,
    { target, avoid }: PlacementOperationOf<'moveReplica'>,
  ): Candidate | null {
    const home = shard.members.find(({ replica }) => replica === outgoing)?.worker;
    const before = this.moveOf(shard.id);
    const isStaying = ({ replica }: Member): boolean =>
      replica !== outgoing && (before === null || (before.target.includes(replica) && replica !== before.incoming));
    const staying = shard.members.filter(isStaying);
    const isFree = ({ worker }: Candidate): boolean => staying.every((member) => member.worker !== worker);
    const all = this.port.candidates(avoid);
    const free = all.filter(isFree);
    if (target !== 0) return free.find(({ worker }) => worker === target) ?? null;
    const elsewhere = free.filter(({ worker }) => worker !== home);
    const choice = elsewhere.length > 0 ? elsewhere : free;
    const present = all.filter((candidate) => !isFree(candidate));
    return choice.length === 0 ? null : (chooseWorkers(choice, 1, present)[0] ?? null);
  }

  /** Whoever is not a voter any more, or never became one, is to be removed: no earlier order can bring it back. */
  settle({ shard: id, confVersion, voters }: PlacementOperationOf<'settleMembers'>): PlacementOutcome {
    const shard = this.shardOf(id);
    const move = this.moveOf(id);
    const isWanted = move !== null && sameIds(voters, move.target);
    if (shard !== null && isWanted && confVersion >= shard.epoch.confVersion) {
      const at = this.port.nextRevision({});
      const isVoter = ({ replica }: Member): boolean => voters.includes(replica);
      const epoch = { ...shard.epoch, confVersion };
      const record = { ...shard, epoch, members: shard.members.filter(isVoter) };
      this.store.put({ kind: 'shard', revision: at, record });
      this.store.remove('move', id);
      for (const member of shard.members) if (!isVoter(member)) this.port.orderRemoval(record, member, at);
    }
    return { kind: 'membersSettled', revision: this.store.counters.revision };
  }

  private shardOf(id: number): ShardRecord | null {
    return this.store.tables.shard.get(id)?.record ?? null;
  }

  private moveOf(shard: number): MoveRecord | null {
    return this.store.tables.move.get(shard)?.record ?? null;
  }
}

const busy = (why: string): VectronError => new VectronError('RESOURCE_EXHAUSTED', why, { retryAfterMs });

const notMember = ({ shard, replica }: PlacementOperationOf<'moveReplica'>): VectronError =>
  new VectronError('FAILED_PRECONDITION', `${replica} is no replica of shard ${shard}`, { field: 'replica' });
